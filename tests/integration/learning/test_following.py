"""Conclusions from the log, on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from classifier import view_of
from service.config.learning import Learning
from service.decisions.features import kept_features
from service.decisions.records import DecisionRecord, FeedbackRecord
from service.decisions.rows import Batch
from service.decisions.store import DecisionStore
from service.learning.following import Follower
from tests.integration.decisions.conftest import NOW_S, DecisionFactory, attempt

ASK = "Plan the move of our billing service to another database"
LATER_S = NOW_S + 100_000


def auto(made: DecisionFactory, text: str = ASK, **changed: Any) -> DecisionRecord:
    """A decision on lightweight with its features."""
    explained = changed.pop("decision", {})
    values = {"tier": "lightweight", "features": kept_features(view_of(text), None, "en"), "decision": explained}
    return made(**{**values, **changed})


def follower(store: DecisionStore, now_s: float = LATER_S, **settings: Any) -> Follower:
    """Looks at a store at a given time."""
    return Follower(store, Learning(**settings), lambda: now_s)


def labels(store: DecisionStore, one: DecisionRecord) -> list[tuple[str, str | None, float]]:
    """What was concluded about a decision."""
    return [(said.source, said.correct_tier, said.weight) for said in store.feedback_of(one.id)]


def begin(store: DecisionStore, **settings: Any) -> None:
    """A first look, before anything was logged: from here on the log is worked through."""
    assert follower(store, NOW_S, settle_s=1, **settings).look()


def test_conclusions_wait_until_the_log_has_settled(store: DecisionStore, decision: DecisionFactory) -> None:
    """Not before the longest answer is over."""
    begin(store)
    first = auto(decision)
    store.write(Batch.of([first, auto(decision, tier="reasoning", reason="override")]))
    looking = follower(store, NOW_S + 300)

    looking.look()
    before = labels(store, first)
    looking._now_s = lambda: NOW_S + 2_000
    looking.look()

    assert before == []
    assert labels(store, first) == [("override", "reasoning", 0.7)]


def test_the_lease_passes_on(store: DecisionStore, decision: DecisionFactory) -> None:
    """A second process works once the first one's lease is over, from where it was."""
    begin(store)
    first = auto(decision)
    store.write(Batch.of([first, auto(decision, tier="reasoning", reason="override")]))

    other = follower(store)

    assert other.look()
    assert labels(store, first) == [("override", "reasoning", 0.7)]
    assert other.snapshot()["concluded_override_total"] == 1
    assert not follower(store).look()
    assert follower(store).snapshot()["store_failures_total"] == 0


def test_a_new_process_draws_nothing_twice(store: DecisionStore, decision: DecisionFactory) -> None:
    """It reads its windows again; what was concluded already stays as it is, and is not counted again."""
    begin(store)
    first = auto(decision)
    store.write(Batch.of([first, auto(decision, tier="coding", reason="override")]))
    follower(store, NOW_S + 2_000).look()

    later = follower(store, NOW_S + 4_000)
    later.look()

    assert len(store.feedback_history(first.id)) == 1
    assert later.snapshot()["concluded_override_total"] == 1


def test_a_window_reaches_over_two_looks(store: DecisionStore, decision: DecisionFactory) -> None:
    """A request and its repetition are brought together whenever each of them settles."""
    begin(store)
    looking = follower(store, NOW_S + 970)
    first = auto(decision, created_s=NOW_S + 5)
    store.write(Batch.of([first]))
    looking.look()
    store.write(Batch.of([auto(decision, created_s=NOW_S + 500, tier="coding", reason="override")]))
    looking._now_s = lambda: NOW_S + 1_500

    looking.look()

    assert labels(store, first) == [("override", "coding", 0.7)]


def test_all_kinds_from_real_records(store: DecisionStore, decision: DecisionFactory) -> None:
    """Regeneration, re-ask, escalation, a cut and an empty answer, the end of a conversation."""
    begin(store)
    short = auto(decision, "Name the months", finish_reason="length")
    asked_for = auto(decision, "Name the days", finish_reason="length", decision={"answer_limit": 5})
    empty = auto(decision, "Name the years", attempts=(attempt(outcome="empty"), attempt(1)))
    once = auto(decision, "Name the rivers of Portugal that reach the sea", caller="ben")
    more = auto(decision, "Name the rivers of Portugal that reach the sea, all of them", caller="ben")
    taste = auto(decision, "Write a poem about the tide", caller="eve")
    retry = auto(decision, "Write a poem about the tide", caller="eve", tier="coding", decision={"regeneration": True})
    talk = auto(decision, "Why is the harbour closed?", caller="fay")
    up = auto(
        decision, "How deep is it?", caller="fay", tier="coding", reason="override", decision={"follows": talk.id}
    )
    end = auto(decision, "Thanks. Who runs it?", caller="fay", decision={"follows": up.id})
    store.write(Batch.of([short, asked_for, empty, once, more, taste, retry, talk, up, end]))

    follower(store).look()

    assert [labels(store, one) for one in (short, asked_for, empty)] == [
        [("truncated", "coding", 0.1)], [], [("empty", "coding", 0.1)],
    ]  # fmt: skip
    assert labels(store, once) == [("re_ask", "coding", 0.1)]
    assert labels(store, taste) == [("regeneration", "coding", 0.3)]
    assert labels(store, talk) == [("escalation", "coding", 0.2)]
    assert labels(store, end) == [("ended", "lightweight", 0.03)]


def test_a_long_log_is_worked_through_in_pages(store: DecisionStore, decision: DecisionFactory) -> None:
    """More than one page, in one look."""
    begin(store)
    made = [auto(decision, f"Say {number}", finish_reason="length", features=None) for number in range(450)]
    store.write(Batch.of(made))

    looking = follower(store)
    looking.look()

    assert looking.snapshot()["concluded_truncated_total"] == 450


def test_nothing_is_concluded_about_the_time_before(store: DecisionStore, decision: DecisionFactory) -> None:
    """The first look of a store begins with the present; years of an old log are left alone."""
    old = auto(decision, created_s=NOW_S - 90_000, finish_reason="length")
    store.write(Batch.of([old]))

    follower(store, NOW_S).look()

    assert labels(store, old) == []


def test_a_store_that_fails_is_counted(sqlite_store: DecisionStore) -> None:
    """The look says that nothing was done; the next one goes on."""
    looking = follower(sqlite_store)
    with sqlite3.connect(str(sqlite_store.location.path)) as other:
        other.execute("ALTER TABLE settings RENAME TO gone")
    failed = looking.look()
    with sqlite3.connect(str(sqlite_store.location.path)) as other:
        other.execute("ALTER TABLE gone RENAME TO settings")
    other.close()

    worked = looking.look()

    assert (failed, worked, looking.failures) == (False, True, 1)


@pytest.mark.parametrize("kept", [None, {"schema": 1}])
def test_records_without_features_are_no_trouble(
    sqlite_store: DecisionStore, decision: DecisionFactory, kept: dict[str, Any] | None
) -> None:
    """`store.prompts: none` leaves what needs no text: a cut answer."""
    begin(sqlite_store)
    one = auto(decision, features=kept, finish_reason="length")
    sqlite_store.write(Batch.of([one, auto(decision, features=kept, tier="coding", reason="override")]))

    follower(sqlite_store).look()

    assert labels(sqlite_store, one) == [("truncated", "coding", 0.1)]


def test_labels_of_today_are_watched(store: DecisionStore, decision: DecisionFactory) -> None:
    """The cap and conflicts have numbers."""
    one = decision()
    store.write(Batch.of([one]))
    for number, tier in enumerate(("coding", "reasoning", "coding")):
        store.add_feedback(FeedbackRecord(one.id, "anna", LATER_S + number, correct_tier=tier))

    looking = follower(store, LATER_S + 10, most_weight_per_caller_day=2)
    looking.look()

    numbers = looking.snapshot()
    assert (numbers["callers_over_cap_today"], numbers["conflicts_today"], numbers["label_weight_today"]) == (1, 1, 3)
