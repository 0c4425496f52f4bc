"""What is installed is what was meant: pins with hashes, no compromised release, nothing that runs by itself."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = sorted((ROOT / "requirements").glob("*.txt"))
BAD = {"litellm": {"1.82.7", "1.82.8"}}
"""Compromised releases of March 2026; the second ran its code from a .pth at interpreter start."""
# Each runs at interpreter start, or puts a folder on the path. Anything else there needs a look and a line here.
PTH = (
    re.compile(r"_?_?editable_+(impl_)?_?_?autotier([-_.].*)?\.pth"),  # this project, installed editable
    re.compile(r"distutils-precedence\.pth"),  # setuptools
    re.compile(r"_virtualenv\.pth"),  # virtualenv, uv
    re.compile(r"a1_coverage\.pth"),  # coverage in subprocesses
    re.compile(r"pywin32\.pth"),
)


def pinned(file: Path) -> dict[str, str]:
    """Versions by name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.lower(): version for name, version in found}


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_no_pin_is_a_compromised_release(file: Path) -> None:
    """The bad releases are nowhere."""
    pins = pinned(file)

    assert len(pins) > 20
    assert all(pins.get(name) not in versions for name, versions in BAD.items())


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_every_pin_has_a_hash(file: Path) -> None:
    """A file that the index exchanges under the same version is refused."""
    blocks = re.split(r"\n(?=\S)", file.read_text(encoding="utf-8"))

    assert [b.splitlines()[0] for b in blocks if "==" in b.split("\n")[0] and "--hash=sha256:" not in b] == []


def test_the_project_itself_takes_one_release_of_litellm() -> None:
    """An exact pin in pyproject.toml, which is none of the bad ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    (wanted,) = [d for d in project["dependencies"] if re.match(r"litellm\b", d)]

    assert re.fullmatch(r"litellm==[0-9.]+", wanted)
    assert wanted.removeprefix("litellm==") not in BAD["litellm"]


def test_nothing_unknown_runs_when_the_interpreter_starts() -> None:
    """A .pth is how a package runs code in every Python of an environment."""
    folders = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}

    unknown = [f.name for folder in folders for f in folder.glob("*.pth") if not any(p.fullmatch(f.name) for p in PTH)]

    assert unknown == []


def test_the_audit_refuses_a_compromised_release(tmp_path: Path) -> None:
    """The script of CI fails on a pin file with a bad release, before it asks any service."""
    bad = tmp_path / "bad.txt"
    bad.write_text("litellm==1.82.8 \\\n    --hash=sha256:00\n")

    done = subprocess.run(
        ["bash", str(ROOT / ".ci" / "audit"), str(bad)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert "1.82.8" in done.stdout + done.stderr
