"""One plain sentence: does routing pay? And which tiers are not worth having."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from classifier.tiers import TIERS
from training.analysis.arms import FIXED, ROUTED, SHUFFLED
from training.analysis.figures import Figures, Interval, difference

MARGIN = 0.01
"""A tier that is cheaper and at most so much (share of requests) less successful dominates another."""


@dataclass(frozen=True, slots=True)
class Dominated:
    """A tier that another one makes superfluous on average.

    Attributes:
        tier: The tier.
        by: The tier that costs no more and solves no less.
        success: Success of `by` minus that of `tier`.
        interval: Its interval.
    """

    tier: str
    by: str
    success: float
    interval: Interval


def dominated_tiers(arms: Mapping[str, Figures], clusters: int) -> tuple[Dominated, ...]:
    """Tiers for which another one costs no more and resolvedly solves more, or costs less and solves no less
    (`MARGIN`)."""
    found = []
    for tier, name in enumerate(FIXED):
        for other, other_name in enumerate(FIXED):
            if other == tier:
                continue
            gain, bounds = difference(arms[other_name], arms[name], "success", clusters)
            dearer = _cost(arms[other_name]) - _cost(arms[name])
            if gain is None or bounds is None or dearer > 0:
                continue
            if bounds[0] > 0 or (dearer < 0 and bounds[0] > -MARGIN):
                found.append(Dominated(str(TIERS[tier]), str(TIERS[other]), gain, bounds))
                break
    return tuple(found)


def verdict(arms: Mapping[str, Figures], clusters: int) -> str:
    """The verdict.

    Routing earns its place if it resolvedly beats its own tier mix shuffled and no fixed tier that costs no more does
    as well. Otherwise the sentence names the fixed tier to use instead.

    Args:
        arms: With `routed`, the fixed arms and `shuffled`.
        clusters: Number of clusters behind the intervals.
    """
    best = best_fixed(arms, clusters)
    loss, loss_bounds = difference(arms[SHUFFLED], arms[ROUTED], "success", clusters)
    gain, gain_bounds = difference(arms[ROUTED], arms[best], "success", clusters)
    earns = loss is not None and loss_bounds is not None and loss_bounds[1] < 0
    beats = _cost(arms[best]) > _cost(arms[ROUTED]) or (gain_bounds is not None and gain_bounds[0] > 0)
    if earns and beats:
        said = f"{_saving(arms, clusters)}; the shuffled mix would lose {_points(-(loss or 0.0))} points: " + (
            "the classifier earns it"
        )
    else:
        worse = "shuffling" if beats else best
        shown, bounds = (_negative(loss, loss_bounds)) if beats else (gain, gain_bounds)
        said = f"no resolved advantage: use {best} (routing is {_signed(shown)} points {_span(bounds)} against {worse})"
    for one in dominated_tiers(arms, clusters):
        said += f"; the {one.tier} tier is dominated by {one.by}"
    return said


def best_fixed(arms: Mapping[str, Figures], clusters: int) -> str:
    """The fixed arm to use instead of routing: of those that cost no more, the cheapest that is not resolvedly worse
    than the most successful; the cheapest of all if every one costs more."""
    budget = _cost(arms[ROUTED]) * (1 + 1e-9)
    open_to = [name for name in FIXED if _cost(arms[name]) <= budget]
    if not open_to:
        return min(FIXED, key=lambda name: _cost(arms[name]))
    top = max(open_to, key=lambda name: arms[name].value["success"] or 0.0)
    near = []
    for name in open_to:
        _, bounds = difference(arms[name], arms[top], "success", clusters)
        if name == top or (bounds is not None and bounds[1] >= 0):
            near.append(name)
    return min(near, key=lambda name: (_cost(arms[name]), FIXED.index(name)))


def _saving(arms: Mapping[str, Figures], clusters: int) -> str:
    """What routing saves against all on the reasoning tier, and what it gives up."""
    routed, reasoning = arms[ROUTED], arms[FIXED[-1]]
    points, bounds = difference(routed, reasoning, "success", clusters)
    saved, span = routed.value["saved"], routed.interval["saved"]
    if saved is None:
        money = "routing's savings are not known (no costs)"
    elif saved < 0:
        money = f"routing costs {-100 * saved:.0f} % more{_percent(None if span is None else (-span[1], -span[0]))}"
    else:
        money = f"routing saves {100 * saved:.0f} %{_percent(span)}"
    return f"{money} at {_signed(points)} points {_span(bounds)}"


def _cost(figures: Figures) -> float:
    """Cost for comparisons; one that nobody knows counts as nothing, so that success alone decides."""
    return figures.value["cost"] or 0.0


def _negative(value: float | None, bounds: Interval) -> tuple[float | None, Interval]:
    return None if value is None else -value, None if bounds is None else (-bounds[1], -bounds[0])


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _signed(share: float | None) -> str:
    return "an unknown number of" if share is None else f"{100 * share:+.1f}"


def _percent(bounds: Interval) -> str:
    return "" if bounds is None else f" ({100 * bounds[0]:.0f}..{100 * bounds[1]:.0f})"


def _span(bounds: Interval) -> str:
    return "(no interval)" if bounds is None else f"({100 * bounds[0]:+.1f}..{100 * bounds[1]:+.1f})"
