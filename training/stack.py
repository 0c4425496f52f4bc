"""Joining both stages: a handful of numbers fitted on predictions that neither stage was trained for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifier.scorer import Stack, softmax

Floats = NDArray[np.float64]


def fit_stack(first: Floats, second: Floats, soft: Floats, weights: Floats, *, ridge: float = 1e-3) -> Stack:
    """Fit the join by minimal weighted log loss.

    Args:
        first: (n, 3) probabilities of the calibrated first stage, out of source.
        second: (n, 3) log-odds of the second stage, out of source.
        soft: (n, 3) label distributions.
        weights: (n,) row weights.
        ridge: Pull towards an even mixture without offsets.

    Returns:
        The join.
    """
    from scipy.optimize import minimize

    w = weights / weights.sum()
    logs = np.log(np.maximum(first, 1e-9))
    start = np.array([0.5, 0.5, 0.0, 0.0])

    def loss(x: Floats) -> float:
        p = softmax(logs * x[0] + second * x[1] + np.append(x[2:], 0.0))
        gap = x - start
        return float(-(w * (soft * np.log(np.maximum(p, 1e-12))).sum(axis=1)).sum() + ridge * (gap @ gap))

    found = minimize(loss, start, method="L-BFGS-B")
    offset = np.append(found.x[2:], 0.0)
    return Stack(float(found.x[0]), float(found.x[1]), offset - offset.mean())
