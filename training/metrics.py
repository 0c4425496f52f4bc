"""Figures of a prediction: accuracy, macro-F1, under- and over-routing, calibration; intervals by resampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.policy import choose_index
from classifier.tiers import TIERS

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def confusion(true: Ints, routed: Ints, weights: Floats | None = None) -> Floats:
    """(3, 3) weighted counts, rows = true tier, columns = routed tier."""
    return np.bincount(true * 3 + routed, weights, 9).reshape(3, 3).astype(np.float64)


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


def too_low(table: Floats) -> float:
    """Share of all requests sent below their tier."""
    return float((table[1, 0] + table[2, 0] + table[2, 1]) / table.sum()) if table.sum() else 0.0


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
    return error_of(reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == true, weights, bins))


def reliability(
    said: Floats, came: NDArray[Any], weights: Floats | None = None, bins: int = 10
) -> list[dict[str, float]]:
    """A reliability diagram in bins of equal mass, lowest probability first.

    Args:
        said: (n,) probabilities of an event.
        came: (n,) whether it came true.
        weights: (n,) row weights; None: all the same.
        bins: Number of bins.

    Returns:
        One dict a bin: mean `probability`, `frequency` of the event, `share` of all rows.
    """
    w = np.ones(said.size) if weights is None else weights
    found = []
    for rows in equal_mass(said, bins, w):
        mass = max(float(w[rows].sum()), 1e-12)
        means = [float((w[rows] * values[rows]).sum() / mass) for values in (said, came)]
        found.append({"probability": means[0], "frequency": means[1], "share": mass / float(w.sum())})
    return found


def error_of(diagram: Sequence[Mapping[str, float]]) -> float:
    """Expected calibration error of a reliability diagram: mean distance of probability and frequency."""
    return float(sum(b["share"] * abs(b["frequency"] - b["probability"]) for b in diagram))


def calibration(probabilities: Floats, true: Ints, weights: Floats | None = None) -> dict[str, dict[str, Any]]:
    """Calibration of the top label, and of each tier's probability against all others (one-vs-rest).

    Args:
        probabilities: (n, 3).
        true: (n,) tier positions.
        weights: (n,) row weights; None: all the same.

    Returns:
        By `top label` and tier name: `ece`, `brier` (mean squared distance of this one probability, 0 to 1), `bins`.
    """
    events = {"top label": (probabilities.max(axis=1), probabilities.argmax(axis=1) == true)}
    events |= {tier.value: (probabilities[:, i], true == i) for i, tier in enumerate(TIERS)}
    found: dict[str, dict[str, Any]] = {}
    for name, (said, came) in events.items():
        bins = reliability(said, came, weights)
        squared = float(np.average((said - came) ** 2, weights=weights))
        found[name] = {"ece": error_of(bins), "brier": squared, "bins": bins}
    return found


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


def decided(
    probabilities: Floats, true: Ints, matrix: Sequence[Sequence[float]], weights: Floats | None = None
) -> dict[str, float]:
    """Figures of the two decisions: the most probable tier, and the policy's under one cost matrix.

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
        "accuracy": accuracy(top),
        "macro_f1": macro_f1(top),
        "policy_reasoning_to_lightweight": under_routed(policy),
        "policy_lightweight_kept": lightweight_kept(policy),
        "policy_accuracy": accuracy(policy),
        "policy_under_routed": too_low(policy),
        "policy_over_routed": over_routed(policy),
        "policy_to_reasoning": float(policy[:, 2].sum() / policy.sum()),
    }


def summary(
    probabilities: Floats, true: Ints, matrix: Sequence[Sequence[float]], weights: Floats | None = None
) -> dict[str, float]:
    """All figures of one set of probabilities under one cost matrix: those of `decided`, ranking, calibration."""
    return {
        "rows": float(true.size),
        **decided(probabilities, true, matrix, weights),
        "kept_at_2_percent": kept_at(probabilities, true, 0.02, weights),
        "reached_10": reached(probabilities, true, 0.1, weights),
        "reached_20": reached(probabilities, true, 0.2, weights),
        "reached_30": reached(probabilities, true, 0.3, weights),
        "ece": ece(probabilities, true, 10, weights),
        "brier": brier(probabilities, true, weights),
    }


RESAMPLED = (
    "accuracy",
    "macro_f1",
    "policy_reasoning_to_lightweight",
    "policy_lightweight_kept",
    "policy_under_routed",
    "policy_over_routed",
    "reached_20",
    "ece",
    "brier",
)
"""Figures of `summary` that a report gives an interval."""

RESAMPLES = 200
"""Resamples of an interval: enough for its second digit."""


def resamples(clusters: Sequence[str], times: int, seed: int) -> Iterator[Ints]:
    """Row numbers of each resample: whole clusters are drawn, and rows within them, both with repetition.

    With a single cluster only its rows are drawn.

    Args:
        clusters: Cluster (source, topic) of each row.
        times: Resamples.
        seed: Of the resampling.
    """
    random = np.random.default_rng(seed)
    _, inverse, size = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    members, start = np.argsort(inverse, kind="stable"), np.cumsum(size) - size
    for _ in range(times):
        picked = random.integers(0, size.size, size.size)
        wide = np.repeat(size[picked], size[picked])
        yield members[np.repeat(start[picked], size[picked]) + (random.random(wide.size) * wide).astype(np.intp)]


def intervals(
    figures: Callable[[Ints], Mapping[str, float]],
    clusters: Sequence[str],
    *,
    times: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of several figures from one resampling (`resamples`).

    Args:
        figures: From row numbers (with repetition) to figures by name.
        clusters: Cluster of each row.
        times: Resamples.
        seed: Of the resampling.

    Returns:
        (low, high) by name. An expected calibration error grows with every resampling, so that its interval lies high.
    """
    drawn = [figures(rows) for rows in resamples(clusters, times, seed)]
    found = {}
    for name in drawn[0]:
        low, high = np.percentile([values[name] for values in drawn], [2.5, 97.5])
        found[name] = (float(low), float(high))
    return found


def bootstrap(
    figure: Callable[[Ints], float], clusters: Sequence[str], *, times: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of one figure; else as `intervals`."""
    return intervals(lambda rows: {"": figure(rows)}, clusters, times=times, seed=seed)[""]
