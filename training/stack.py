"""Joining both stages: a handful of numbers fitted on predictions that neither stage was trained for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifier.scorer import Stack, softmax

Floats = NDArray[np.float64]


STRUCTURE_RIDGE = 1.0
"""Pull of the structure weights towards none. Of .003 to 3 the best calibrated out of source (training/LOG.md)."""


def fit_stack(
    first: Floats, second: Floats, scaled: Floats, soft: Floats, weights: Floats, *, ridge: float = 1e-3
) -> Stack:
    """Fit the join by minimal weighted log loss.

    Args:
        first: (n, 3) probabilities of the calibrated first stage, out of source.
        second: (n, 3) log-odds of the second stage, out of source.
        scaled: (n, s) structure features as the first stage's scorer scales them.
        soft: (n, 3) label distributions.
        weights: (n,) row weights.
        ridge: Pull towards an even mixture without offsets.

    Returns:
        The join.
    """
    from scipy.optimize import minimize

    w = weights / weights.sum()
    logs = np.log(np.maximum(first, 1e-9))
    size = scaled.shape[1]
    start = np.concatenate(([0.5, 0.5], np.zeros(2 + 2 * size)))
    pull = np.concatenate((np.full(4, ridge), np.full(2 * size, STRUCTURE_RIDGE)))

    def loss(x: Floats) -> tuple[float, Floats]:
        p = softmax(logs * x[0] + second * x[1] + np.append(x[2:4], 0.0) + scaled @ _three(x[4:]))
        error = (p - soft) * w[:, None]
        gradient = np.concatenate(
            (
                [(error * logs).sum(), (error * second).sum()],
                error.sum(axis=0)[:2],
                (scaled.T @ error)[:, :2].ravel(),
            )
        )
        gap = x - start
        value = -(w * (soft * np.log(np.maximum(p, 1e-12))).sum(axis=1)).sum() + (pull * gap * gap).sum()
        return float(value), gradient + 2 * pull * gap

    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    offset, structure = np.append(found[2:4], 0.0), _three(found[4:])
    return Stack(
        float(found[0]), float(found[1]), offset - offset.mean(), structure - structure.mean(axis=1, keepdims=True)
    )


def _three(flat: Floats) -> Floats:
    """(2 s,) weights of two tiers to (s, 3), the third tier's being none."""
    two = flat.reshape(-1, 2)
    return np.column_stack((two, np.zeros(two.shape[0])))
