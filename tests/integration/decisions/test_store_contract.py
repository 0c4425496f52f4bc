"""What every store keeps to; runs over real SQLite and real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from classifier import Tier
from service.decisions.pruning import Deleted
from service.decisions.records import (
    AttemptRecord,
    ConversationRecord,
    DecisionFilter,
    DecisionRecord,
    FeedbackRecord,
    HoldRecord,
)
from service.decisions.rows import Batch
from service.decisions.shadowing import Disagreement, newest_disagreements, put_shadows
from service.decisions.store import DecisionStore
from service.errors import StoreError, StoreProblem

Factory = Callable[..., DecisionRecord]
DAY_S = 86_400


def said(record: DecisionRecord, caller: str = "anna", created_s: float = 1.0, **words: object) -> FeedbackRecord:
    """Feedback on a decision."""
    return FeedbackRecord(record.id, caller, created_s, **words)  # type: ignore[arg-type]


def shadowed(record: DecisionRecord) -> Disagreement:
    """A challenger would have decided otherwise."""
    return Disagreement(record.id, "challenger", "first", record.created_s, "coding", "reasoning", 0.6, 0.7)


def failed_attempt(order: int, **changed: object) -> AttemptRecord:
    """An attempt that never connected."""
    bare = AttemptRecord(
        order, "mini", "preflight_failed", None, None, "", None, None, 300.0, None, None, None, 0.0, None, None
    )
    return replace(bare, **changed)  # type: ignore[arg-type]


def test_a_decision_comes_back_as_it_was_written(store: DecisionStore, decision: Factory) -> None:
    """Every field of a decision and of its attempts survives, None and nested JSON too."""
    whole = decision(
        attempts=(failed_attempt(0, detail="refused"), failed_attempt(1, outcome="answered")),
        messages=[{"role": "user", "content": "Grüße, 你好 🙂"}],
        features={"schema": 3, "indices": [1, 2], "values": [0.5, 1.0]},
        error={"message": "no", "code": None},
        dropped_fields={"mini": ["user"]},
        stream=True,
    )
    bare = decision(tier=None, reason=None, confidence=None, deployment_id=None, attempts=(), first_token_ms=None)

    store.write(Batch.of([whole, bare]))

    assert store.get(whole.id) == whole
    assert store.get(bare.id) == bare
    assert store.get("dec_ffffffffffffffffffffffffffffffff") is None


def test_hostile_values_are_stored(store: DecisionStore, decision: Factory) -> None:
    """NUL, lone surrogates, NaN and integers beyond 64 bits neither fail nor take the rest of the batch along."""
    hostile = decision(
        model_asked="a\x00b\ud800",
        total_ms=float("nan"),
        prompt_tokens=10**30,
        messages=[{"role": "user", "content": "\x00\udfff", "number": 10**30, "nan": float("nan")}],
        attempts=(failed_attempt(0, detail="x\x00y", cost_usd=float("inf")),),
    )

    store.write(Batch.of([hostile, decision()]))

    kept = store.get(hostile.id)
    assert kept is not None
    assert kept.model_asked == "a\ufffdb?"
    assert kept.total_ms == 0.0
    assert kept.prompt_tokens == 2**63 - 1
    assert kept.messages == [{"role": "user", "content": "\x00?", "number": str(10**30), "nan": None}]
    assert len(store.recent()) == 2


def test_writing_a_batch_again_changes_nothing(store: DecisionStore, decision: Factory) -> None:
    """A retry after an answer that got lost does not double decisions, attempts or the count of the run."""
    batch = Batch.of([decision(), decision()])
    store.begin_run("run")

    store.write(batch, run_id="run")
    store.write(batch, run_id="run")

    assert len(store.recent()) == 2
    assert [len(one.attempts) for one in store.recent()] == [1, 1]
    assert store.end_run("run", accepted=5, dropped=1) == 2
    assert store.lost() == 2


def test_recent_is_newest_first_filtered_and_without_prompts(store: DecisionStore, decision: Factory) -> None:
    """Each filter does its work, alone and together; the limit holds; prompts stay where they are."""
    old = decision(messages=[{"role": "user", "content": "x"}])
    bobs = decision(caller="bob", tier="reasoning", reason="override")
    failed = decision(outcome="failed", attempts=())
    store.write(Batch.of([failed, old, bobs]))

    def ids(**wanted: object) -> list[str]:
        return [one.id for one in store.recent(DecisionFilter(**wanted))]  # type: ignore[arg-type]

    assert ids() == [failed.id, bobs.id, old.id]
    assert ids(limit=1) == [failed.id]
    assert ids(caller="bob") == [bobs.id]
    assert ids(tier="coding", outcome="answered") == [old.id]
    assert ids(reason="override") == [bobs.id]
    assert ids(since_s=bobs.created_s) == [failed.id, bobs.id]
    assert store.recent(DecisionFilter(since_s=None))[2].messages is None


def test_spend_is_summed_by_caller_from_a_time_on(store: DecisionStore, decision: Factory) -> None:
    """Earlier requests and callers who spent nothing are left out."""
    early = decision(cost_usd=1.0)
    late = [decision(caller=c, cost_usd=usd) for c, usd in (("anna", 0.25), ("anna", 0.5), ("bert", 0.0))]
    store.write(Batch.of([early, *late]))

    spent = store.spent(late[0].created_s)

    assert spent == {"anna": 0.75}


def test_the_same_feedback_again_changes_nothing(store: DecisionStore, decision: Factory) -> None:
    """Feedback is idempotent per caller and decision; what it repeats of what holds is not stored again."""
    record = decision()
    store.write(Batch.of([record]))

    first = store.add_feedback(said(record, solved=False, correct_tier="reasoning"))
    again = store.add_feedback(said(record, created_s=2.0, solved=False))

    assert (first, again) == (True, False)
    assert store.feedback_history(record.id) == [said(record, solved=False, correct_tier="reasoning")]


def test_later_feedback_counts_and_history_stays(store: DecisionStore, decision: Factory) -> None:
    """The latest word on each point holds, per caller; every statement stays in the history."""
    record = decision()
    store.add_feedback(said(record, created_s=1.0, solved=False, comment="wrong"))
    store.add_feedback(said(record, created_s=2.0, solved=True))
    store.add_feedback(said(record, caller="admin", created_s=3.0, rating=1))

    holds = store.feedback_of(record.id)

    assert holds == [
        said(record, created_s=2.0, solved=True, comment="wrong"),
        said(record, caller="admin", created_s=3.0, rating=1),
    ]
    assert len(store.feedback_history(record.id)) == 3


def test_feedback_brings_its_waiting_decision_along(store: DecisionStore, decision: Factory) -> None:
    """A decision that still waits for its batch is written with its feedback, once, and is counted."""
    batch = Batch.of([decision()])
    store.begin_run("run")

    store.add_feedback(said(batch.decisions[0].record, rating=5), batch.decisions[0], run_id="run")
    store.write(batch, run_id="run")

    assert store.get(batch.decisions[0].record.id) == batch.decisions[0].record
    assert store.end_run("run", accepted=1, dropped=0) == 0


def test_concurrent_equal_feedback_is_stored_once(store: DecisionStore, decision: Factory) -> None:
    """Eight clients that say the same at once leave one statement."""
    record = decision()
    store.write(Batch.of([record]))

    with ThreadPoolExecutor(8) as threads:
        new = list(threads.map(lambda _: store.add_feedback(said(record, solved=True)), range(8)))

    assert sum(new) == 1
    assert len(store.feedback_history(record.id)) == 1


def test_a_hold_is_replaced_by_a_later_one_only(store: DecisionStore, decision: Factory) -> None:
    """The newest hold of a key counts, whatever the order in which they are written."""
    store.write(Batch.of(holds=[ConversationRecord("key", "anna", "coding", "dec_2", 2.0)]))
    store.write(Batch.of(holds=[ConversationRecord("key", "anna", "lightweight", "dec_1", 1.0)]))

    assert store.hold("key") == HoldRecord(Tier.CODING, "dec_2")
    assert store.hold("other") is None


def test_a_hold_is_rejected_by_the_last_word_on_its_decision(store: DecisionStore, decision: Factory) -> None:
    """``rejected`` follows ``solved`` of the hold's decision; a rating alone or a concluded label says nothing."""
    record = decision()
    store.write(Batch.of([record], [ConversationRecord("key", "anna", "coding", record.id, 1.0)]))
    seen = []

    for words in ({"rating": 1}, {"solved": False}, {"rating": 2}, {"solved": True}):
        store.add_feedback(said(record, **words))
        hold = store.hold("key")
        seen.append(hold is not None and hold.rejected)
    store.add_feedback(replace(said(record, solved=False), source="regeneration", weight=0.5))

    assert seen == [False, True, True, False]
    assert store.hold("key") == HoldRecord(Tier.CODING, record.id, rejected=False)


def test_the_secret_is_made_once(store_url: str) -> None:
    """Conversation keys outlive a restart, and two replicas that start at once agree."""
    first = DecisionStore.open(store_url)
    second = DecisionStore.open(store_url)

    with ThreadPoolExecutor(2) as threads:
        secrets = list(threads.map(lambda one: one.secret(), (first, second)))

    first.close()
    second.close()
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) == 32


def test_deleting_by_age_takes_everything_of_that_age(store: DecisionStore, decision: Factory) -> None:
    """Decisions, attempts, feedback and holds older than the limit go; younger ones stay."""
    now_s = 1_800_000_000.0
    old = [decision(created_s=now_s - 31 * DAY_S) for _ in range(3)]
    young = decision(created_s=now_s - 29 * DAY_S)
    holds = [
        ConversationRecord("old", "anna", "coding", old[0].id, now_s - 31 * DAY_S),
        ConversationRecord("young", "anna", "coding", young.id, now_s - 29 * DAY_S),
    ]
    store.write(Batch.of([*old, young], holds))
    store.add_feedback(said(old[0], solved=True))
    store.add_feedback(said(young, solved=True))
    store.add_feedback(FeedbackRecord("dec_lost", "anna", now_s - 31 * DAY_S, solved=True))

    store.change(partial(put_shadows, found=[shadowed(old[0]), shadowed(young)], counts={}))

    deleted = store.delete_before(now_s - 30 * DAY_S)

    assert deleted == Deleted(decisions=3, attempts=3, feedback=2, conversations=1, shadows=1)
    assert [one["id"] for one in store.export()] == [young.id]
    assert (store.hold("old"), store.hold("young")) == (None, HoldRecord(Tier.CODING, young.id))
    assert [store.feedback_of(one) for one in (old[0].id, "dec_lost")] == [[], []]
    assert store.feedback_of(young.id) == [said(young, solved=True)]


def test_deleting_a_caller_takes_all_and_only_theirs(store: DecisionStore, decision: Factory) -> None:
    """A caller's decisions, holds and words go, also what others said about them; others' decisions stay."""
    annas, bobs = decision(), decision(caller="bob")
    store.write(
        Batch.of(
            [annas, bobs],
            [
                ConversationRecord("a", "anna", "coding", annas.id, 1.0),
                ConversationRecord("b", "bob", "coding", "x", 1.0),
            ],
        )
    )
    store.add_feedback(said(annas, caller="admin", rating=1))
    store.add_feedback(said(bobs, caller="anna", rating=2))
    store.add_feedback(said(bobs, caller="bob", rating=3))

    store.change(partial(put_shadows, found=[shadowed(annas), shadowed(bobs)], counts={}))

    deleted = store.delete_caller("anna")

    assert deleted == Deleted(decisions=1, attempts=1, feedback=2, conversations=1, shadows=1)
    assert [one.decision_id for one in store.read(partial(newest_disagreements, since_s=0, limit=9))] == [bobs.id]
    assert [one.id for one in store.recent()] == [bobs.id]
    assert store.hold("a") is None
    assert store.hold("b") is not None
    assert store.feedback_of(annas.id) == []
    assert store.feedback_of(bobs.id) == [said(bobs, caller="bob", rating=3)]


def test_export_gives_every_decision_once_with_what_holds(store: DecisionStore, decision: Factory) -> None:
    """Export pages through any number of decisions, oldest first, with features and feedback."""
    records = [decision(features={"schema": 1}) for _ in range(450)]
    store.write(Batch.of(records))
    store.add_feedback(said(records[7], solved=False))
    store.add_feedback(said(records[7], solved=True))

    rows = list(store.export())

    assert [row["id"] for row in rows] == [one.id for one in records]
    assert rows[0]["features"] == {"schema": 1}
    assert [row["solved"] for row in rows[7]["feedback"]] == [True]


def test_a_read_only_store_refuses_to_be_written_or_made(store_url: str, decision: Factory) -> None:
    """What ``autotier log`` opens changes nothing, and a store that is not there is not made by looking."""
    if store_url.startswith("sqlite"):
        with pytest.raises(StoreError) as missing:
            DecisionStore.open(store_url, read_only=True)
        assert missing.value.problem is StoreProblem.MISSING
    DecisionStore.open(store_url).close()
    reading = DecisionStore.open(store_url, read_only=True)

    with pytest.raises(StoreError) as refused:
        reading.write(Batch.of([decision()]))

    assert refused.value.problem is StoreProblem.READ_ONLY
    assert reading.recent() == []
    reading.close()
