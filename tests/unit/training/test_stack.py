"""The join of both stages."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.scorer import softmax
from training.stack import fit_stack


def simulated(size: int, shift: float) -> tuple[np.ndarray, ...]:
    """Two noisy stages over a known truth that a structure feature shifts: (first, second, scaled, soft)."""
    random = np.random.default_rng(3)
    scaled = random.normal(size=(size, 2))
    logits = random.normal(size=(size, 3)) * 1.5
    truth = softmax(logits + np.column_stack((scaled[:, 0] * shift, np.zeros(size), np.zeros(size))))
    labels = np.array([random.choice(3, p=p) for p in truth])
    return softmax(logits + random.normal(size=(size, 3)) * 0.3), logits, scaled, np.eye(3)[labels]


def test_structure_that_shifts_the_truth_gets_a_weight_and_pays() -> None:
    """The fitted join lowers the log loss below that of a join without structure, on rows that it had not seen."""
    first, second, scaled, soft = simulated(6_000, 1.0)
    train, test = slice(0, 4_000), slice(4_000, 6_000)
    even = np.ones(4_000)

    with_it = fit_stack(first[train], second[train], scaled[train], soft[train], even)
    without = fit_stack(first[train], second[train], np.zeros_like(scaled[train]), soft[train], even)

    def loss(p: np.ndarray) -> float:
        return float(-(soft[test] * np.log(p)).sum(axis=1).mean())

    better = loss(with_it.probabilities(first[test], second[test], scaled[test]))
    assert better < loss(without.probabilities(first[test], second[test], scaled[test])) - 0.01
    assert with_it.structure[0, 0] > 0.03


def test_structure_that_says_nothing_gets_next_to_no_weight() -> None:
    """The pull towards none holds noise down."""
    first, second, scaled, soft = simulated(4_000, 0.0)

    fitted = fit_stack(first, second, scaled, soft, np.ones(4_000))

    assert np.abs(fitted.structure).max() < 0.02


def test_probabilities_of_one_row_and_of_many_agree() -> None:
    """Serving joins row by row what training joins at once."""
    first, second, scaled, soft = simulated(50, 1.0)
    fitted = fit_stack(first, second, scaled, soft, np.ones(50))

    many = fitted.probabilities(first, second, scaled)

    one = np.array([fitted.probabilities(first[i], second[i], scaled[i]) for i in range(50)])
    assert many == pytest.approx(one, abs=1e-12)
    assert many.sum(axis=1) == pytest.approx(np.ones(50))
