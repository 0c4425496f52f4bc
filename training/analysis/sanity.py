"""What a log says against a tier or a deployment: another one does the same for less.

Tiers are compared only where they were assigned at random (the estimates of an experiment). Deployments of one tier
are not assigned at random, the chain has an order: so only what their own attempts show is compared, not whether their
answers solved anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from training.analysis.bootstrap import interval
from training.analysis.logged import LEAST_EFFECTIVE, TIER_NAMES, Estimate
from training.analysis.verdict import MARGIN, Dominated

LEAST_ATTEMPTS = 30
"""Attempts of a deployment below which nothing is said about it."""

_Z = NormalDist().inv_cdf(0.975)


def dominated_in_log(found: Mapping[str, Estimate]) -> list[Dominated]:
    """Tiers for which another one costs no more and resolvedly solves more, or costs less and solves no less.

    Args:
        found: Estimates by policy, on the same draws; only fixed tiers with an effective sample size of 100 count.
    """
    usable = {tier: one for tier in TIER_NAMES if (one := found.get(f"always-{tier}")) and _usable(one)}
    said = []
    for tier, mine in usable.items():
        for other, theirs in usable.items():
            bounds = interval(theirs.draws["success"] - mine.draws["success"], mine.clusters)
            dearer = theirs.cost - mine.cost
            if other == tier or bounds is None or dearer > 0:
                continue
            if bounds[0] > 0 or (dearer < 0 and bounds[0] > -MARGIN):
                said.append(Dominated(tier, other, (theirs.success or 0.0) - (mine.success or 0.0), bounds))
                break
    return said


def _usable(one: Estimate) -> bool:
    return one.success is not None and one.effective >= LEAST_EFFECTIVE


@dataclass(slots=True)
class _Tried:
    attempts: int = 0
    failed: int = 0
    cost: float = 0.0
    first_token_ms: list[float] = field(default_factory=list)

    @property
    def failing(self) -> tuple[float, float]:
        """Share of failed attempts with its 95 % interval (Wilson 1927)."""
        n, z2 = self.attempts, _Z * _Z
        share = self.failed / n
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        return middle - half, middle + half

    @property
    def cost_per_answer(self) -> float:
        return self.cost / max(1, self.attempts - self.failed)

    @property
    def median_ms(self) -> float:
        times = sorted(self.first_token_ms)
        return times[len(times) // 2] if times else math.inf


def dominated_deployments(exported: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Deployments beside which another one of their tier fails resolvedly less, is no slower and costs no more.

    Args:
        exported: Rows of the store's export, with attempts.

    Returns:
        `tier`, `deployment`, `by`, and the share of failed attempts of both (`failed`, `failed_by`).
    """
    tried: dict[tuple[str, str], _Tried] = {}
    for row in exported:
        for one in row.get("attempts") or ():
            if one.get("way") is None or one.get("outcome") in ("aborted", "bad_request"):
                continue  # never sent, or the client's doing
            seen = tried.setdefault((str(row.get("tier")), str(one["deployment_id"])), _Tried())
            seen.attempts += 1
            seen.failed += one.get("outcome") != "answered"
            seen.cost += float(one.get("cost_usd") or 0.0)
            if one.get("first_token_ms") is not None:
                seen.first_token_ms.append(float(one["first_token_ms"]))
    enough = {key: one for key, one in sorted(tried.items()) if one.attempts >= LEAST_ATTEMPTS}
    found = []
    for (tier, name), mine in enough.items():
        better = [other for (its, other), theirs in enough.items() if its == tier and _beats(theirs, mine)]
        if better:
            by = enough[tier, better[0]]
            shares = {"failed": mine.failed / mine.attempts, "failed_by": by.failed / by.attempts}
            found.append({"tier": tier, "deployment": name, "by": better[0], **shares})
    return found


def _beats(one: _Tried, other: _Tried) -> bool:
    cheaper = one.cost_per_answer <= other.cost_per_answer and one.median_ms <= other.median_ms
    return cheaper and one.failing[1] < other.failing[0]


def warnings_of(tiers: Iterable[Dominated], deployments: Iterable[Mapping[str, Any]]) -> list[str]:
    """The same in words."""
    said = [f"the {one.tier} tier is dominated by {one.by}: it costs no less and solves no more" for one in tiers]
    return said + [
        f"{one['deployment']} ({one['tier']}) is dominated by {one['by']}: {one['failed']:.0%} of its attempts fail, "
        f"{one['failed_by']:.0%} of the other's, which is no slower and no dearer"
        for one in deployments
    ]
