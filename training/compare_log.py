"""`autotier compare --log`: what the log can say about routing, and what it cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.analysis.arms import FIXED, ROUTED, SHUFFLED
from training.analysis.bootstrap import interval
from training.analysis.economics import Price, economics
from training.analysis.logged import (
    LEAST_EFFECTIVE,
    TIER_NAMES,
    Estimate,
    LoggedRow,
    estimates,
    logged_row,
    observed,
)
from training.analysis.sanity import dominated_deployments, dominated_in_log, warnings_of
from training.compare import LITELLM, UNITS

Floats = NDArray[np.float64]

NOT_IDENTIFIED = "not identified: start an experiment"
COMMAND = "autotier experiment start explore"
COMPARED = ("success", "cost", "cost_per_completed", "latency_p50_s", "latency_p95_s")


def run_log(
    exported: Iterable[Mapping[str, Any]],
    price: Price,
    *,
    experiment: str | None = None,
    times: int = 1_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare on the log.

    Args:
        exported: Rows of the store's export.
        price: Of the reasoning tier, for what was saved.
        experiment: Only exposures of this experiment; None: of any.
        times: Bootstrap draws.
        seed: Of the draws.

    Returns:
        The comparison, ready for JSON.
    """
    exported = list(exported)
    rows = [row for one in exported if (row := logged_row(one, experiment)) is not None]
    result: dict[str, Any] = {
        "source": "log",
        "n": len(rows),
        "arms": {},
        "differences": {},
        "not_identified": {},
        "command": None,
        "skipped": {"oracle": "no request was answered by every tier", LITELLM: "the log keeps no texts to ask it"},
        "economics": economics(exported, price),
        "notes": ["a request without an outcome is not counted as solved: `bounds` says none solved .. all solved"],
        "units": UNITS,
        "times": times,
        "seed": seed,
    }
    if not rows:
        return result | {"verdict": "nothing to compare: the log holds no automatic request"}
    found = estimates(rows, times, seed)
    tiers, deployments = dominated_in_log(found), dominated_deployments(exported)
    result["sanity"] = {"dominated_tiers": [asdict(one) for one in tiers], "dominated_deployments": deployments}
    result["notes"] += warnings_of(tiers, deployments)
    usable = {name: one for name, one in found.items() if one.effective >= LEAST_EFFECTIVE}
    result["observed"] = estimate_json(observed(rows, times, seed))
    result["arms"], result["differences"] = _arms(usable, rows, times, seed)
    for name in (*FIXED, SHUFFLED):
        if name not in result["arms"]:
            size = found[name].effective if name in found else 0.0
            why = f"{NOT_IDENTIFIED} (effective sample size {size:.0f} of {LEAST_EFFECTIVE})"
            result["not_identified"][name] = why
            result["command"] = COMMAND
    return result | {"verdict": _verdict(result)}


def _arms(
    usable: Mapping[str, Estimate], rows: Sequence[LoggedRow], times: int, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arms and their differences to `routed`, ready for JSON."""
    arms = {name: estimate_json(one) for name, one in usable.items()}
    if ROUTED not in usable:
        # Without an experiment what the router served is the routed arm; no other arm is compared with it.
        own = [row for row in rows if row.target in (None, ROUTED)]
        return arms | ({ROUTED: estimate_json(observed(own, times, seed))} if own else {}), {}
    routed = usable[ROUTED]
    gaps = {name: _difference(one, routed) for name, one in usable.items() if name != ROUTED}
    if all(f"always-{tier}" in usable for tier in TIER_NAMES):
        arms[SHUFFLED], gaps[SHUFFLED] = _shuffled(usable)
    return arms, gaps


def estimate_json(one: Estimate) -> dict[str, Any]:
    """An estimate, ready for JSON."""
    return {
        **{name: getattr(one, name) for name in COMPARED},
        "tier_share": dict(one.tier_share),
        "bounds": _bounds(one),
        "outcome_share": one.outcome_share,
        "doubly_robust": one.doubly_robust,
        "effective_sample_size": one.effective,
        "rows": one.rows,
        "interval": {name: list(bounds) if bounds else None for name, bounds in one.interval.items()},
    }


def _bounds(one: Estimate) -> dict[str, Any]:
    """Success and cost per completed task if none, and if all, of the requests without an outcome were solved."""
    low, high = one.bounds
    dear, cheap = (one.cost / share if share else None for share in (low, high))
    return {"success": [low, high], "cost_per_completed": [cheap, dear]}


def _shuffled(usable: Mapping[str, Estimate]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The routed mix of the fixed arms, what chance would have given with the same shares, and its difference."""
    routed = usable[ROUTED]
    fixed = [usable[f"always-{tier}"] for tier in TIER_NAMES]
    share = np.array([routed.tier_share[tier] for tier in TIER_NAMES])
    point = {name: float(share @ [getattr(one, name) or 0.0 for one in fixed]) for name in ("success", "cost")}
    draws = {name: share @ np.array([one.draws[name] for one in fixed]) for name in point}
    arm = {
        **dict.fromkeys(COMPARED),
        **point,
        "cost_per_completed": point["cost"] / point["success"] if point["success"] else None,
        "tier_share": dict(routed.tier_share),
        "bounds": {"success": [float(share @ [one.bounds[i] for one in fixed]) for i in (0, 1)]},
        "interval": {name: _span(values, routed.clusters) for name, values in draws.items()},
    }
    gaps = {name: point[name] - (getattr(routed, name) or 0.0) for name in point}
    spans = {name: _span(draws[name] - routed.draws[name], routed.clusters) for name in point}
    return arm, {**gaps, "interval": spans}


def _difference(one: Estimate, routed: Estimate) -> dict[str, Any]:
    """`one` minus `routed`, figure by figure, on the same draws of units."""
    gaps: dict[str, Any] = {}
    for figure in COMPARED:
        left, right = getattr(one, figure), getattr(routed, figure)
        gaps[figure] = None if left is None or right is None else left - right
    spans = {figure: _span(one.draws[figure] - routed.draws[figure], routed.clusters) for figure in COMPARED}
    return {**gaps, "interval": spans}


def _span(draws: Floats, clusters: int) -> list[float] | None:
    found = interval(draws, clusters)
    return None if found is None else list(found)


def _verdict(result: Mapping[str, Any]) -> str:
    money = result["economics"]["total"]
    saved = f"{100 * money['saved'] / money['reasoning']:.0f} %" if money["reasoning"] else "an unknown share"
    said = f"the log spent {money['spent']:.4f} $ and saved {saved} of the bill of all on the reasoning tier"
    share = result["observed"]["outcome_share"]
    said += f"; {share:.0%} of the requests have an outcome"
    shuffled = result["differences"].get(SHUFFLED)
    if shuffled is not None and shuffled["interval"]["success"]:
        low, high = shuffled["interval"]["success"]
        gap = f"{-100 * shuffled['success']:+.1f} points ({-100 * high:+.1f}..{-100 * low:+.1f})"
        earned = "the classifier earns it" if high < 0 else "no resolved advantage over the shuffled mix"
        return f"{said}; routing is {gap} above its own mix shuffled: {earned}"
    return f"{said}; whether routing earned it is {NOT_IDENTIFIED}: {COMMAND}"
