"""Installs the peers of the bench, each into an environment of its own under ``bench-results/``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.machine import RESULTS

INSTALL_LIMIT_S = 600.0
LITELLM = "litellm[proxy]==1.109.1"
# With @hono/node-server above 1.13 each of its streams is a 500 ("TypeError: immutable", Node 20).
PORTKEY = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.13.8"},
}
TENSORZERO = "tensorzero==2026.6.0"
# litellm pins a certifi and a proxy-extras of a certain day, which an index need not have; any newer one serves.
OVERRIDES = "certifi>=2026.10.1\nlitellm-proxy-extras>=0.4\n"


class Skipped(Exception):
    """A peer that cannot be had here; the text says why."""


def litellm_proxy() -> Path:
    """The proxy's command, installed at need.

    Raises:
        Skipped: It cannot be installed.
    """
    return _python_peer("venv-proxy", [LITELLM], "litellm")


def tensorzero() -> Path:
    """The interpreter of an environment that has tensorzero, installed at need.

    Raises:
        Skipped: It cannot be installed.
    """
    parts = [TENSORZERO, "fastapi", "uvicorn", "uvloop", "httptools", "orjson"]
    return _python_peer("venv-tensorzero", parts, "python", proof="tensorzero*")


def portkey() -> list[str]:
    """Command line of Portkey's gateway without its port, installed at need.

    Raises:
        Skipped: There is no npm, or it cannot be installed.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise Skipped("npm is not installed")
    folder = RESULTS / "portkey"
    script = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps(PORTKEY))
        _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)])
    return [node, str(script), "--headless"]


def _python_peer(folder: str, parts: Sequence[str], command: str, proof: str = "") -> Path:
    home = RESULTS / folder
    wanted = home / "bin" / command
    if wanted.exists() and (not proof or list(home.glob(f"lib/python*/site-packages/{proof}"))):
        return wanted
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise Skipped("uv is not installed")
    RESULTS.mkdir(exist_ok=True)
    overrides = RESULTS / "overrides.txt"
    overrides.write_text(OVERRIDES)
    _run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)])
    _run([uv, "pip", "install", "-q", "--python", str(home / "bin/python"), "--override", str(overrides), *parts])
    return wanted


def _run(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Skipped(f"{Path(argv[0]).name}: not installed within {INSTALL_LIMIT_S:.0f} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Skipped(f"{Path(argv[0]).name}: {lines[-1][:200]}")
