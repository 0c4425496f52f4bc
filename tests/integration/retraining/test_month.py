"""Corrections make the champion better where they are honest, and leave it alone where they are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.artifact import load_artifact
from classifier.tiers import Tier, tier_index
from training import retrain
from training.correction import Plan
from training.gate import judge
from training.month import World, attempt, corrections, label_of, play

pytestmark = pytest.mark.timeout(900)


def test_two_hundred_honest_corrections_in_one_domain_are_promoted(place: World, tmp_path: Path) -> None:
    """The domain is outside of what the champion was trained with; the gate lets the challenger through."""
    artifact = load_artifact(place.champion)
    rows = [r for r in place.traffic + place.held_out if r.id.startswith("ev")] or list(place.traffic)
    picked = np.random.default_rng(0).permutation(len(rows))[:200]
    said = [label_of(rows[i], artifact, n, tier_index(rows[i].tier)) for n, i in enumerate(picked)]
    plan = Plan(place.champion, tmp_path / "new", data=place.data, cache=place.data / "cache")

    made = retrain.run(plan, said)

    assert judge(made.path, place.champion, data=place.data).reason.startswith("it loses nowhere")


def test_a_month_with_wrong_corrections_among_them_gains(place: World, tmp_path: Path) -> None:
    """5 % of the requests corrected, a tenth of that wrong: held-out requests gain beyond their interval."""
    month = play(place, tmp_path / "new", corrections(place, kind="honest", seed=0))

    assert month.judgement.ok, month.judgement.reason
    assert month.gain_interval[0] > 0
    assert month.right > 0


def test_random_corrections_promote_nothing(place: World, tmp_path: Path) -> None:
    """Twenty months of dice: at most one challenger gets through."""
    promoted = [
        seed
        for seed in range(20)
        if attempt(place, tmp_path / str(seed), corrections(place, kind="random", seed=seed), seed).ok
    ]

    assert len(promoted) <= 1


def test_a_poisoned_set_is_refused_with_its_reason(place: World, tmp_path: Path) -> None:
    """Labels that say the opposite of the truth are called that."""
    judgement = attempt(place, tmp_path / "new", corrections(place, kind="opposite", seed=0))

    assert not judgement.ok
    assert "poison: the labels of all callers" in judgement.reason


def test_one_hostile_caller_is_named(place: World, tmp_path: Path) -> None:
    """Among honest callers, the one who says the opposite is the reason."""
    artifact = load_artifact(place.champion)
    said = corrections(place, kind="honest", seed=1)
    random = np.random.default_rng(5)
    rows = [place.traffic[int(i)] for i in random.permutation(len(place.traffic))[:120]]
    said += [label_of(r, artifact, 10_000 + n, 2 - tier_index(r.tier), caller="mallory") for n, r in enumerate(rows)]

    judgement = attempt(place, tmp_path / "new", said)

    assert not judgement.ok
    assert "caller mallory" in judgement.reason


def test_the_same_labels_and_seed_give_the_same_bytes(place: World, tmp_path: Path) -> None:
    """A retraining can be repeated."""
    said = corrections(place, kind="honest", seed=2, requests=1_500)

    ids = [
        retrain.run(Plan(place.champion, tmp_path / n, data=place.data, cache=place.data / "cache"), said).id
        for n in ("a", "b")
    ]

    assert ids[0] == ids[1]


def test_labels_of_an_older_schema_tune_calibration_through_what_was_said_then(place: World, tmp_path: Path) -> None:
    """They shape no weights, move the calibration towards what they say, and are named; so are those without a word."""
    said = corrections(place, kind="honest", seed=3, requests=1_500)
    older = [
        replace(
            said[n % len(said)], decision_id=f"dec_{n:031x}e", conversation=f"before-{n}", feature_schema=0,
            structure=np.zeros(2), tier=Tier.REASONING, first_said=(0.5, 0.3, 0.2) if n else None,
        )
        for n in range(200)
    ]  # fmt: skip

    plain, moved = (
        retrain.run(Plan(place.champion, tmp_path / n, data=place.data, cache=place.data / "cache"), rows)
        for n, rows in (("plain", said), ("moved", said + older))
    )

    assert moved.report["labels"]["older"] == {"feature schema 0, as it was said then": 199}
    assert moved.report["labels"]["unusable"] == {"feature schema 0, not 1": 1}
    assert any(note.startswith("199 labels tune calibration and join") for note in moved.notes)
    one, two = (load_artifact(made.path) for made in (plain, moved))
    assert np.array_equal(one.first.hashed_weights, two.first.hashed_weights)
    assert two.calibration.offset[2] > one.calibration.offset[2] + 0.01
