"""Calibration on predictions of models that had not seen the source of the row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifier.record import TEAM_WRITTEN
from classifier.scorer import Calibration, softmax

Floats = NDArray[np.float64]


def fit_calibration(logits: Floats, soft: Floats, weights: Floats, *, ridge: float = 1e-3) -> Calibration:
    """Vector scaling by minimal weighted log loss (Guo et al. 2017), one common slope and an offset per tier.

    Args:
        logits: (n, 3) out-of-source log-odds.
        soft: (n, 3) label distributions.
        weights: (n,) row weights.
        ridge: Pull of the slope towards 1 and of the offsets towards 0.

    Returns:
        The calibration.
    """
    from scipy.optimize import minimize

    w = weights / weights.sum()

    def loss(parameters: Floats) -> float:
        p = softmax(logits * np.exp(parameters[0]) + np.append(parameters[1:], 0.0))
        return float(-(w * (soft * np.log(np.maximum(p, 1e-12))).sum(axis=1)).sum() + ridge * (parameters @ parameters))

    found = minimize(loss, np.zeros(3), method="L-BFGS-B")
    offset = np.append(found.x[1:], 0.0)
    return Calibration(np.full(3, float(np.exp(found.x[0]))), offset - offset.mean())


TEAM_SHARE = {"written": 0.25, "natural": 0.1}
"""What our own rows weigh in a calibration, beside all real prompts together: they are clearer than life, and a model
that is calibrated on them is too sure of real prompts (training/LOG.md)."""


TIER_SHARE = np.array([1.0, 1.1, 2.0])
"""What a label of each tier weighs in a calibration. Public prompts hold fewer hard ones (9 % reasoning) than people
send to a router, and between two tiers the lower one is right only where it is sure. Of 1 to 5 for reasoning the best
in macro-F1 and calibration error out of source (training/LOG.md)."""


def calibration_weights(sources: NDArray[np.str_], weights: Floats, soft: Floats) -> Floats:
    """Weights with which real sources count the same each, our own their share, and tiers theirs.

    Args:
        sources: (n,) source of each row.
        weights: (n,) weights of the records.
        soft: (n, 3) label distributions.

    Returns:
        (n,) weights.
    """
    found = balanced_weights(sources) * weights
    real = found[~np.isin(sources, TEAM_WRITTEN)].sum()
    for name, share in TEAM_SHARE.items():
        own = sources == name
        if own.any() and real:
            found[own] *= share * real / found[own].sum()
    result: Floats = found * (soft @ TIER_SHARE)
    return result


def balanced_weights(sources: NDArray[np.str_]) -> Floats:
    """(n,) weights with which each source counts the same, mean 1; none for no rows."""
    _, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
    if not sources.size:
        return np.empty(0)
    weights = 1.0 / counts[inverse]
    return np.asarray(weights / weights.mean(), dtype=np.float64)
