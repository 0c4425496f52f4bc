"""The reference of a training set, and when traffic no longer looks like it."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from classifier import view_of
from classifier.features import FeatureRow, feature_row
from training.reference import KEY, Reference, chi_squared_quantile, reference_of, stability

SUBJECTS = ("harbour", "bakery", "railway", "garden", "clinic", "library", "orchestra", "vineyard")
VERBS = ("plan", "describe", "shorten", "translate", "explain", "list", "compare", "check")
ENDS = ("for the spring", "in one line", "with three examples", "before noon?", "as a table", "for a child", "?")

Asked = tuple[FeatureRow, str, list[float]]


def asked(seed: int) -> Asked:
    """One ask with language and probabilities, as if it were logged."""
    dice = random.Random(seed)
    words = " ".join(f"the {dice.choice(SUBJECTS)}" for _ in range(dice.randint(1, 6)))
    text = f"{dice.choice(VERBS)} {words} {dice.choice(ENDS)}"
    tier = dice.choice((0, 0, 1, 2))
    return feature_row(view_of(text)), "en", [0.8 if place == tier else 0.1 for place in range(3)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Of a thousand asks, through the JSON of an artifact's metadata."""
    rows = [asked(seed) for seed in range(1_000)]
    made = reference_of([r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows]))
    found = Reference.of(json.loads(json.dumps({KEY: made})))
    assert found is not None
    return found


def drifted(reference: Reference, rows: list[Asked]) -> set[str]:
    """Groups that have drifted."""
    tally = reference.tally()
    for row in rows:
        tally.add(*row)
    return {shift.group for shift in tally.shifts() if shift.drifted}


@pytest.mark.parametrize("number", [100, 1_000])
def test_the_same_traffic_has_not_drifted(reference: Reference, number: int) -> None:
    """Fresh asks of the same kind, few or many."""
    assert drifted(reference, [asked(10_000 + seed) for seed in range(number)]) == set()


def test_chance_alone_seldom_alarms(reference: Reference) -> None:
    """Sixty weeks of little traffic without drift: at most two alarms."""
    alarms = [drifted(reference, [asked(w * 1_000 + seed) for seed in range(60)]) for w in range(20, 80)]

    assert sum(bool(groups) for groups in alarms) <= 2


def test_each_group_speaks_for_itself(reference: Reference) -> None:
    """Longer asks, another language, new words, code, harder requests."""
    base = [asked(20_000 + seed) for seed in range(400)]

    def with_text(change: str) -> list[Asked]:
        return [(feature_row(view_of(f"{change} {number}")), "en", [0.8, 0.1, 0.1]) for number in range(400)]

    assert "tiers" in drifted(reference, [(row, language, [0.1, 0.1, 0.8]) for row, language, _ in base])
    assert "language" in drifted(reference, [(row, "de", vector) for row, _, vector in base])
    assert "language" in drifted(reference, with_text("объясни гавань на завтра"))
    assert "words" in drifted(reference, with_text("zygote quixotic fjord syzygy flummox"))
    assert "length" in drifted(reference, with_text("describe the harbour and the garden. " * 20))
    assert "structure" in drifted(reference, with_text("explain\n```python\ndef f(): return 1\n```\n"))


def test_an_artifact_without_a_reference_has_none() -> None:
    """Nor one with a reference of other features."""
    assert Reference.of({}) is None
    assert Reference.of({KEY: {"schema": 0, "rows": 1, "histograms": {}, "words": ""}}) is None


def test_the_reference_is_small() -> None:
    """It is part of a JSON file that people read."""
    rows = [asked(seed) for seed in range(50)]

    made = reference_of([r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows]))

    assert len(json.dumps(made)) < 20_000


def test_a_reference_needs_rows() -> None:
    """And languages and probabilities for each."""
    with pytest.raises(ValueError, match="rows"):
        reference_of([], [], np.zeros((0, 3)))
    with pytest.raises(ValueError, match="rows"):
        reference_of([asked(1)[0]], [], np.zeros((1, 3)))


def test_the_bound_knows_the_size_of_the_sample() -> None:
    """Few requests move the index by chance, so their bound is higher; many are held to the usual 0.2."""
    expected = np.full(10, 1_000.0)

    few = stability(expected, np.full(10, 3.0), comparisons=30)[1]
    many = stability(expected, np.full(10, 300.0), comparisons=30)[1]

    assert few > 0.5
    assert many == 0.2


@pytest.mark.parametrize(("level", "degrees", "expected"), [(0.95, 1, 3.841), (0.99, 9, 21.666), (0.9995, 4, 19.997)])
def test_quantiles_of_the_chi_squared_distribution(level: float, degrees: int, expected: float) -> None:
    """Against the printed tables."""
    assert chi_squared_quantile(level, degrees) == pytest.approx(expected, rel=0.03)
