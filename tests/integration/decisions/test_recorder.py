"""The recorder over a store that works: what it takes is seen at once and is on disk soon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from classifier import Tier
from service.decisions.recorder import Recorder
from service.decisions.records import DecisionRecord, FeedbackRecord, HoldRecord
from service.decisions.store import DecisionStore

Factory = Callable[..., DecisionRecord]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

NEVER_MS = 3_600_000


@pytest.fixture
def slow(store: DecisionStore) -> Iterator[Recorder]:
    """A recorder that would write in an hour: what it shows is what waits."""
    recorder = Recorder(store, flush_ms=NEVER_MS)
    yield recorder
    recorder.close()


@pytest.fixture
def quick(store: DecisionStore) -> Iterator[Recorder]:
    """A recorder that writes at once."""
    recorder = Recorder(store, flush_ms=1)
    yield recorder
    recorder.close()


async def test_decisions_reach_the_store_on_their_own(
    quick: Recorder, store: DecisionStore, decision: Factory, eventually: Eventually
) -> None:
    """Records and what makes them are both written, without anybody asking."""
    whole, made = decision(), decision()

    quick.record(whole)
    quick.record(lambda: made)
    await eventually(lambda: quick.snapshot()["written"] == 2)

    assert {one.id for one in store.recent()} == {whole.id, made.id}
    assert quick.snapshot() == {
        "written": 2,
        "pending": 0,
        "dropped": 0,
        "dropped_holds": 0,
        "failed_flushes": 0,
        "failed_reads": 0,
        "lost_before": 0,
        "working": 1.0,
    }


async def test_a_record_is_made_off_the_event_loop(quick: Recorder, decision: Factory, eventually: Eventually) -> None:
    """What makes a record is called once, in the writer's thread."""
    threads: list[str] = []
    one = decision()

    def make() -> DecisionRecord:
        threads.append(threading.current_thread().name)
        return one

    quick.record(make)
    await eventually(lambda: quick.snapshot()["written"] == 1)

    assert threads == ["autotier-records"]


async def test_a_waiting_decision_can_be_read(slow: Recorder, store: DecisionStore, decision: Factory) -> None:
    """``get`` sees what is still queued, made or not; an unknown id is None."""
    whole, made = decision(), decision()
    slow.record(whole)
    slow.record(lambda: made)

    assert await slow.get(made.id) == made
    assert await slow.get(whole.id) == whole
    assert await slow.get("dec_ffffffffffffffffffffffffffffffff") is None


async def test_a_decision_that_is_being_built_can_be_read(quick: Recorder, decision: Factory) -> None:
    """Between queue and batch a decision is in neither: who asks then waits for it, and does not hear of none."""
    one = decision()
    begun, go = threading.Event(), threading.Event()

    def making() -> DecisionRecord:
        begun.set()
        assert go.wait(30)
        return one

    quick.record(making)
    assert await asyncio.to_thread(begun.wait, 30)
    asked = asyncio.create_task(quick.get(one.id))
    await asyncio.wait([asked], timeout=0.2)
    go.set()

    found = await asked
    assert found is not None
    assert found.id == one.id


async def test_a_waiting_hold_is_seen_and_the_last_one_counts(slow: Recorder, store: DecisionStore) -> None:
    """The next request of a conversation finds its hold before the batch is written."""
    slow.keep("key", "anna", "coding", "dec_1")
    slow.keep("key", "anna", "reasoning", "dec_2")

    assert await slow.hold("key") == HoldRecord(Tier.REASONING, "dec_2")
    assert await slow.hold("other") is None
    assert store.hold("key") is None


async def test_holds_survive_a_restart(store: DecisionStore) -> None:
    """Closing writes the holds; the next process reads them from the store."""
    first = Recorder(store, flush_ms=NEVER_MS)
    first.keep("key", "anna", "coding", "dec_1")
    first.close()

    second = Recorder(store, flush_ms=NEVER_MS)
    found = await second.hold("key")
    second.close()

    assert found == HoldRecord(Tier.CODING, "dec_1")


async def test_a_hold_of_another_replica_is_seen(store: DecisionStore, store_url: str, eventually: Eventually) -> None:
    """Where replicas share a store, what one of them remembers does not hide what another one served later."""
    if not store.shared:
        pytest.skip("a SQLite store belongs to one process")
    other_store = DecisionStore.open(store_url)
    here, there = Recorder(store, flush_ms=1), Recorder(other_store, flush_ms=1)
    here.keep("key", "anna", "coding", "dec_1")
    await eventually(lambda: store.hold("key") is not None)
    there.keep("key", "anna", "reasoning", "dec_2")
    await eventually(lambda: store.hold("key") == HoldRecord(Tier.REASONING, "dec_2"))

    found = await here.hold("key")

    here.close()
    there.close()
    other_store.close()
    assert found == HoldRecord(Tier.REASONING, "dec_2")


async def test_feedback_is_in_the_store_with_its_decision_when_it_returns(
    slow: Recorder, store: DecisionStore, decision: Factory
) -> None:
    """Feedback on a decision that still waits is durable at once, and takes the decision with it."""
    one = decision()
    slow.record(lambda: one)
    words = FeedbackRecord(one.id, "anna", 1.0, solved=False)

    await slow.feedback(words)
    await slow.feedback(words)

    assert store.get(one.id) == one
    assert store.feedback_history(one.id) == [words]
    assert await slow.feedback_of(one.id) == [words]


async def test_feedback_rejects_a_hold_wherever_it_stands(
    quick: Recorder, store: DecisionStore, eventually: Eventually
) -> None:
    """A hold is rejected while it waits, from memory and from the store alike, and no longer once it is solved."""
    quick.keep("key", "anna", "coding", "dec_1")
    await quick.feedback(FeedbackRecord("dec_1", "anna", 1.0, solved=False))
    early = await quick.hold("key")
    await eventually(lambda: store.hold("key") is not None)
    late = await quick.hold("key")
    stored = store.hold("key")
    await quick.feedback(FeedbackRecord("dec_1", "anna", 2.0, solved=True))

    assert [early, late, stored] == [HoldRecord(Tier.CODING, "dec_1", rejected=True)] * 3
    assert await quick.hold("key") == HoldRecord(Tier.CODING, "dec_1", rejected=False)


async def test_close_writes_what_waits(store: DecisionStore, decision: Factory) -> None:
    """A shutdown loses nothing, whatever the flush time."""
    recorder = Recorder(store, flush_ms=NEVER_MS)
    ones = [decision() for _ in range(1200)]
    for one in ones:
        recorder.record(lambda one=one: one)

    recorder.close()

    assert {row["id"] for row in store.export()} == {one.id for one in ones}
    assert store.lost() == 0


async def test_a_record_that_cannot_be_made_costs_only_itself(
    quick: Recorder, store: DecisionStore, decision: Factory, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours in making a record, or a row that the database refuses, is counted and logged without content."""
    good = decision()

    def broken() -> DecisionRecord:
        raise ValueError("unmistakeable-secret-word")

    quick.record(broken)
    quick.record(decision(outcome=None))
    quick.record(good)
    await eventually(lambda: quick.snapshot()["written"] == 1)

    assert quick.snapshot()["dropped"] == 2
    assert quick.snapshot()["working"] == 1.0
    assert [one.id for one in store.recent()] == [good.id]
    assert "ValueError at test_recorder.py" in caplog.text
    assert "unmistakeable" not in caplog.text
