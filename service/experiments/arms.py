"""Arms and the stable hash that deals units to them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from classifier import TIERS, Tier
from service.config.experiments import ArmSettings, ExperimentSettings

EXPLORE = ExperimentSettings(
    name="explore",
    arms=(
        ArmSettings(name="routed", share=0.7, kind="routed"),
        ArmSettings(name="random", share=0.3, kind="random"),
    ),
)
"""The experiment that every installation has: enough to estimate the fixed tiers and the shuffled mix."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """What a unit gets.

    Attributes:
        arm: The arm.
        tier: The tier that it names for this unit, None where a classifier decides.
        target: Name of the policy that it comes to.
        propensity: Probability of the target over all arms.
    """

    arm: ArmSettings
    tier: Tier | None
    target: str
    propensity: float


def known_experiments(configured: tuple[ExperimentSettings, ...]) -> dict[str, ExperimentSettings]:
    """Experiments by name; `EXPLORE` too unless a configured one has its name."""
    return {EXPLORE.name: EXPLORE} | {one.name: one for one in configured}


def deal(experiment: ExperimentSettings, unit: str) -> Dealt:
    """The arm of a unit: depends on the experiment's name, its shares and the unit alone."""
    place = _uniform(experiment.name, "arm", unit)
    arm = experiment.arms[-1]
    upto = 0.0
    for one in experiment.arms:
        upto += one.share
        if place < upto:
            arm = one
            break
    tier = arm.tier
    if arm.kind == "random":
        tier = TIERS[int(_uniform(experiment.name, "tier", unit) * len(TIERS))]
    target = _target(arm, tier)
    return Dealt(arm, tier, target, sum(one.share * _chance(one, target) for one in experiment.arms))


def _uniform(*parts: str) -> float:
    """A number in [0, 1) from the first 53 bits of a hash."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _target(arm: ArmSettings, tier: Tier | None) -> str:
    if tier is not None:
        return f"always-{tier}"
    if arm.kind == "matrix":
        return f"matrix:{arm.matrix}"
    return f"artifact:{arm.name}" if arm.kind == "artifact" else "routed"


def _chance(arm: ArmSettings, target: str) -> float:
    """Probability that an arm comes to a target."""
    if arm.kind == "random":
        return 1 / len(TIERS) if target in {f"always-{tier}" for tier in TIERS} else 0.0
    return 1.0 if _target(arm, arm.tier) == target else 0.0
