"""Labels of older feature schemas: through the scorer of their time, or counted as unusable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.artifact import METADATA, WEIGHTS, shipped_path
from classifier.features import FeatureRow
from classifier.scorer import softmax
from tests.artifacts import OLDER_COLUMNS, OLDER_STRUCTURE, older_artifact
from tests.unit.training.test_gather import label
from training.gather import gather
from training.logged_labels import LoggedLabel
from training.older_schema import OldScorers, keep


def old(number: int, **changed: Any) -> LoggedLabel:
    """A label of that schema."""
    random = np.random.default_rng(number)
    return label(number, **{
        "feature_schema": 0, "structure": random.normal(size=OLDER_STRUCTURE), "indices": np.array([1, 7, 40]),
        "values": np.array([0.5, 0.5, 0.7]), **changed,
    })  # fmt: skip


def test_the_artifact_that_decided_speaks_by_its_weights_both_stages_together(tmp_path: Path) -> None:
    """Log-odds of its first stage, and its join with the second stage's stored ones."""
    name = older_artifact(tmp_path / "one", "tuned")
    older_artifact(tmp_path / "two", "tuned", seed=1, ancestors=4)
    one = old(3, artifact=name, second_logodds=(1.0, 0.0, -1.0), first_said=(0.2, 0.3, 0.5))

    word = OldScorers(tmp_path).word(one)

    assert word is not None
    assert word.through == f"through {name}"
    with np.load(tmp_path / "one" / WEIGHTS) as a:
        scaled = np.clip(one.structure, -4, 4)
        logits = scaled @ a["structure_weights"] + one.values @ a["hashed_weights"][one.indices] + a["bias"]
        first = softmax(logits * a["slope"] + a["offset"])
        joint = 0.6 * np.log(first) + 0.4 * np.array([1.0, 0.0, -1.0]) + scaled @ a["stack_structure"] + a["stack"][2:]
    assert np.exp(word.first) == pytest.approx(first, abs=1e-6)
    assert word.served is not None
    assert np.exp(word.served) == pytest.approx(softmax(joint), abs=1e-6)


def test_without_that_artifact_what_was_said_then_counts_then_another_of_its_schema(tmp_path: Path) -> None:
    """Another artifact's second stage is another model: only the first speaks."""
    older_artifact(tmp_path / "two", "tuned", seed=1, ancestors=1)
    youngest = older_artifact(tmp_path / "three", "tuned", seed=2, ancestors=2)
    scorers = OldScorers(tmp_path)

    said = scorers.word(old(1, artifact="gone", first_said=(0.2, 0.3, 0.5)))
    other = scorers.word(old(1, artifact="gone", second_logodds=(1.0, 0.0, -1.0)))

    assert said is not None
    assert np.exp(said.first) == pytest.approx([0.2, 0.3, 0.5])
    assert said.through == "as it was said then"
    both = scorers.word(old(1, artifact="gone", first_said=(0.2, 0.3, 0.5), both_said=(0.1, 0.1, 0.8)))
    assert both is not None
    assert both.served is not None
    assert np.exp(both.served) == pytest.approx([0.1, 0.1, 0.8])
    assert other is not None
    assert (other.through, other.served) == (f"through {youngest}", None)


@pytest.mark.parametrize("damage", ["weights", "features", "schema", "newer"])
def test_what_no_scorer_can_read_is_counted_as_unusable(tmp_path: Path, damage: str) -> None:
    """Changed weights, features that do not fit, another schema, a schema of the future."""
    name = older_artifact(tmp_path / "one", "tuned")
    one = old(1, artifact=name)
    if damage == "weights":
        (tmp_path / "one" / WEIGHTS).write_bytes(b"nothing")
    if damage == "features":
        one = old(1, artifact=name, indices=np.array([1, 7, OLDER_COLUMNS]))
    if damage == "schema":
        one = old(1, artifact=name, feature_schema=-1)
    if damage == "newer":
        one = old(1, artifact=name, feature_schema=9, first_said=(0.2, 0.3, 0.5))

    counts = gather([one, label(2)], scorers=OldScorers(tmp_path)).counts

    assert (counts.read, counts.used, counts.older) == (2, 1, {})
    assert counts.unusable == {f"feature schema {one.feature_schema}, not 1": 1}


def test_gathered_beside_todays_labels_they_shape_no_arrays_of_theirs(tmp_path: Path) -> None:
    """They are counted by scorer, belong to the fold of their conversation, and are part of the digest."""
    name = older_artifact(tmp_path / "one", "tuned")
    talk = label(0).conversation
    rows = [label(0), old(1, artifact=name, conversation=talk), old(2, first_said=(0.5, 0.3, 0.2)), label(3), label(4)]

    found = gather(rows, scorers=OldScorers(tmp_path))
    without = gather(rows[:1] + rows[3:])
    folds = found.older.folds(np.array([3, 0, 0]), 4)

    assert found.labels.tolist() == without.labels.tolist()
    assert found.counts.older == {f"feature schema 0, through {name}": 1, "feature schema 0, as it was said then": 1}
    assert (found.counts.read, found.counts.used, found.counts.unusable) == (5, 3, {})
    assert found.counts.sha256 != without.counts.sha256
    assert (found.older.labels.tolist(), folds[0]) == ([1, 2], 3)


def test_their_words_say_what_was_served_whatever_share_the_join_of_today_takes(tmp_path: Path) -> None:
    """The join of today and that of their time take different shares of the first stage."""
    name = older_artifact(tmp_path / "one", "tuned")
    rows = [old(n, artifact=name, second_logodds=(0.5, 0.1, -0.4)) for n in range(4)] + [old(9, artifact=name)]
    older = gather(rows, scorers=OldScorers(tmp_path)).older

    served = older.words(0.35).served()

    assert served == pytest.approx(older.as_served(), abs=1e-9)
    assert older.words(0.35).joined().tolist() == [True] * 4 + [False]


def test_no_more_of_them_are_kept_than_of_todays(tmp_path: Path) -> None:
    """Memory does not grow with the log."""
    rows = [old(n, first_said=(0.2, 0.3, 0.5)) for n in range(50)]

    found = gather(rows, most=10)

    assert found.older.labels.size == 10
    assert found.counts.older == {"feature schema 0, as it was said then": 50}


def test_a_champion_is_kept_so_that_its_rows_outlive_a_new_schema(tmp_path: Path) -> None:
    """Two files, once; one that lies among the versions stays where it is."""
    versions = tmp_path / "versions"
    inside = versions / "tuned-1"
    older_artifact(inside, "tuned")

    for _ in range(2):
        keep(shipped_path(), versions)
        keep(inside, versions)

    kept = list((versions / "scorers").iterdir())
    assert len(kept) == 1
    assert sorted(p.name for p in kept[0].iterdir()) == [METADATA, WEIGHTS]
    (kept[0] / METADATA).write_text(
        (kept[0] / METADATA).read_text(encoding="utf-8").replace('"feature_schema": 1', '"feature_schema": 0')
    )
    scorer = next(one for one in OldScorers(versions).all if one.id.startswith("champion"))
    row = FeatureRow(np.zeros(scorer.scorer.mean.size), np.array([5]), np.array([1.0]))
    assert np.isfinite(scorer.scorer.logits(row)).all()
