"""The log with its feedback: what is observed, and what only a random assignment with a logged propensity identifies.

A target policy's rows are weighted by 1 / propensity and normalised (Hajek; Swaminathan and Joachims 2015, "The
Self-Normalized Estimator for Counterfactual Learning"); the doubly robust estimate adds a model of the outcome by
what the router would have done (Dudik et al. 2011, "Doubly Robust Policy Evaluation and Learning").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.tiers import TIERS
from training.analysis.bootstrap import Resampling, interval

Floats = NDArray[np.float64]

LEAST_EFFECTIVE = 100
"""Effective sample size (units with an outcome) below which an arm is not estimated."""

SHRINK = 5.0
"""Rows of the overall mean that each stratum of the outcome model is mixed with."""

TIER_NAMES = tuple(str(tier) for tier in TIERS)


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """One request of the log.

    Attributes:
        unit: What was assigned as a whole (conversation or caller); resampled as a whole.
        tier: The tier that it got.
        cost: US dollars of all its attempts.
        latency_s: Seconds to the last token.
        solved: None where nobody said and nothing shows it.
        target: The policy that a running experiment applied (`routed`, `always-coding`, ...), or None.
        propensity: Probability with which it was assigned, over 0 to 1; 0 without an experiment.
        routed: What the router would have chosen, "" if that is not known.
    """

    unit: str
    tier: str
    cost: float
    latency_s: float
    solved: bool | None
    target: str | None = None
    propensity: float = 0.0
    routed: str = ""


def logged_row(exported: Mapping[str, Any], experiment: str | None = None) -> LoggedRow | None:
    """A row of the analysis from a row of the store's export.

    Args:
        exported: A decision with its `feedback`.
        experiment: Count exposures of this experiment only; None: of any.

    Returns:
        The row, or None for a request that never reached a tier (refused) or that named its tier itself.
    """
    if exported.get("tier") not in TIER_NAMES or exported.get("outcome") == "refused":
        return None
    decision = exported.get("decision") or {}
    exposure = decision.get("experiment") or {}
    if exported.get("reason") == "override":
        return None
    counts = exposure and (experiment is None or exposure.get("name") == experiment)
    propensity = float(exposure.get("propensity") or 0.0) if counts else 0.0
    return LoggedRow(
        unit=str((exposure.get("unit") if counts else None) or exported.get("conversation") or exported["id"]),
        tier=str(exported["tier"]),
        cost=float(exported.get("cost_usd") or 0.0),
        latency_s=float(exported.get("total_ms") or 0.0) / 1000,
        solved=solved_by(exported),
        target=str(exposure["target"]) if counts and 0 < propensity <= 1 else None,
        propensity=propensity,
        routed=str(exposure.get("routed") or ""),
    )


def solved_by(exported: Mapping[str, Any]) -> bool | None:
    """Whether a request was solved: what its caller said, else what was concluded, else None.

    A request that failed or was cut is not solved, whoever says what. A correct tier above the one that it got says
    "not solved"; one at or below it says "solved", as on a labelled file.
    """
    if exported.get("outcome") in ("failed", "cut"):
        return False
    said = sorted(exported.get("feedback") or (), key=lambda one: one.get("source") != "caller")
    for one in said:
        if one.get("solved") is not None:
            return bool(one["solved"])
        if one.get("correct_tier") in TIER_NAMES:
            return TIER_NAMES.index(one["correct_tier"]) <= TIER_NAMES.index(str(exported["tier"]))
    return None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Figures of one policy from the log. Money in US dollars a request, seconds to the last token.

    Attributes:
        success: Among requests with an outcome; None without any.
        bounds: Success if no request without an outcome, and if every one, was solved.
        outcome_share: Share of the requests that have an outcome.
        doubly_robust: Success by the doubly robust estimate; None without random assignment.
        effective: Effective sample size, in units with an outcome.
        rows: Requests.
        clusters: Units that were drawn from.
        interval: 95 % intervals by figure.
        draws: (times,) resampled values by figure.
    """

    success: float | None
    cost: float
    cost_per_completed: float | None
    latency_p50_s: float
    latency_p95_s: float
    tier_share: Mapping[str, float]
    bounds: tuple[float, float]
    outcome_share: float
    doubly_robust: float | None
    effective: float
    rows: int
    clusters: int
    interval: Mapping[str, tuple[float, float] | None]
    draws: Mapping[str, Floats]


def observed(rows: Sequence[LoggedRow], times: int, seed: int) -> Estimate:
    """What happened, whoever decided it: no claim about what another policy would have done."""
    return _estimate(rows, np.ones(len(rows)), None, Resampling.of([row.unit for row in rows], times, seed))


def targets_of(rows: Iterable[LoggedRow]) -> tuple[str, ...]:
    """Policies that experiments have applied, in order of their names."""
    return tuple(sorted({row.target for row in rows if row.target is not None}))


def estimates(rows: Sequence[LoggedRow], times: int, seed: int) -> dict[str, Estimate]:
    """Every policy that was assigned at random, on the same draws of units.

    Args:
        rows: Requests; those without an exposure are left aside.
        times: Draws.
        seed: Of the draws.
    """
    exposed = [row for row in rows if row.target is not None]
    if not exposed:
        return {}
    resampling = Resampling.of([row.unit for row in exposed], times, seed)
    found = {}
    for target in targets_of(exposed):
        weights = np.array([1 / row.propensity if row.target == target else 0.0 for row in exposed])
        found[target] = _estimate(exposed, weights, target, resampling)
    return found


def _estimate(rows: Sequence[LoggedRow], weights: Floats, target: str | None, resampling: Resampling) -> Estimate:
    known = np.array([row.solved is not None for row in rows], dtype=np.float64)
    solved = np.array([bool(row.solved) for row in rows], dtype=np.float64)
    cost = np.array([row.cost for row in rows])
    robust = np.zeros(len(rows)) if target is None else _robust(rows, weights, target, known, solved)
    columns = np.column_stack((weights, weights * known, weights * solved, weights * cost, known, robust))
    point, drawn = _ratios(columns.sum(axis=0, keepdims=True)), _ratios(resampling.sums(columns))
    picked = np.flatnonzero(weights > 0)
    seconds = np.array([row.latency_s for row in rows])[picked]
    drawn |= _latency_draws(seconds, weights[picked], picked, resampling)
    total, share = weights.sum(), float((weights * known).sum() / weights.sum())
    one = {name: _number(values[0]) for name, values in point.items()}
    order = np.argsort(seconds, kind="stable")
    mass = np.cumsum(weights[picked][order]) / total
    median, slow = (float(seconds[order][min(np.searchsorted(mass, q - 1e-9), mass.size - 1)]) for q in (0.5, 0.95))
    low = float((weights * solved).sum() / total)
    return Estimate(
        success=one["success"],
        cost=one["cost"] or 0.0,
        cost_per_completed=one["cost_per_completed"],
        latency_p50_s=median,
        latency_p95_s=slow,
        tier_share={t: float(weights[[r.tier == t for r in rows]].sum() / total) for t in TIER_NAMES},
        bounds=(low, low + 1 - share),
        outcome_share=share,
        doubly_robust=one["doubly_robust"] if target is not None else None,
        effective=effective_size(rows, weights * known),
        rows=int(picked.size),
        clusters=resampling.clusters,
        interval={name: interval(values, resampling.clusters) for name, values in drawn.items()},
        draws=drawn,
    )


def effective_size(rows: Sequence[LoggedRow], weights: Floats) -> float:
    """Kish's effective sample size (sum of weights squared over sum of their squares) of units, not of requests: the
    turns of one conversation were assigned together."""
    _, unit = np.unique(np.array([row.unit for row in rows]), return_inverse=True)
    count = np.bincount(unit.reshape(-1), weights > 0)
    mean = np.bincount(unit.reshape(-1), weights) / np.maximum(count, 1)
    return float(mean.sum() ** 2 / (mean**2).sum()) if mean.any() else 0.0


def _ratios(sums: Floats) -> dict[str, Floats]:
    weight, known_weight, solved, cost, known, robust = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(weight > 0, cost / weight, np.nan)
        success = np.where(known_weight > 0, solved / known_weight, np.nan)
        return {
            "success": success,
            "cost": share,
            # Where some outcomes are not known, the known ones stand for all.
            "cost_per_completed": np.where(solved > 0, share / success, np.nan),
            "doubly_robust": np.where(known > 0, robust / known, np.nan),
        }


def _robust(rows: Sequence[LoggedRow], weights: Floats, target: str, known: Floats, solved: Floats) -> Floats:
    """Terms of the doubly robust sum over requests with an outcome: model plus weighted residual."""
    mine = np.array([row.target == target for row in rows]) & (known > 0)
    overall = float(solved[mine].mean()) if mine.any() else 0.0
    modelled = np.zeros(len(rows))
    routed = np.array([row.routed for row in rows])
    for stratum in np.unique(routed):
        part = routed == stratum
        inside = part & mine
        modelled[part] = (solved[inside].sum() + SHRINK * overall) / (inside.sum() + SHRINK)
    terms: Floats = known * (modelled + weights * (solved - modelled))
    return terms


def _latency_draws(
    seconds: Floats, weights: Floats, rows: NDArray[np.intp], resampling: Resampling
) -> dict[str, Floats]:
    draws = resampling.quantiles(seconds, weights, rows, (0.5, 0.95))
    return {"latency_p50_s": draws[:, 0], "latency_p95_s": draws[:, 1]}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
