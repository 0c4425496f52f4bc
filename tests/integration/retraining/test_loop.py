"""The whole loop on a running service: requests, corrections, train, promote, the swap, rollback; over both stores."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.house import House
from tests.servers import empty_database, postgresql_server
from training.month import World

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """URL of an empty database of a real server."""
    with postgresql_server() as server, empty_database(server) as url:
        yield url


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of each file of a folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def command(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of our commands with the house's configuration."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", arguments[0], "-c", str(house.file), *arguments[1:]],
        capture_output=True,
        text=True,
        check=False,
    )


def artifact_of(house: House, messages: list[dict[str, Any]]) -> tuple[str, str]:
    """Sends one request: (artifact that decided, decision id)."""
    body = {"model": "auto", "messages": messages, "max_tokens": 5}
    answer = httpx.post(f"{house.base}/v1/chat/completions", json=body, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-autotier-artifact"], answer.headers["x-autotier-decision"]


def wait_for(house: House, name: str) -> None:
    """Until the service decides with this artifact."""
    deadline = time.monotonic() + 40
    while artifact_of(house, [{"role": "user", "content": "hello there"}])[0] != name:
        assert time.monotonic() < deadline, f"{name} does not serve: {house.log()[-2000:]}"
        time.sleep(0.3)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_corrections_over_http_become_a_version_that_serves_and_can_be_rolled_back(
    place: World, kind: str, request: pytest.FixtureRequest
) -> None:
    """200 corrections of requests that went through the service, with nothing but features on disk."""
    url = request.getfixturevalue("postgresql") if kind == "postgresql" else None

    def change(document: dict[str, Any]) -> None:
        document["classifier"] = {"artifact": str(place.champion), "stages": 1}
        document["store"] = {"prompts": "features", **({"url": url} if url else document.get("store", {}))}

    rows = [r for r in place.traffic if isinstance(r.request, str)][:200]
    with House(change=change) as house:
        first = ""
        for row in rows:
            first, decision = artifact_of(house, [{"role": "user", "content": str(row.request)}])
            said = {"decision_id": decision, "correct_tier": row.tier.value}
            assert httpx.post(f"{house.base}/v1/feedback", json=said, trust_env=False).status_code == 200

        trained = command(house, "train", "--data", str(place.data))
        promoted = command(house, "promote", "--data", str(place.data))

        assert trained.returncode == 0, trained.stderr
        assert "200 caller (weight 200)" in trained.stdout
        assert promoted.returncode == 0, promoted.stderr
        versions = house.folder / "autotier-versions"
        second = (versions / "current").read_text(encoding="utf-8").strip()
        assert second != first
        wait_for(house, second)

        before = hashes(versions / first)
        back = command(house, "rollback", "--reason", "a look")

        assert back.returncode == 0, back.stderr
        wait_for(house, first)
        assert hashes(versions / first) == before
        weights = "weights.npz"
        assert before[weights] == hashes(place.champion)[weights]
        assert "rolled back" in command(house, "rollback", "--list").stdout


def test_a_bad_artifact_is_refused_and_the_champion_goes_on(place: World, tmp_path: Path) -> None:
    """Damaged files: exit 2 with the reason, and nothing is named as the version in use."""
    bad = tmp_path / "bad"
    bad.mkdir()
    for file in place.champion.iterdir():
        (bad / file.name).write_bytes(file.read_bytes())
    (bad / "weights.npz").write_bytes(b"nothing")
    config = tmp_path / "a.yaml"
    config.write_text(Path("configs/two-macs.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "promote", str(bad), "--force", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "does not have the sha256" in done.stderr
    assert not (tmp_path / "autotier-versions" / "current").exists()
    assert '"refused"' in (tmp_path / "autotier-versions" / "history.jsonl").read_text(encoding="utf-8")
