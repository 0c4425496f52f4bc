"""``autotier serve --workers N``: several processes on one port that are one service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fleet import bearer, stored
from tests.house import House
from tests.servers import RedisServer

pytestmark = pytest.mark.timeout(300)  # workers start several times, each takes seconds

EASY = "What is a mutex?"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[House, RedisServer]]:
    """Two workers over a Redis and a SQLite file."""
    with RedisServer() as redis:

        def change(document: dict[str, Any]) -> None:
            document["state"] = {"redis_url": redis.url, "timeout_ms": 5000}
            limits = {"few": {"requests_per_minute": 6}, "free": {}}
            document["callers"] = [{"name": n, "key": stored(f"{n}-key"), "limits": m} for n, m in limits.items()]

        with House(change=change, flags=("--workers", "2")) as house:
            yield house, redis


def workers(house: House) -> list[psutil.Process]:
    """The processes that serve."""
    parent = psutil.Process(house.pid)
    return [p for p in parent.children() if "resource_tracker" not in " ".join(p.cmdline())]


def eventually(true: Callable[[], object], limit_s: float = 80.0) -> None:
    """Waits until it is so; a worker takes seconds to begin."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def processes(house: House) -> int:
    """How many processes the one that answers knows of."""
    count: int = house.get("/readyz").json()["state"]["processes"]
    return count


def test_workers_share_one_port_and_one_count(running: tuple[House, RedisServer]) -> None:
    """Two processes answer, and a limit of six a minute is six."""
    house, _ = running
    eventually(lambda: processes(house) == 2)

    answers = [house.ask(f"{EASY} {n}", headers=bearer("few")).status_code for n in range(9)]

    assert len(workers(house)) == 2
    assert answers == [200] * 6 + [429] * 3


def test_a_killed_worker_is_replaced(running: tuple[House, RedisServer]) -> None:
    """The other one goes on; the parent starts a successor and says so."""
    house, _ = running
    eventually(lambda: processes(house) == 2)
    killed = workers(house)[0]

    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(10)

    assert house.ask(EASY, headers=bearer("free")).status_code == 200
    eventually(lambda: len(workers(house)) == 2 and killed.pid not in [p.pid for p in workers(house)])
    assert "another one starts" in house.log()


def test_a_hang_up_reloads_every_worker(running: tuple[House, RedisServer]) -> None:
    """SIGHUP to the parent reaches all of them."""
    house, _ = running
    eventually(lambda: processes(house) == 2)
    before = house.log().count("reloaded ")

    house.signal(signal.SIGHUP)

    eventually(lambda: house.log().count("reloaded ") == before + 2)


@pytest.mark.parametrize("kill", [False, True])
def test_workers_end_with_their_parent(running: tuple[House, RedisServer], kill: bool) -> None:
    """SIGTERM ends all of them politely; a parent that is killed leaves no orphan."""
    house, _ = running
    if not house.is_running:
        house.start()
    served = workers(house)

    house.stop(kill=kill)

    _, alive = psutil.wait_procs(served, timeout=20)
    assert served
    assert not alive


def test_workers_without_a_redis_are_refused(tmp_path: Path) -> None:
    """One line with key and fix, exit 2."""
    file = tmp_path / "two-macs.yaml"
    source = Path(__file__).parents[2] / "configs" / "two-macs.yaml"
    file.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    keys = {"OPENAI_API_KEY": "x", "OPENROUTER_API_KEY": "y"}

    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "serve", "-c", str(file), "--workers", "2"],
        capture_output=True, text=True, timeout=60, env={**os.environ, **keys}, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "state.redis_url" in done.stderr
