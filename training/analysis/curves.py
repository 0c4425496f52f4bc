"""The curve of cost against quality of a score, and RouteLLM's APGR and CPT from the same outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.policy import choose_index
from training.analysis.arms import Outcomes
from training.outcomes import Curve, curve

Floats = NDArray[np.float64]

SCALES = np.geomspace(0.01, 100, 41)
"""Factors on the cost of sending a request too low: from careless to careful."""


@dataclass(frozen=True, slots=True)
class CostPoint:
    """One point of the curve: US dollars a request, success 0 to 1, and the factor that gave it."""

    cost: float
    success: float
    scale: float


def cost_curve(table: Outcomes, probabilities: Floats, matrix: Sequence[Sequence[float]]) -> tuple[CostPoint, ...]:
    """Cost and success while the policy's fear of under-routing is scaled.

    Args:
        table: The outcomes.
        probabilities: (n, 3).
        matrix: The policy's cost matrix.

    Returns:
        Points by rising scale, without repetitions; empty where a cost is unknown.
    """
    if not np.isfinite(table.cost).all():
        return ()
    rows = np.arange(len(table))
    points: list[CostPoint] = []
    for scale in SCALES:
        scaled = np.array(matrix, dtype=np.float64)
        scaled[np.tril_indices(3, -1)] *= scale
        tiers = choose_index(probabilities, scaled.tolist())
        cost, success = float(table.cost[rows, tiers].mean()), float(table.ok[rows, tiers].mean())
        if not points or (points[-1].cost, points[-1].success) != (cost, success):
            points.append(CostPoint(cost, success, float(scale)))
    return tuple(points)


def need_curve(table: Outcomes, probabilities: Floats, weak: int = 0, strong: int = 2) -> Curve | None:
    """APGR and CPT of 1 - P(weak tier) between two tiers.

    Args:
        table: The outcomes.
        probabilities: (n, 3).
        weak: Position of the weak tier.
        strong: Position of the strong tier.

    Returns:
        The figures, or None where the strong tier is not better: there is no gap to recover.
    """
    if table.ok[:, strong].mean() <= table.ok[:, weak].mean():
        return None
    return curve(1 - probabilities[:, weak], table.ok[:, weak], table.ok[:, strong])
