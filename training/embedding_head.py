"""Fit of the embedding's head, a multinomial logistic regression over vectors of length 1, and of its joins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.scorer import Stack, softmax
from training.stack import fit_stack

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Step = Callable[[int, int], None]

PENALTIES = (3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
"""Of the weights' squared length beside the mean log loss, the strongest first; held-out groups choose."""

MOST_STEPS = 80
LEAST_JOINED = 60
"""Rows below which a join is not fitted: then the head has no say there."""

LEAST_TRUST = 0.2
"""Weight of the stages' log-probabilities below which these rows contradict them, and no join can be read off them."""


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted head.

    Attributes:
        weights: (d, 3).
        bias: (3,).
        penalty: That was chosen.
        held_out: (n, 3) log-odds of each row by a head that had not seen its fold.
    """

    weights: Floats
    bias: Floats
    penalty: float
    held_out: Floats


def fit_head(x: Vectors, soft: Floats, weights: Floats, fold: NDArray[np.intp], step: Step) -> Head:
    """Fit a head, its strength chosen by rows that were held out.

    Args:
        x: (n, d) vectors of length 1.
        soft: (n, 3) label distributions.
        weights: (n,).
        fold: (n,) fold of each row.
        step: Called with (done, of) after each fit.
    """
    folds = np.unique(fold)
    out = np.zeros((len(PENALTIES), *soft.shape))
    of = folds.size * len(PENALTIES) + 1
    for place, k in enumerate(folds):
        use, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        flat: Floats | None = None
        for i, penalty in enumerate(PENALTIES):
            flat, mean = _fitted(x[use], soft[use], weights[use], penalty, flat)
            out[i, test] = _logits(x[test], flat, mean)
            step(place * len(PENALTIES) + i + 1, of)
    losses = [_loss(softmax(one), soft, weights) for one in out]
    best = int(np.argmin(losses))
    flat, mean = _fitted(x, soft, weights, PENALTIES[best], None)
    step(of, of)
    table = flat.reshape(-1, 3)
    return Head(table[:-1], table[-1] - mean @ table[:-1], PENALTIES[best], out[best])


def fit_join(plain: Floats, logodds: Floats, soft: Floats, weights: Floats) -> Stack:
    """The join of the stages' probabilities with the head's log-odds: what the vectors tell beyond the stages, alone.

    The stages are calibrated on prompts that are not all here. A join fitted freely would calibrate them anew on these
    rows, and would look like a gain of vectors that say nothing. So two are fitted, one of them without the vectors,
    and the one is read through the inverse of the other: where the vectors tell nothing it is the identity.

    Args:
        plain: (n, 3) probabilities out of source.
        logodds: (n, 3) of heads that had not seen the row's fold.
        soft: (n, 3) label distributions.
        weights: (n,).

    Returns:
        The join; the identity of fewer than `LEAST_JOINED` rows, and where the head is no help.
    """
    if plain.shape[0] >= LEAST_JOINED:
        none = np.zeros((plain.shape[0], 0))
        heard, deaf = (fit_stack(plain, said, none, soft, weights) for said in (logodds, np.zeros_like(logodds)))
        if (
            deaf.first >= LEAST_TRUST and heard.second > 0
        ):  # a head that is right by turning it round has learnt nothing
            offset = (heard.offset - deaf.offset) / deaf.first
            return Stack(heard.first / deaf.first, heard.second / deaf.first, offset, np.zeros((0, 3)))
    return Stack(1.0, 0.0, np.zeros(3), np.zeros((0, 3)))


def _fitted(x: Vectors, soft: Floats, weights: Floats, penalty: float, start: Floats | None) -> tuple[Floats, Floats]:
    """((d + 1) * 3 weights of centred vectors and a constant, (d,) the centre)."""
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    d = x.shape[1]
    mean = x.mean(axis=0)
    centred = x - mean
    share = weights / weights.sum()

    def loss(flat: Floats) -> tuple[float, Floats]:
        table = flat.reshape(d + 1, 3)
        p = softmax((centred @ table[:-1].astype(np.float32)).astype(np.float64) + table[-1])
        error = share[:, None] * (p - soft)
        value = -(share[:, None] * soft * np.log(np.maximum(p, 1e-12))).sum() + penalty * (table[:-1] ** 2).sum()
        gradient = np.empty_like(table)
        gradient[:-1] = (centred.T @ error.astype(np.float32)).astype(np.float64) + 2 * penalty * table[:-1]
        gradient[-1] = error.sum(axis=0)
        return float(value), gradient.ravel()

    begin = np.zeros((d + 1) * 3) if start is None else start
    # As everywhere here: threads would wait for each other longer than they work.
    with threadpool_limits(1):
        found: Any = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS})
    return np.asarray(found.x, dtype=np.float64), mean.astype(np.float64)


def _logits(x: Vectors, flat: Floats, mean: Floats) -> Floats:
    table = flat.reshape(-1, 3)
    return np.asarray((x - mean) @ table[:-1] + table[-1], dtype=np.float64)


def _loss(p: Floats, soft: Floats, weights: Floats) -> float:
    losses = -(soft * np.log(np.maximum(p, 1e-12))).sum(axis=1)
    return float(np.average(losses, weights=weights))
