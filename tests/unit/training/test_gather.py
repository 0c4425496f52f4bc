"""Labels of the log as arrays: nothing dropped in silence, memory bounded, the same log gives the same rows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from classifier.features import SCHEMA
from classifier.structure import STRUCTURE_NAMES
from classifier.tiers import TIERS
from training.gather import gather
from training.logged_labels import LoggedLabel


def label(number: int, **changed: object) -> LoggedLabel:
    """One label with a few features."""
    random = np.random.default_rng(number)
    name = f"dec_{number:032x}"
    made = LoggedLabel(
        decision_id=name, decided_s=float(number), labelled_s=float(number) + 0.5, caller="local", labelled_by="local",
        conversation=name, chosen=TIERS[0], reason="classifier", artifact="a-1", feature_schema=SCHEMA,
        structure=random.random(len(STRUCTURE_NAMES)), indices=np.sort(random.choice(60_000, 200, replace=False)),
        values=random.random(200), carried=False, second_logodds=None, language="en", tier=TIERS[number % 3],
        source="caller", weight=1.0, explicit=True,
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]  # fields of the label


def test_rows_of_another_schema_are_counted_not_dropped_in_silence() -> None:
    """They are named with their schema; damaged ones too."""
    rows = [label(0), label(1, feature_schema=SCHEMA + 1), label(2, structure=np.zeros(3)), label(3, weight=0.0)]

    found = gather(rows)

    assert found.labels.size == 1
    assert found.counts.read == 4
    assert found.counts.unusable == {
        f"feature schema {SCHEMA + 1}, not {SCHEMA}": 1,
        "damaged features": 1,
        "no weight": 1,
    }


def test_only_what_was_said_later_is_read_incrementally() -> None:
    """A label said at the parent's last moment was seen by it."""
    found = gather([label(n) for n in range(6)], after_s=2.5)

    assert found.counts.read == 3
    assert found.counts.until_s == 5.5


def test_turns_of_a_conversation_and_equal_requests_hang_together() -> None:
    """They are held out together, and drawn together."""
    one, two = label(0), label(1, conversation=label(0).conversation)
    again = replace(label(2), structure=one.structure, indices=one.indices)

    clusters = gather([one, two, again, label(3)]).clusters

    assert clusters[0] == clusters[1] == clusters[2]
    assert clusters[3] != clusters[0]


def test_ten_times_the_log_takes_no_more_memory() -> None:
    """Only the sample is kept, and it is the same for the same log."""

    def peak(number: int) -> tuple[int, tuple[str, int]]:
        def labels() -> Iterator[LoggedLabel]:
            return (label(n) for n in range(number))

        tracemalloc.start()
        found = gather(labels(), most=100)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used, (found.counts.sha256, int(found.hashed.indices.sum()))

    small, _ = peak(300)
    large, first = peak(3_000)
    _, second = peak(3_000)

    assert large < 1.5 * small
    assert first == second
