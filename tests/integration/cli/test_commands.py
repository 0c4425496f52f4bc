"""The command line as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("litellm", "sklearn", "pandas", "torch", "sqlalchemy", "datasets", "fastapi")


def autotier(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command; its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["route", "What is a closure?"]])
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    """--help and route must not pay for litellm, scikit-learn or a database."""
    program = (
        "import sys\nfrom service.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_every_command_has_help() -> None:
    """All listed commands can be loaded and explain themselves."""
    from service.cli.main import COMMANDS

    for name in COMMANDS:
        done = autotier(name, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage: autotier" in done.stdout


def test_route_explains_and_speaks_json() -> None:
    """The dry run names tier, deployments and features, and its JSON is that of POST /v1/route."""
    done = autotier(
        "route", "--json", "Analyze the trade-offs between event sourcing and CQRS for an e-commerce system"
    )

    body = json.loads(done.stdout)
    assert body["tier"] == "reasoning"
    assert body["deployments"] == ["reasoning-cloud", "reasoning-cloud-2"]
    assert body["features"]
    assert abs(sum(body["probabilities"].values()) - 1) < 1e-6


def test_route_reads_a_chat_body_from_a_file(tmp_path: Path) -> None:
    """-f takes a text or a whole JSON body."""
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"model": "coding", "messages": [{"role": "user", "content": "hi"}]}))

    done = autotier("route", "--json", "-f", str(file))

    assert (json.loads(done.stdout)["tier"], json.loads(done.stdout)["reason"]) == ("coding", "override")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hosts: {}\n", "tiers"),
        ("hosts: {}\ntirs: {}\n", "tirs"),
        ("hosts: [\n", "wrong.yaml:2"),
        ("hosts: {a: {address: os.environ/NOT_SET_ANYWHERE}}\n", "NOT_SET_ANYWHERE"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_2(tmp_path: Path, text: str, key: str) -> None:
    """File, key and fix in one line on stderr, nothing else."""
    file = tmp_path / "wrong.yaml"
    file.write_text(text)

    done = autotier("serve", "-c", str(file))

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "wrong.yaml" in done.stderr
    assert key in done.stderr


def test_a_binding_beyond_loopback_needs_a_key() -> None:
    """Without callers the service listens on loopback or not at all."""
    root = Path(__file__).parents[3]
    seed = str(root / "configs" / "two-macs.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "serve", "-c", seed, "--host", "0.0.0.0"],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin", "OPENAI_API_KEY": "x", "OPENROUTER_API_KEY": "x", "PYTHONPATH": str(root)},
    )  # fmt: skip

    assert done.returncode == 2
    assert "server.host" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_host_of_the_demo_is_refused() -> None:
    """--fault names a host of the demo."""
    done = autotier("demo", "--check", "--fault", "toaster=down")

    assert done.returncode == 2
    assert "mini" in done.stderr
