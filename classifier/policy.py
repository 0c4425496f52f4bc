"""From probabilities to a tier: least expected cost of error, ties go up.

The one copy that routing, training and evaluation use. A matrix is 3 x 3, rows = true tier, columns = routed
tier, in the
order of `TIERS`; its unit is arbitrary (only ratios matter) and its diagonal is usually 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from classifier.tiers import TIERS, Tier

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

TIE = 1e-12
"""Expected costs closer than this are equal, and the higher tier is taken."""


def as_matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    """Check and freeze a cost matrix.

    Args:
        rows: Three rows (true tier) of three finite costs >= 0 (routed tier).

    Returns:
        The same numbers as nested tuples.

    Raises:
        ValueError: Wrong shape, a negative or a non-finite cost.
    """
    array = np.asarray(rows, dtype=np.float64)
    if array.shape != (3, 3):
        raise ValueError(f"a cost matrix is 3 x 3 (true tier x routed tier), not {array.shape}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError("costs must be finite and not negative")
    first, second, third = (tuple(float(v) for v in row) for row in array)
    return (first, second, third)  # type: ignore[return-value]  # three floats each: the shape was checked above


@lru_cache(maxsize=64)
def _frozen(rows: Matrix) -> Matrix:
    return as_matrix(list(rows))


def known_matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    """`as_matrix`, which checks the same tuples once."""
    if isinstance(rows, tuple) and all(isinstance(row, tuple) for row in rows):
        return _frozen(rows)
    return as_matrix(rows)


def expected_costs(probabilities: NDArray[np.float64], matrix: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Expected cost of each routed tier.

    Args:
        probabilities: (..., 3) in the order of `TIERS`.
        matrix: 3 x 3, rows = true tier, columns = routed tier.

    Returns:
        (..., 3): cost of routing to each tier.
    """
    return np.asarray(probabilities, dtype=np.float64) @ np.asarray(matrix, dtype=np.float64)


def choose_index(probabilities: NDArray[np.float64], matrix: Sequence[Sequence[float]]) -> NDArray[np.intp]:
    """Vectorised `choose`: (n, 3) probabilities to (n,) tier positions."""
    costs = np.atleast_2d(expected_costs(probabilities, matrix))
    least = costs.min(axis=1, keepdims=True)
    # The last column within the tie is the highest tier: unsure goes up.
    chosen: NDArray[np.intp] = 2 - np.argmax((costs <= least + TIE)[:, ::-1], axis=1)
    return chosen


def choose(probabilities: Mapping[Tier, float], matrix: Sequence[Sequence[float]]) -> Tier:
    """The tier of least expected cost; ties go up.

    Args:
        probabilities: Probability of each tier; a missing tier counts as 0.
        matrix: 3 x 3, rows = true tier, columns = routed tier.

    Returns:
        The chosen tier.
    """
    p1, p2, p3 = (probabilities.get(tier, 0.0) for tier in TIERS)
    return TIERS[cheapest(p1, p2, p3, matrix)]


def cheapest(p1: float, p2: float, p3: float, matrix: Sequence[Sequence[float]]) -> int:
    """`choose` by position: three probabilities, 3 x 3 costs. In plain Python: arrays of three cost ten times as much.

    Args:
        p1: Probability of lightweight; all three may be too large by one factor.
        p2: Of coding.
        p3: Of reasoning.
        matrix: 3 x 3, rows = true tier, columns = routed tier.

    Returns:
        0, 1 or 2.
    """
    (l1, c1, r1), (l2, c2, r2), (l3, c3, r3) = matrix
    light, coding, reasoning = (p1 * l1 + p2 * l2 + p3 * l3, p1 * c1 + p2 * c2 + p3 * c3, p1 * r1 + p2 * r2 + p3 * r3)
    least = min(light, coding, reasoning) + TIE * (p1 + p2 + p3)
    return 2 if reasoning <= least else 1 if coding <= least else 0


def least_cost(probabilities: Mapping[Tier, float], matrix: Sequence[Sequence[float]]) -> float:
    """Expected cost of the tier that `choose` takes: how unsure the decision is, in the unit of the matrix."""
    return float(expected_costs(np.array([probabilities.get(tier, 0.0) for tier in TIERS]), matrix).min())
