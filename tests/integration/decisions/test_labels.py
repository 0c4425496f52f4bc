"""The log as labels, from SQLite and PostgreSQL."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from classifier import Tier, view_of
from classifier.features import feature_row
from service.decisions.features import kept_features
from service.decisions.labels import DAY_S, Labels
from service.decisions.records import DecisionRecord, FeedbackRecord
from service.decisions.rows import Batch
from service.decisions.store import DecisionStore
from tests.integration.decisions.conftest import NOW_S, DecisionFactory
from training.logged_labels import LoggedLabel

ASK = "Compare three ways to store the tide tables of our harbour"
WEIGHTS = {"override": 0.7, "re_ask": 0.15}


def features(text: str = ASK, **changed: Any) -> dict[str, Any]:
    """What the service keeps of a prompt."""
    return {**kept_features(view_of(text), None, "en"), **changed}


def labels_of(store: DecisionStore, most: float = 200) -> Labels:
    """Labels with two sources switched on."""
    return Labels(store, lambda source: WEIGHTS.get(source, 0.0), most)


def said(about: DecisionRecord, **words: Any) -> FeedbackRecord:
    """What somebody said about a decision, one second after it."""
    words = {"correct_tier": "reasoning", **words}
    return FeedbackRecord(
        **{"decision_id": about.id, "caller": about.caller, "created_s": about.created_s + 1, **words}
    )


def test_a_correction_becomes_a_label_with_features(store: DecisionStore, decision: DecisionFactory) -> None:
    """Everything that training needs, and no text."""
    one = decision(features=features(second=[1.0, 0.5, -0.25]), decision={"unit": "talk", "stage": 2})
    store.write(Batch.of([one, decision(features=features())]))
    store.add_feedback(said(one))

    found = list(labels_of(store).labels())

    assert [label.decision_id for label in found] == [one.id]
    label = found[0]
    assert (label.tier, label.chosen, label.source, label.weight) == (Tier.REASONING, Tier.CODING, "caller", 1.0)
    assert (label.conversation, label.language, label.artifact) == ("talk", "en", "first")
    assert label.second_logodds == (1.0, 0.5, -0.25)
    assert np.array_equal(label.indices, feature_row(view_of(ASK)).indices)


def test_labels_come_by_time_over_pages_and_since(store: DecisionStore, decision: DecisionFactory) -> None:
    """More than a page; `since_s` takes what was said since, whenever the request was."""
    made = [decision(features=features(f"{ASK} {number}")) for number in range(230)]
    store.write(Batch.of(made))
    for one in made:
        store.add_feedback(said(one))
    store.add_feedback(said(made[3], correct_tier="lightweight", created_s=NOW_S + 9000))

    every = list(labels_of(store, most=1000).labels())
    late = list(labels_of(store, most=1000).labels(since_s=NOW_S + 9000))

    assert [label.decision_id for label in every] == [one.id for one in made]
    assert [(label.decision_id, label.tier) for label in late] == [(made[3].id, Tier.LIGHTWEIGHT)]


def test_a_flood_weighs_no_more_than_the_cap(store: DecisionStore, decision: DecisionFactory) -> None:
    """One caller's day is scaled down as a whole, what was concluded gives way first; others keep their weight."""
    flood = [decision(caller="mallory", features=features()) for _ in range(40)]
    guess = decision(caller="mallory", features=features())
    calm = decision(caller="anna", features=features())
    store.write(Batch.of([*flood, guess, calm]))
    for one in (*flood, calm):
        store.add_feedback(said(one))
    store.conclude([said(guess, source="override", weight=0.7)])

    found = list(labels_of(store, most=10).labels())

    weights = {caller: [label.weight for label in found if label.caller == caller] for caller in ("mallory", "anna")}
    assert sum(weights["mallory"]) == pytest.approx(10)
    assert weights["anna"] == [1.0]
    assert guess.id not in {label.decision_id for label in found}
    summary = labels_of(store, most=10).summary()
    assert (summary["labels"], summary["left_out_by_cap"], summary["capped_days"]) == (41, 1, 1)
    assert (summary["capped"][0]["caller"], summary["capped"][0]["weight"]) == ("mallory", 40.7)


def test_the_cap_is_by_day(store: DecisionStore, decision: DecisionFactory) -> None:
    """The next day has weight of its own."""
    made = [decision(features=features()) for _ in range(6)]
    store.write(Batch.of(made))
    for number, one in enumerate(made):
        store.add_feedback(said(one, created_s=NOW_S + (number % 2) * DAY_S))

    found = list(labels_of(store, most=2).labels())

    assert sum(label.weight for label in found) == pytest.approx(4)


def test_the_summary_counts_what_cannot_be_used(store: DecisionStore, decision: DecisionFactory) -> None:
    """No features, another schema, conflicts, conclusions that were overruled or are off, lost decisions."""
    bare = decision(features=None)
    old = decision(features={"schema": 0, "structure": [1.0], "indices": [1], "values": [1.0]})
    torn = decision(features=features())
    mute = decision(features=features())
    store.write(Batch.of([bare, old, torn, mute]))
    for one in (bare, old, torn):
        store.add_feedback(said(one))
    store.add_feedback(said(torn, correct_tier="lightweight", created_s=NOW_S + 50))
    store.conclude([said(torn, source="re_ask", weight=0.15), said(torn, source="empty", weight=0.1)])
    store.add_feedback(said(mute, correct_tier=None, comment="thanks"))
    store.add_feedback(said(decision()))

    summary = labels_of(store).summary()

    assert (summary["labels"], summary["by_tier"]["lightweight"]) == (1, 1)
    assert summary["unusable"] == {"no features": 1, "feature schema 0": 1}
    assert (summary["conflicts"], summary["conflicting"]) == (1, [torn.id])
    assert [summary[name] for name in ("overruled", "off", "no_tier", "lost")] == [1, 1, 1, 1]
    assert {label.feature_schema for label in labels_of(store).labels()} == {0, 1}


def test_conclusions_are_kept_once_and_about_what_is_there(store: DecisionStore, decision: DecisionFactory) -> None:
    """Drawn again, or about a decision that was deleted meanwhile, they change nothing."""
    one, gone = decision(features=features()), decision()
    store.write(Batch.of([one]))
    made = [said(one, source="override", weight=0.7), said(gone, source="override", weight=0.7)]

    first = store.conclude(made)
    second = store.conclude(made)

    assert ([said.decision_id for said in first], second) == ([one.id], [])
    assert len(store.feedback_history(one.id)) == 1
    assert store.feedback_history(gone.id) == []


def test_memory_does_not_grow_with_the_log(sqlite_store: DecisionStore, decision: DecisionFactory) -> None:
    """Five times the labels take the same memory while they are read."""
    peaks = []
    for number in (600, 2400):  # more than two pages, so that both hold two at once
        made = [decision(features=features()) for _ in range(number)]
        sqlite_store.write(Batch.of(made))
        sqlite_store.conclude([said(one, source="override", weight=0.7) for one in made])
        del made
        tracemalloc.start()
        read = sum(1 for _ in labels_of(sqlite_store, most=1e9).labels())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert read == 3000
    assert peaks[1] < 1.5 * peaks[0]


def test_texts_come_only_where_asked_for_and_stored(store: DecisionStore, decision: DecisionFactory) -> None:
    """What the second stage reads of the stored messages, bounded; None for a row of features alone."""
    long = {"role": "user", "content": f"{ASK}? " + "tide " * 4_000}
    full = decision(features=features(), messages=[long])
    bare = decision(features=features(), messages=None)
    store.write(Batch.of([full, bare]))
    for one in (full, bare):
        store.add_feedback(said(one))

    with_texts = list(labels_of(store).labels(texts=True))
    without = list(labels_of(store).labels())

    assert [label.view is None for label in with_texts] == [False, True]
    view = with_texts[0].view
    assert view is not None
    assert view.ask.startswith(ASK)
    assert len(view.ask) < 2_000
    assert [label.view for label in without] == [None, None]


def test_conclusions_are_shown_beside_what_was_said(store: DecisionStore, decision: DecisionFactory) -> None:
    """By source: decisions with both, how many agree, the interval."""
    made = [decision(features=features()) for _ in range(4)]
    store.write(Batch.of(made))
    for number, one in enumerate(made):
        tier = "reasoning" if number else "lightweight"
        store.add_feedback(said(one, source="re_ask", correct_tier=tier, weight=0.1))
        store.add_feedback(said(one))

    found = labels_of(store).summary()["agreement"]

    assert set(found) == {"re_ask"}
    assert (found["re_ask"]["decisions"], found["re_ask"]["agree"]) == (4, 3)
    assert found["re_ask"]["interval"][0] < 0.75 < found["re_ask"]["interval"][1]


def test_labels_of_an_older_schema_are_counted_by_the_scorer_that_speaks_for_them(
    store: DecisionStore, decision: DecisionFactory
) -> None:
    """What the stages said then comes with them, before an embedding or a judge; without any word they are unusable."""
    then = {"lightweight": 0.2, "coding": 0.3, "reasoning": 0.5}
    later = {"lightweight": 0.0, "coding": 0.0, "reasoning": 1.0}
    old = {"schema": 0, "structure": [1.0], "indices": [1], "values": [1.0]}
    second = {**old, "second": [1.0, 0.0, -1.0]}
    alone = decision(features=old, decision={"stage": 1, "probabilities": then})
    heard = decision(features=old, decision={"stage": 1, "probabilities": later, "embedding": {"before": then}})
    judged = decision(features=old, decision={"stage": 3, "probabilities": later, "before_judge": then})
    both = decision(features={**second, "first": [-1.0, -2.0, -0.7]}, decision={"stage": 2, "probabilities": then})
    bare = decision(features=second, decision={"stage": 2, "probabilities": then})
    lost = decision(features=old, decision={"stage": 2, "probabilities": then})
    made = [alone, heard, judged, both, bare, lost]
    store.write(Batch.of(made))
    for one in made:
        store.add_feedback(said(one))

    def older(label: LoggedLabel) -> str | None:
        return "as it was said then" if label.first_said else None

    labels = Labels(store, lambda _: 0.0, 200, older)
    summary, found = labels.summary(), {label.decision_id: label for label in labels.labels()}

    assert [found[one.id].first_said for one in (alone, heard, judged)] == [(0.2, 0.3, 0.5)] * 3
    assert [found[one.id].both_said for one in (alone, heard, judged)] == [None] * 3
    assert found[both.id].first_said == pytest.approx(np.exp([-1.0, -2.0, -0.7]))
    assert found[both.id].both_said == (0.2, 0.3, 0.5)
    assert [found[one.id].first_said for one in (bare, lost)] == [None, None]
    assert summary["older"] == {"feature schema 0, as it was said then": 4}
    assert (summary["labels"], summary["unusable"]) == (0, {"feature schema 0": 2})
