"""What waits is bounded, seen while it waits, and taken out only when it was written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.decisions.backlog import Backlog
from service.decisions.records import ConversationRecord, DecisionRecord
from service.decisions.rows import DecisionRow

MakeRow = Callable[..., DecisionRow]


@pytest.fixture
def row() -> MakeRow:
    """Makes rows of which only id and size matter."""

    def make(name: str, size: int = 1) -> DecisionRow:
        record = DecisionRecord(
            name, 0.0, "anna", "chat", "auto", False, None, None, None, None, None, None, "answered", 200, None, 1.0,
            None, None, 0.0, None, None, {},
        )  # fmt: skip
        return DecisionRow(record, {}, (), size)

    return make


def hold(key: str, tier: str = "coding") -> ConversationRecord:
    """A hold."""
    return ConversationRecord(key, "anna", tier, "dec", 1.0)


def test_a_full_queue_drops_the_newest_and_counts_it(row: MakeRow) -> None:
    """What makes a record may hold a whole request: the queue never grows beyond its bound."""
    backlog = Backlog(2, 100)

    taken = [backlog.add(row(name).record) for name in "abc"]

    assert taken == [True, True, False]
    assert (backlog.accepted, backlog.dropped, backlog.queued, backlog.overflowed) == (3, 1, 2, True)


def test_built_records_give_way_by_age_and_by_size(row: MakeRow) -> None:
    """Both bounds drop the oldest first."""
    backlog = Backlog(3, 10)

    by_number = backlog.put_built([row(name) for name in "abcd"])
    by_size = backlog.put_built([row("e", size=9)])

    assert (by_number, by_size) == (1, 2)
    assert [name for name in "abcde" if backlog.find(name)] == ["d", "e"]
    assert backlog.dropped == 3


def test_one_record_larger_than_everything_is_dropped_alone(row: MakeRow) -> None:
    """It leaves no count of bytes behind that would drop later ones."""
    backlog = Backlog(3, 10)

    backlog.put_built([row("huge", size=11)])
    dropped = backlog.put_built([row("a", size=10)])

    assert dropped == 0
    assert backlog.find("a") is not None


def test_a_batch_stays_visible_until_it_is_settled(row: MakeRow) -> None:
    """While the store writes, readers still find what it writes."""
    backlog = Backlog(10, 100)
    backlog.put_built([row("a"), row("b")])
    backlog.put_hold(hold("key"))

    batch = backlog.batch(1)
    during = (backlog.find("a"), backlog.hold("key"))
    backlog.settle(batch)

    assert [one.record.id for one in batch.decisions] == ["a"]
    assert None not in during
    assert (backlog.find("a"), backlog.hold("key")) == (None, None)
    assert backlog.find("b") is not None


def test_a_hold_that_changed_while_it_was_written_stays() -> None:
    """The newer one is written with the next batch; settling the older one does not lose it."""
    backlog = Backlog(10, 100)
    backlog.put_hold(hold("key", "coding"))

    batch = backlog.batch(10)
    backlog.put_hold(hold("key", "reasoning"))
    backlog.settle(batch)

    left = backlog.hold("key")
    assert left is not None
    assert left.tier == "reasoning"


def test_holds_are_bounded() -> None:
    """The oldest hold gives way and is counted."""
    backlog = Backlog(2, 100)

    for key in "abc":
        backlog.put_hold(hold(key))

    assert [key for key in "abc" if backlog.hold(key)] == ["b", "c"]
    assert backlog.dropped_holds == 1
