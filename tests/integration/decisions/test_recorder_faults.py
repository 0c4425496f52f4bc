"""The recorder over a store that stops working: requests go on, loudly, and nothing is lost that need not be."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from classifier import Tier
from service.decisions import database, recorder, writer
from service.decisions.recorder import Recorder
from service.decisions.records import DecisionRecord, FeedbackRecord, HoldRecord
from service.decisions.store import DecisionStore
from service.errors import StoreUnavailable

Factory = Callable[..., DecisionRecord]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, so that a fault and its end fit into a test."""
    monkeypatch.setattr(database, "BUSY_MS", 50)
    monkeypatch.setattr(writer, "FIRST_REST_S", 0.02)
    monkeypatch.setattr(writer, "LONGEST_REST_S", 0.05)


class Lock:
    """Another process's write lock on a SQLite store, until ``release``; ``exclusive`` keeps readers out of it too."""

    def __init__(self, path: Path, *, exclusive: bool = False) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        if exclusive:
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


@pytest.fixture
def impatient_store(sqlite_path: Path) -> DecisionStore:
    """A SQLite store that waits briefly for locks. Tests close it."""
    return DecisionStore.open(f"sqlite:///{sqlite_path}")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Messages of level error."""
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


async def test_a_locked_store_delays_records_and_loses_none(
    impatient_store: DecisionStore,
    sqlite_path: Path,
    decision: Factory,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While locked: visible, counted, said once. Afterwards: written, and said."""
    caplog.set_level(logging.WARNING)
    records = Recorder(impatient_store, flush_ms=1)
    lock = Lock(sqlite_path)
    waiting = decision()
    records.record(waiting)
    await eventually(lambda: records.snapshot()["failed_flushes"] >= 3)
    during = records.snapshot()
    seen = await records.get(waiting.id)
    lock.release()

    await eventually(lambda: records.snapshot()["written"] == 1)
    after = records.snapshot()
    records.close()
    impatient_store.close()

    assert (during["working"], during["pending"], seen) == (0.0, 1, waiting)
    assert (after["working"], after["pending"], after["dropped"]) == (1.0, 0, 0)
    assert [line for line in errors(caplog) if "locked" in line] == errors(caplog)
    assert len(errors(caplog)) == 1
    assert "written again" in caplog.text


async def test_feedback_that_cannot_be_kept_is_refused(
    impatient_store: DecisionStore, sqlite_path: Path, decision: Factory
) -> None:
    """Feedback is never answered with 200 while the store cannot take it; the same again works once it can."""
    records = Recorder(impatient_store, flush_ms=1)
    words = FeedbackRecord("dec_1", "anna", 1.0, solved=True)
    lock = Lock(sqlite_path)

    with pytest.raises(StoreUnavailable) as refused:
        await records.feedback(words)
    lock.release()
    await records.feedback(words)
    kept = impatient_store.feedback_of("dec_1")
    records.close()
    impatient_store.close()

    assert refused.value.status == 503
    assert refused.value.retry_after_s is not None
    assert kept == [words]


async def test_a_full_disk_is_survived(
    impatient_store: DecisionStore, decision: Factory, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite says that the disk is full; records wait, and are written when there is room again."""
    pages = 20

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(impatient_store._engine, "connect", limit)
    impatient_store.close()
    records = Recorder(impatient_store, flush_ms=1)
    ones = [decision(messages=[{"role": "user", "content": "x" * 20_000}]) for _ in range(10)]
    for one in ones:
        records.record(one)
    await eventually(lambda: records.snapshot()["failed_flushes"] >= 2)
    said = errors(caplog)
    pages = 10_000

    await eventually(lambda: records.snapshot()["pending"] == 0)
    records.close()
    stored = {one.id for one in impatient_store.recent()}
    impatient_store.close()

    assert len(said) == 1
    assert "free space" in said[0]
    assert stored == {one.id for one in ones}


async def test_what_waits_is_bounded_and_the_oldest_give_way(
    impatient_store: DecisionStore,
    sqlite_path: Path,
    decision: Factory,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A store that stays away costs bounded memory: dropped records are counted, and that they are is said once."""
    monkeypatch.setattr(recorder, "MOST_WAITING", 10)
    records = Recorder(impatient_store, flush_ms=1)
    lock = Lock(sqlite_path)
    ones = [decision() for _ in range(50)]
    for number, one in enumerate(ones):
        records.record(one)
        if number % 5 == 0:
            await eventually(lambda: records._backlog.queued == 0)
    await eventually(lambda: records._backlog.queued == 0 and records.snapshot()["failed_flushes"] >= 1)
    during = records.snapshot()
    lock.release()

    await eventually(lambda: records.snapshot()["pending"] == 0)
    records.close()
    stored = {one.id for one in impatient_store.recent()}
    lost = impatient_store.lost()
    impatient_store.close()

    assert during["pending"] == 10
    assert during["dropped"] == 40
    assert stored == {one.id for one in ones[-10:]}
    assert len([line for line in errors(caplog) if "dropped" in line]) == 1
    assert lost == 0


async def test_a_store_that_becomes_garbage_does_not_stop_requests(
    impatient_store: DecisionStore,
    sqlite_path: Path,
    decision: Factory,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Overwritten under a running service: records wait, reads say so, a fresh file is used once it is there."""
    records = Recorder(impatient_store, flush_ms=1)
    records.record(decision())
    await eventually(lambda: records.snapshot()["written"] == 1)
    impatient_store.close()
    sqlite_path.write_bytes(b"garbage " * 10_000)
    one = decision()
    records.record(one)
    records.keep("key", "anna", "coding", one.id)
    await eventually(lambda: records.snapshot()["failed_flushes"] >= 1)

    held, unheld = await records.hold("key"), await records.hold("another")
    with pytest.raises(StoreUnavailable):
        await records.get("dec_ffffffffffffffffffffffffffffffff")
    failed_reads = records.snapshot()["failed_reads"]
    sqlite_path.unlink()
    await eventually(lambda: records.snapshot()["pending"] == 0)
    records.close()
    stored = [row.id for row in impatient_store.recent()]
    impatient_store.close()

    assert (held, unheld) == (HoldRecord(Tier.CODING, one.id), None)
    assert failed_reads == 1
    assert stored == [one.id]
    assert any("sqlite3 FILE .recover" in line for line in errors(caplog))


async def test_a_store_file_that_is_removed_is_noticed(
    impatient_store: DecisionStore,
    sqlite_path: Path,
    decision: Factory,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a look at the file, records would go on into one without a name, in silence."""
    records = Recorder(impatient_store, flush_ms=1)
    records.record(decision())
    await eventually(lambda: records.snapshot()["written"] == 1)
    for one in sqlite_path.parent.glob("records.db*"):
        one.unlink()
    late = decision()

    records.record(late)
    await eventually(lambda: records.snapshot()["written"] == 2)
    records.close()
    impatient_store.close()
    again = DecisionStore.open(f"sqlite:///{sqlite_path}", read_only=True)
    stored = [one.id for one in again.recent()]
    again.close()

    assert stored == [late.id]
    assert any("replaced or removed" in line for line in errors(caplog))


async def test_a_hold_that_the_store_is_slow_to_find_is_given_up_quickly(
    impatient_store: DecisionStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that hangs delays one request by the limit, the next ones not at all, and says so once."""
    monkeypatch.setattr(recorder, "HOLD_LIMIT_S", 0.02)
    records = Recorder(impatient_store, flush_ms=1)
    asked = 0

    class Hanging:
        shared = False
        location = impatient_store.location

        def hold(self, key: str) -> None:
            nonlocal asked
            asked += 1
            time.sleep(0.1)

    records._store = Hanging()  # type: ignore[assignment]

    found = [await records.hold(str(number)) for number in range(5)]
    records.close()
    impatient_store.close()

    assert found == [None] * 5
    assert asked == 1
    assert records.snapshot()["failed_reads"] == 5
    assert len(errors(caplog)) == 1


async def test_closing_with_a_store_that_does_not_work_says_what_is_lost(
    impatient_store: DecisionStore, sqlite_path: Path, decision: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    """The end is bounded, the number is logged, and the next start counts it."""
    records = Recorder(impatient_store, flush_ms=3_600_000)
    for _ in range(3):
        records.record(decision())
    lock = Lock(sqlite_path)
    records.close()
    lock.release()
    said = errors(caplog)

    after = Recorder(impatient_store, flush_ms=1)
    counted = after.snapshot()["lost_before"]
    after.close()
    impatient_store.close()

    assert any("3 decisions were not written at the end" in line for line in said)
    assert counted == 3
