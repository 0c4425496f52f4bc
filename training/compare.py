"""`autotier compare`: does routing pay? Arms on an outcome table or labelled requests, their differences, a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import classifier
from classifier import Classifier
from classifier.costs import TWO_MACS, TierCost
from classifier.tiers import tier_index
from training.analysis import (
    FIGURES,
    Figures,
    Resampling,
    arms_of,
    cost_curve,
    dominated_tiers,
    figures_of,
    need_curve,
    verdict,
)
from training.analysis.arms import ROUTED, oracle_tiers, shuffles
from training.analysis.figures import difference
from training.compare_input import Compared, Request, newest_text
from training.complexity_router import routed as complexity_routed

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Matrix = Sequence[Sequence[float]]

LITELLM = "litellm-complexity"
UNITS = {
    "success": "share of requests",
    "cost": "US dollars a request",
    "cost_per_completed": "US dollars a solved request",
    "latency": "seconds",
    "saved": "share of the cost of always-reasoning",
    "differences": "arm minus routed",
    "interval": "95 %, bootstrap of whole groups, paired over arms",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How to compare.

    Attributes:
        artifact: The router under test; None: the champion that comes with the package.
        against: A second artifact as an arm of its own.
        stages: As in `classifier.load`.
        matrix: Cost-of-error matrix; None: the artifact's `default`.
        chain: Cost and time of a typical answer by tier.
        times: Bootstrap draws and shuffles.
        seed: Of both.
        litellm: Whether to run litellm's complexity router (a process of ten seconds).
    """

    artifact: Path | None = None
    against: Path | None = None
    stages: int | None = None
    matrix: Matrix | None = None
    chain: tuple[TierCost, TierCost, TierCost] = TWO_MACS
    times: int = 1_000
    seed: int = 0
    litellm: bool = True


@dataclass(frozen=True, slots=True)
class Routed:
    """What a router made of the requests: (n,) tiers, (n, 3) probabilities."""

    tiers: Ints
    probabilities: Floats


@dataclass(slots=True)
class _Others:
    """Further arms, and those that had to be left out, with a word why."""

    tiers: dict[str, Ints] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run(compared: Compared, settings: Settings, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Compare the router with its controls.

    Args:
        compared: From `read_outcomes` or `read_labelled`.
        settings: How.
        say: Called with one line per step.

    Returns:
        The comparison, ready for JSON.

    Raises:
        ArtifactError: An artifact cannot be used.
    """
    model = classifier.load(settings.artifact, stages=settings.stages)
    ours = routed_by(model, compared.requests, settings.matrix)
    say(f"{len(compared.requests)} requests routed by {model.artifact.id}")
    others = _others(compared, settings, say)
    resampling = Resampling.of(compared.table.groups, settings.times, settings.seed)
    figures = figures_of(compared.table, arms_of(compared.table, ours.tiers, others.tiers), resampling)
    matrix = settings.matrix or model.artifact.matrices["default"]
    return {
        "source": compared.kind,
        "n": len(compared.requests),
        "clusters": resampling.clusters,
        "artifact": model.artifact.id,
        "stages": model.stages,
        "verdict": verdict(figures, resampling.clusters),
        "arms": {name: arm_json(one) for name, one in figures.items()},
        "differences": differences(figures, resampling.clusters),
        "shuffles": _shuffles(compared, ours.tiers, settings),
        "curve": [asdict(point) for point in cost_curve(compared.table, ours.probabilities, matrix)],
        "routellm": _routellm(compared, ours.probabilities),
        "tiers": _tiers(compared, figures, resampling.clusters),
        "skipped": others.skipped,
        "notes": list(compared.notes),
        "units": UNITS,
        "times": settings.times,
        "seed": settings.seed,
    }


def routed_by(model: Classifier, requests: Sequence[Request], matrix: Matrix | None) -> Routed:
    """The tiers that a classifier gives requests; a request without a signal is `coding`, as in the service.

    Args:
        model: The classifier.
        requests: The requests.
        matrix: Cost-of-error matrix; None: the artifact's `default`.
    """
    spoken = [model.classify(request, matrix=matrix) for request in requests]
    tiers = [tier_index(one.tier) if one.signal else 1 for one in spoken]
    probabilities = [[one.probabilities[tier] for tier in classifier.TIERS] for one in spoken]
    return Routed(np.array(tiers, dtype=np.intp), np.array(probabilities, dtype=np.float64).reshape(-1, 3))


def arm_json(figures: Figures) -> dict[str, Any]:
    """Figures of an arm, ready for JSON."""
    return {
        **{name: figures.value.get(name) for name in FIGURES},
        "tier_share": dict(figures.tier_share),
        "interval": {name: list(bounds) if bounds else None for name, bounds in figures.interval.items()},
        "after_retries": dict(figures.after_retries),
    }


def differences(figures: Mapping[str, Figures], clusters: int) -> dict[str, Any]:
    """Each arm minus `routed`, with paired intervals."""
    found: dict[str, Any] = {}
    for name, one in figures.items():
        if name == ROUTED:
            continue
        gaps = {figure: difference(one, figures[ROUTED], figure, clusters) for figure in FIGURES}
        found[name] = {
            **{figure: gap for figure, (gap, _) in gaps.items()},
            "interval": {figure: list(bounds) if bounds else None for figure, (_, bounds) in gaps.items()},
        }
    return found


def _others(compared: Compared, settings: Settings, say: Callable[[str], None]) -> _Others:
    found = _Others()
    if settings.against is not None:
        second = classifier.load(settings.against, stages=settings.stages)
        found.tiers[f"artifact:{second.artifact.id}"] = routed_by(second, compared.requests, settings.matrix).tiers
        say(f"routed by {second.artifact.id}, the second artifact")
    if not settings.litellm:
        found.skipped[LITELLM] = "not asked for"
        return found
    levels = complexity_routed([newest_text(request) for request in compared.requests])
    if levels is None:
        found.skipped[LITELLM] = "litellm is not installed here, or its complexity router has another interface"
    else:
        found.tiers[LITELLM] = np.array(levels, dtype=np.intp)
    say(f"{LITELLM}: {found.skipped.get(LITELLM, 'asked, in a process of its own')}")
    return found


def _shuffles(compared: Compared, tiers: Ints, settings: Settings) -> dict[str, Any]:
    """The routed mix, dealt at random many times: range of its success, share of deals as good as routing."""
    dealt = shuffles(compared.table, tiers, settings.times, settings.seed)
    own = float(compared.table.ok[np.arange(tiers.size), tiers].mean())
    low, high = np.percentile(dealt, [2.5, 97.5])
    at_least = (1 + int((dealt >= own - 1e-12).sum())) / (1 + settings.times)
    return {"times": settings.times, "success": [float(low), float(high)], "as_good_as_routed": at_least}


def _routellm(compared: Compared, probabilities: Floats) -> dict[str, Any]:
    """APGR and CPT between each pair of tiers whose upper one is better."""
    names = [str(tier) for tier in classifier.TIERS]
    found = {}
    for weak, strong in ((0, 2), (0, 1), (1, 2)):
        one = need_curve(compared.table, probabilities, weak, strong)
        if one is not None:
            found[f"{names[weak]}-{names[strong]}"] = asdict(one)
    return found


def _tiers(compared: Compared, figures: Mapping[str, Figures], clusters: int) -> dict[str, Any]:
    """Tier sanity: dominated tiers, and the share of requests for which each tier is the cheapest that solves best."""
    share = np.bincount(oracle_tiers(compared.table), minlength=3) / len(compared.requests)
    return {
        "dominated": [asdict(one) for one in dominated_tiers(figures, clusters)],
        "best_for": {str(tier): float(share[i]) for i, tier in enumerate(classifier.TIERS)},
    }
