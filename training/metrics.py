"""Figures of a prediction: accuracy, macro-F1, under- and over-routing, calibration, the curve of cost against
quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.policy import choose_index

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def confusion(true: Ints, routed: Ints, weights: Floats | None = None) -> Floats:
    """(3, 3) weighted counts, rows = true tier, columns = routed tier."""
    table = np.zeros((3, 3))
    np.add.at(table, (true, routed), np.ones(true.size) if weights is None else weights)
    return table


def accuracy(table: Floats) -> float:
    """Share on the diagonal of a confusion table, 0 for an empty one."""
    return float(np.trace(table) / table.sum()) if table.sum() else 0.0


def macro_f1(table: Floats) -> float:
    """Mean F1 of the tiers that occur as true or routed."""
    hit = np.diag(table)
    size = table.sum(axis=0) + table.sum(axis=1)
    return float((2 * hit[size > 0] / size[size > 0]).mean()) if (size > 0).any() else 0.0


def under_routed(table: Floats) -> float:
    """Share of reasoning requests sent to lightweight."""
    return float(table[2, 0] / table[2].sum()) if table[2].sum() else 0.0


def over_routed(table: Floats) -> float:
    """Share of all requests sent above their tier."""
    return float((table[0, 1] + table[0, 2] + table[1, 2]) / table.sum()) if table.sum() else 0.0


def lightweight_kept(table: Floats) -> float:
    """Share of lightweight requests sent to lightweight."""
    return float(table[0, 0] / table[0].sum()) if table[0].sum() else 0.0


def reached(probabilities: Floats, true: Ints, share: float, weights: Floats | None = None) -> float:
    """Of the requests that need reasoning, the share among the `share` of prompts with the highest P(reasoning).

    Args:
        probabilities: (n, 3).
        true: (n,) tier positions.
        share: Share of all (weighted) prompts that may go to reasoning, 0 to 1.
        weights: (n,) row weights; None: all the same.

    Returns:
        Weighted recall, 0 to 1.
    """
    w = np.ones(true.size) if weights is None else weights
    order = np.argsort(-probabilities[:, 2], kind="stable")
    # A row that straddles the limit counts with the part of it that fits, so that the curve has no steps.
    before = np.concatenate(([0.0], np.cumsum(w[order])[:-1]))
    part = np.clip((share * w.sum() - before) / np.maximum(w[order], 1e-12), 0, 1)
    need = w * (true == 2)
    return float((part * need[order]).sum() / need.sum()) if need.sum() else 0.0


def kept_at(probabilities: Floats, true: Ints, limit: float = 0.02, weights: Floats | None = None) -> float:
    """Lightweight kept when thresholds on P(reasoning) and P(lightweight) hold reasoning sent to lightweight
    to `limit`.

    The threshold is picked on the rows themselves, so it flatters; the policy's own figure is the honest one.
    """
    w = np.ones(true.size) if weights is None else weights
    order = np.argsort(-probabilities[:, 0], kind="stable")
    reasoning = np.cumsum((w * (true == 2))[order]) / max((w * (true == 2)).sum(), 1e-12)
    kept = np.cumsum((w * (true == 0))[order]) / max((w * (true == 0)).sum(), 1e-12)
    allowed = reasoning <= limit
    return float(kept[allowed].max()) if allowed.any() else 0.0


def ece(probabilities: Floats, true: Ints, bins: int = 10, weights: Floats | None = None) -> float:
    """Expected calibration error of the top label in bins of equal mass (Guo et al. 2017; Nixon et al. 2019)."""
    w = np.ones(true.size) if weights is None else weights
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    total = 0.0
    for part in equal_mass(confidence, bins, w):
        mass = w[part].sum()
        gap = (w[part] * (hit[part].astype(float) - confidence[part])).sum() / max(mass, 1e-12)
        total += mass / w.sum() * abs(gap)
    return float(total)


def equal_mass(values: Floats, bins: int, weights: Floats) -> list[Ints]:
    """Rows of `values` in bins of equal weight, lowest first."""
    order = np.argsort(values, kind="stable")
    place = np.cumsum(weights[order]) - weights[order] / 2
    edges = np.minimum((place / weights.sum() * bins).astype(int), bins - 1)
    return [order[edges == b] for b in range(bins) if (edges == b).any()]


def brier(probabilities: Floats, true: Ints, weights: Floats | None = None) -> float:
    """Multi-class Brier score, 0 (perfect) to 2."""
    w = np.ones(true.size) if weights is None else weights
    return float((w * ((probabilities - np.eye(3)[true]) ** 2).sum(axis=1)).sum() / w.sum())


def summary(
    probabilities: Floats, true: Ints, matrix: Sequence[Sequence[float]], weights: Floats | None = None
) -> dict[str, float]:
    """All figures of one set of probabilities under one cost matrix.

    Args:
        probabilities: (n, 3).
        true: (n,) tier positions.
        matrix: Cost of error for the policy's decision.
        weights: (n,) row weights.

    Returns:
        Figures by name.
    """
    top = confusion(true, probabilities.argmax(axis=1), weights)
    policy = confusion(true, choose_index(probabilities, matrix), weights)
    return {
        "rows": float(true.size),
        "accuracy": accuracy(top),
        "macro_f1": macro_f1(top),
        "policy_reasoning_to_lightweight": under_routed(policy),
        "policy_lightweight_kept": lightweight_kept(policy),
        "policy_accuracy": accuracy(policy),
        "policy_over_routed": over_routed(policy),
        "policy_to_reasoning": float(policy[:, 2].sum() / policy.sum()),
        "kept_at_2_percent": kept_at(probabilities, true, 0.02, weights),
        "reached_10": reached(probabilities, true, 0.1, weights),
        "reached_20": reached(probabilities, true, 0.2, weights),
        "reached_30": reached(probabilities, true, 0.3, weights),
        "ece": ece(probabilities, true, 10, weights),
        "brier": brier(probabilities, true, weights),
    }


def bootstrap(
    figure: Callable[[Ints], float], clusters: Sequence[str], *, times: int = 500, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a figure by resampling whole clusters, and rows within them.

    Args:
        figure: From row numbers (with repetition) to the figure.
        clusters: Cluster (source) of each row.
        times: Resamples.
        seed: Of the resampling.

    Returns:
        (low, high).
    """
    random = np.random.default_rng(seed)
    names, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    members = [np.flatnonzero(inverse == i) for i in range(names.size)]
    values = []
    for _ in range(times):
        picked = random.integers(0, names.size, names.size)
        values.append(figure(np.concatenate([random.choice(members[i], members[i].size) for i in picked])))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
