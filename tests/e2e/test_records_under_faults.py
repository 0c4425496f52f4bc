"""The store fails, or the process is killed, while requests go on: what users and operators then see."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.house import House


@pytest.fixture
def house() -> Iterator[House]:
    """A house of its own: its store is broken on purpose."""
    with House() as house:
        yield house


def store_of(house: House) -> Path:
    """The service's SQLite file."""
    return house.folder / "demo.sqlite3"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process's write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def number(house: House, name: str) -> float:
    """One number of /metrics."""
    lines = [line for line in house.get("/metrics").text.splitlines() if line.startswith(name)]
    assert lines, name
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def eventually(check: object, seconds: float = 20.0) -> None:
    """Waits until ``check()`` is true."""
    assert callable(check)
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_requests_go_on_while_the_store_is_locked(house: House) -> None:
    """Answers come, the records wait and are written once the lock is gone; metrics show it meanwhile."""
    house.ask("What is a mutex?")
    with locked(store_of(house)):
        answers = [house.ask(f"What is a mutex of kind {n}?") for n in range(5)]
        pending = number(house, "autotier_store_pending")

    assert [a.status_code for a in answers] == [200] * 5
    assert pending > 0
    records = [house.decision(a.headers["x-autotier-decision"]) for a in answers]
    assert {r["outcome"] for r in records} == {"answered"}
    eventually(lambda: number(house, "autotier_store_pending") == 0)


def test_requests_go_on_while_the_store_is_garbage_and_the_log_says_so(house: House) -> None:
    """A file that something else put there costs no answer, and is an error in the log with its fix."""
    house.ask("What is a mutex?")
    garbage = house.folder / "restored"
    garbage.write_bytes(b"garbage " * 20_000)
    for beside in house.folder.glob("demo.sqlite3-*"):
        beside.unlink()
    garbage.replace(store_of(house))  # as a restore or a sync of the folder does it

    answers = [house.ask(f"What is a mutex of kind {n}?") for n in range(3)]

    assert [a.status_code for a in answers] == [200] * 3
    eventually(lambda: "sqlite3 FILE .recover" in house.log())
    assert house.ask("What is a mutex?").status_code == 200


def test_feedback_that_got_its_200_survives_a_kill_under_load(house: House) -> None:
    """Four clients give feedback until SIGKILL; after the restart each acknowledged one is there, with its decision."""
    acknowledged: list[str] = []

    def client(name: int) -> None:
        turn = 0
        while True:
            turn += 1
            try:
                asked = house.ask(f"What is a mutex, {name} {turn}?", "lightweight")
                decision = asked.headers["x-autotier-decision"]
                said = house.post("/v1/feedback", {"decision_id": decision, "solved": True})
            except httpx.TransportError:
                return
            if said.status_code == 200:
                acknowledged.append(decision)

    clients = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for one in clients:
        one.start()
    eventually(lambda: len(acknowledged) >= 12)
    house.stop(kill=True)
    for one in clients:
        one.join()
    house.start()

    kept = [house.decision(decision)["feedback"] for decision in acknowledged]

    assert all([f["solved"] for f in feedback] == [True] for feedback in kept)
    assert number(house, "autotier_store_lost_before") >= 0
