"""Figures of arms with paired intervals: success, cost, cost per completed task, latency, share of tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.tiers import TIERS
from training.analysis.arms import FIXED, Arm, Outcomes, after_retries
from training.analysis.bootstrap import Resampling, interval

Floats = NDArray[np.float64]
Interval = tuple[float, float] | None

LEVELS = (0.5, 0.95)
FIGURES = ("success", "cost", "cost_per_completed", "latency_p50_s", "latency_p95_s", "saved")
"""Figures that have intervals; `saved` is the share of the always-reasoning bill that the arm does not spend."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one arm. None: not known, or undefined (nothing completed).

    Attributes:
        value: By name of `FIGURES`; money in US dollars a request, seconds to the last token.
        tier_share: Share of requests by tier.
        interval: 95 % interval of each figure.
        draws: (times,) resampled values of each figure, for differences.
        after_retries: Success, cost and cost per completed task if a failed answer is asked again one tier up.
    """

    value: Mapping[str, float | None]
    tier_share: Mapping[str, float]
    interval: Mapping[str, Interval]
    draws: Mapping[str, Floats]
    after_retries: Mapping[str, float | None]


def figures_of(table: Outcomes, arms: Sequence[Arm], resampling: Resampling) -> dict[str, Figures]:
    """Figures of all arms on the same draws.

    Args:
        table: The outcomes.
        arms: From `arms_of`; `always-reasoning` is among them.
        resampling: Draws over the table's rows.

    Returns:
        Figures by arm.
    """
    weights = {arm.name: arm.weights() for arm in arms}
    once, drawn = _Sums.of(table, weights, None), _Sums.of(table, weights, resampling)
    retried_ok, retried_cost = after_retries(table)
    found: dict[str, Figures] = {}
    for arm in arms:
        latency = _latency(table, weights[arm.name], resampling)
        point, draws = once.figures(arm), drawn.figures(arm)
        value = {name: _number(point[name][0]) for name in point} | latency[0]
        draws |= latency[1]
        w = weights[arm.name]
        solved, paid = (
            float((w * retried_ok).sum(1).mean()),
            float(np.where(w > 0, w * retried_cost, 0.0).sum(1).mean()),
        )
        found[arm.name] = Figures(
            value,
            {str(tier): float(w[:, i].mean()) for i, tier in enumerate(TIERS)},
            {name: interval(draws[name], resampling.clusters) if name in draws else None for name in FIGURES},
            draws,
            _retried(solved, paid),
        )
    return found


def difference(one: Figures, other: Figures, name: str, clusters: int) -> tuple[float | None, Interval]:
    """`one` minus `other` in a figure, with its paired interval."""
    left, right = one.value.get(name), other.value.get(name)
    if left is None or right is None:
        return None, None
    return left - right, interval(one.draws[name] - other.draws[name], clusters)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over the rows, once or for each draw: (draws,) each, tiers (draws, 3)."""

    rows: Floats
    ok: Floats
    cost: Floats
    arms: Mapping[str, tuple[Floats, Floats, Floats]]

    @classmethod
    def of(cls, table: Outcomes, weights: Mapping[str, Floats], resampling: Resampling | None) -> _Sums:
        parts = [np.ones((len(table), 1)), table.ok, table.cost]
        for w in weights.values():
            # 0 x NaN is NaN: a cost that nobody knows must not spoil the arms that never use that tier.
            priced = np.where(w > 0, table.cost, 0.0)
            parts += [(w * table.ok).sum(1, keepdims=True), (w * priced).sum(1, keepdims=True), w]
        columns = np.hstack(parts)
        sums = columns.sum(axis=0, keepdims=True) if resampling is None else resampling.sums(columns)
        arms = {}
        for number, name in enumerate(weights):
            start = 7 + 5 * number
            arms[name] = (sums[:, start], sums[:, start + 1], sums[:, start + 2 : start + 5])
        return cls(sums[:, 0], sums[:, 1:4], sums[:, 4:7], arms)

    def figures(self, arm: Arm) -> dict[str, Floats]:
        """Success, cost, cost per completed task and share saved of an arm, for each draw."""
        ok, cost = self.arms[arm.name][:2]
        if arm.mix_of is not None:
            # The mix is that of the draw: the sum over all deals of the tiers that the draw routed.
            mix = self.arms["routed"][2] / self.rows[:, None]
            ok = (mix * self.ok).sum(axis=1)
            cost = np.where(mix > 0, mix * self.cost, 0.0).sum(axis=1)
        bill = self.arms[FIXED[-1]][1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "success": ok / self.rows,
                "cost": cost / self.rows,
                "cost_per_completed": np.where(ok > 0, cost / ok, np.nan),
                "saved": np.where(bill > 0, 1 - cost / bill, np.nan),
            }


def _latency(
    table: Outcomes, weights: Floats, resampling: Resampling
) -> tuple[dict[str, float | None], dict[str, Floats]]:
    """Median and 95th percentile, and their draws; None and nothing where a latency is unknown."""
    names = ("latency_p50_s", "latency_p95_s")
    rows, tiers = np.nonzero(weights > 0)
    values, w = table.latency_s[rows, tiers], weights[rows, tiers]
    if not np.isfinite(values).all():
        return dict.fromkeys(names), {}
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(w[order])
    points = [float(values[order][np.searchsorted(mass, level * mass[-1] - 1e-9)]) for level in LEVELS]
    draws = resampling.quantiles(values, w, rows, LEVELS)
    return dict(zip(names, points, strict=True)), {name: draws[:, i] for i, name in enumerate(names)}


def _retried(solved: float, paid: float) -> dict[str, float | None]:
    per_completed = paid / solved if solved else np.nan
    return {"success": solved, "cost": _number(paid), "cost_per_completed": _number(per_completed)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
