"""Cost against quality over the whole range: from everything to lightweight to everything to reasoning.

What an answer costs is that of the chain in ``configs/two-macs.yaml`` (`classifier.costs`): money, and seconds at what
a second is worth there. Quality is the share of requests that got at least their tier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.policy import choose_index
from training.costs import STAKES, TWO_MACS, TierCost
from training.metrics import confusion

Floats = NDArray[np.float64]
Tiers = NDArray[np.intp]

FACTORS = (0.0, *(float(f) for f in np.geomspace(1e-3, 1e3, 61)), 1e9)
"""Factors on the cost of sending a request too low: from careless (all to lightweight) to careful (all to reasoning),
1, the policy itself, in the middle."""

LEVELS = tuple(round(0.1 * i, 1) for i in range(11))
"""Costs at which arms are compared: 0 = all to lightweight, 1 = all to reasoning."""

SHUFFLED = "own tier mix, shuffled"


def answer_cents(chain: Sequence[TierCost] = TWO_MACS, second_cents: float = STAKES["default"].second_cents) -> Floats:
    """(3,) cost of a typical answer by tier in cents, waiting included."""
    return np.array([tier.cents + second_cents * tier.seconds for tier in chain])


def cost_curve(
    probabilities: Floats, true: Tiers, weights: Floats, matrix: Sequence[Sequence[float]], *, shuffle: bool = False
) -> list[dict[str, float]]:
    """Mean cost and quality while the policy's fear of under-routing is scaled from nothing to everything.

    Args:
        probabilities: (n, 3).
        true: (n,) tier positions.
        weights: (n,) row weights.
        matrix: The policy's cost matrix; its costs of under-routing are scaled.
        shuffle: Deal each point's tier mix at random over the requests instead (the expectation, not one draw).

    Returns:
        Points by rising cost: `factor`, `cents` with waiting, `money_cents`,
        `seconds`, `to_reasoning` and `enough`, the share of requests that got at least their tier.
    """
    everything = float(weights.sum())
    points = []
    for factor in FACTORS:
        scaled = np.array(matrix, dtype=np.float64)
        scaled[np.tril_indices(3, -1)] *= factor
        table = confusion(true, choose_index(probabilities, scaled.tolist()), weights) / everything
        if shuffle:
            table = np.outer(table.sum(axis=1), table.sum(axis=0))
        points.append({"factor": factor, **_point(table)})
    return sorted(points, key=lambda point: point["cents"])


def _point(table: Floats) -> dict[str, float]:
    mix = table.sum(axis=0)
    return {
        "cents": float(mix @ answer_cents()),
        "money_cents": float(mix @ [tier.cents for tier in TWO_MACS]),
        "seconds": float(mix @ [tier.seconds for tier in TWO_MACS]),
        "to_reasoning": float(mix[2]),
        "enough": float(np.triu(table).sum()),
    }


def quality_at(points: Sequence[Mapping[str, float]], cents: float) -> float:
    """Quality at a mean cost; between two points requests are dealt between both thresholds, so it is linear."""
    return float(np.interp(cents, [p["cents"] for p in points], [p["enough"] for p in points]))


def cost_figures(
    arms: Mapping[str, Floats], own: str, true: Tiers, weights: Floats, matrix: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Curves of several arms, and of one arm's tier mix shuffled, compared at the same cost.

    Args:
        arms: (n, 3) probabilities by arm.
        own: The arm whose tier mix is shuffled.
        true: (n,) tier positions.
        weights: (n,) row weights.
        matrix: The policy's cost matrix.

    Returns:
        `curves` by arm, and `levels`: one row a cost with the quality of each arm.
    """
    curves = {name: cost_curve(p, true, weights, matrix) for name, p in arms.items()}
    curves[SHUFFLED] = cost_curve(arms[own], true, weights, matrix, shuffle=True)
    low, high = (float(answer_cents()[tier]) for tier in (0, 2))
    levels = []
    for level in LEVELS:
        cents = low + level * (high - low)
        levels.append({"level": level, "cents": cents} | {k: quality_at(points, cents) for k, points in curves.items()})
    return {"curves": curves, "levels": levels}
