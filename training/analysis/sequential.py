"""Intervals that stay valid however often somebody looks: asymptotic confidence sequences.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021, "Time-uniform central limit theory and asymptotic confidence
sequences", theorem 2.2, tightest at a sample size that is named beforehand (their appendix B.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.analysis.logged import LoggedRow


@dataclass(frozen=True, slots=True)
class Sequential:
    """A difference in success between two policies, safe to look at any time.

    Attributes:
        difference: Success of the one minus that of the other.
        low: and
        high: Bounds that hold at all times together with probability 0.95.
        units: Units with an outcome behind it.
    """

    difference: float
    low: float
    high: float
    units: int


def half_width(deviation: float, size: int, tightest: int, alpha: float = 0.05) -> float:
    """Half width of the confidence sequence of a mean.

    Args:
        deviation: Standard deviation of the terms.
        size: Number of terms so far.
        tightest: Number of terms at which the sequence is to be tightest.
        alpha: Probability of ever missing the truth.
    """
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tightest
    grown = size * rho2 + 1
    return deviation * math.sqrt(2 * grown / (size**2 * rho2) * math.log(math.sqrt(grown) / alpha))


def sequential_difference(rows: Sequence[LoggedRow], one: str, other: str, tightest: int) -> Sequential | None:
    """The difference in success between two randomly assigned policies.

    Args:
        rows: Requests of one experiment.
        one: A target.
        other: The target that it is compared with.
        tightest: Units at which the interval is to be tightest, named before the start (`minimum_units`).

    Returns:
        The difference, or None while either has no request with an outcome.
    """
    known = [row for row in rows if row.solved is not None and row.target is not None]
    solved = np.array([bool(row.solved) for row in known], dtype=np.float64)
    weights = [np.array([1 / row.propensity if row.target == name else 0.0 for row in known]) for name in (one, other)]
    if not known or any(w.sum() == 0 for w in weights):
        return None
    means = [float((w * solved).sum() / w.sum()) for w in weights]
    _, unit = np.unique(np.array([row.unit for row in known]), return_inverse=True)
    # The terms of the two ratio estimates, linearised, summed over each unit: their mean is 0, their spread the error.
    terms = sum(sign * w * (solved - mean) / w.mean() for sign, w, mean in zip((1, -1), weights, means, strict=True))
    by_unit = np.bincount(unit.reshape(-1), terms)
    units = by_unit.size
    deviation = float(by_unit.std(ddof=1)) * units / len(known) if units > 1 else math.inf
    width = half_width(deviation, units, tightest)
    gap = means[0] - means[1]
    return Sequential(gap, gap - width, gap + width, units)
