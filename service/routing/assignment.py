"""What an experiment says about a request; the experiment chooser and the record use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from classifier import Classification, PromptView, Tier
from service.routing.request import ChatRequest


@dataclass(frozen=True, slots=True)
class Assignment:
    """The arm of a request.

    Attributes:
        experiment: Name of the experiment.
        arm: Name of the arm.
        target: The policy that the arm applies here: ``routed``, ``always-coding`` (also a drawn tier), ``matrix:eco``,
            ``artifact:ARM``.
        propensity: Probability with which a unit gets this target, over all arms.
        unit: Keyed hash of the conversation, or the caller's name.
        tier: The tier that the experiment names, or None where the router decides.
        routed: What the classifier says by itself, None where it says nothing.
        artifact: Id of the other artifact that named the tier, or None.
    """

    experiment: str
    arm: str
    target: str
    propensity: float
    unit: str
    tier: Tier | None
    routed: Tier | None
    artifact: str | None = None

    def recorded(self) -> dict[str, Any]:
        """As the decision record keeps it; ``training.analysis.logged`` reads it."""
        return {
            "name": self.experiment,
            "arm": self.arm,
            "target": self.target,
            "propensity": self.propensity,
            "unit": self.unit,
            "tier": str(self.tier) if self.tier else None,
            "routed": str(self.routed) if self.routed else None,
            "artifact": self.artifact,
        }


class Assigner(Protocol):
    """Gives requests their arms; ``service.experiments`` implements it."""

    async def assign(
        self, request: ChatRequest, view: PromptView, classification: Classification | None
    ) -> Assignment | None:
        """The arm of a request, or None where no experiment runs or the arm was stopped. Never raises."""
        ...
