"""What routing decides about a request, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from classifier import Classification, PromptView, Tier
from classifier.model import Heard
from service.config import Deployment
from service.routing.assignment import Assignment


class Reason(StrEnum):
    """Why a request has its tier (DESIGN: "The life of a request")."""

    OVERRIDE = "override"
    PRIVACY = "privacy"
    CAPABILITY = "capability"
    CONTEXT = "context"
    RIGHTS = "rights"
    CONVERSATION = "conversation"
    EXPERIMENT = "experiment"
    CLASSIFIER = "classifier"
    DEFAULT = "default"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Removed:
    """A deployment that a constraint took out, and which one."""

    deployment_id: str
    constraint: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """The tier, its chain and the reasons.

    Attributes:
        tier: What the request gets.
        reason: Why.
        confidence: Probability of ``tier`` by the classifier; 1.0 for an override, None where nothing was classified.
        chain: Deployments in the order in which they are tried; local ones may still be reordered by health.
        removed: What constraints took out of the tier, with the reason.
        displaced: The tier that a constraint moved the request away from, or None.
        classification: What the classifier said, or None where it was not asked.
        detail: One sentence for people; "" where `classification` has it (`public` gives either).
        conversation: Key of the conversation, or None.
        recomputed: True if the hold was computed again from the history (not found in the store).
        is_regeneration: True if the request repeats one for another answer.
        tokens: Prompt tokens, counted or bounded.
        tokens_at_least: A lower bound of them, to tell a truncated prompt.
        stand_ins: Local deployments of higher tiers that may serve while their model is loaded.
        private: Why the request stays in the house, or None.
        view: The prompt view that was judged.
        assignment: The arm of a running experiment, whoever named the tier in the end; or None.
        follows: Id of the decision before this one in its conversation, or None.
    """

    tier: Tier
    reason: Reason
    confidence: float | None
    chain: tuple[Deployment, ...]
    removed: tuple[Removed, ...] = ()
    displaced: Tier | None = None
    classification: Classification | None = None
    detail: str = ""
    conversation: str | None = None
    recomputed: bool = False
    is_regeneration: bool = False
    tokens: int = 0
    tokens_at_least: int = 0
    stand_ins: tuple[Deployment, ...] = ()
    private: str | None = None
    view: PromptView | None = None
    assignment: Assignment | None = None
    follows: str | None = None

    @property
    def artifact(self) -> str | None:
        """Id of the artifact that decided, or judged what another chooser decided; None where nothing was judged."""
        if self.reason is Reason.EXPERIMENT and self.assignment is not None and self.assignment.artifact is not None:
            return self.assignment.artifact
        return self.classification.artifact if self.classification else None

    def public(self) -> dict[str, Any]:
        """The body of ``POST /v1/route``."""
        spoken = self.classification
        before = spoken.before if spoken else None
        return {
            "tier": str(self.tier),
            "reason": str(self.reason),
            "detail": self.detail or (spoken.needed if spoken else "") or "tier of least expected cost",
            "confidence": self.confidence,
            "probabilities": {str(t): p for t, p in spoken.probabilities.items()} if spoken else None,
            "runner_up": str(spoken.runner_up) if spoken else None,
            "features": [{"name": f.name, "contribution": f.contribution} for f in spoken.features] if spoken else [],
            "displaced": str(self.displaced) if self.displaced else None,
            "model_group": f"{self.tier}-tier",
            "deployments": [d.id for d in self.chain],
            "removed": [
                {"deployment": r.deployment_id, "constraint": str(r.constraint), "detail": r.detail}
                for r in self.removed
            ],
            "tokens": self.tokens,
            "artifact": self.artifact,
            "stage": spoken.stage if spoken else None,
            **({"embedding": _heard(spoken.embedding)} if spoken and spoken.embedding else {}),
            **({"before_judge": {str(t): p for t, p in before.probabilities.items()}} if before else {}),
        }


def _heard(embedding: Heard) -> dict[str, Any]:
    """What came of asking the artifact's embedding, and what the stages said before it where it was heard."""
    before = embedding.before
    return {
        "result": str(embedding.result),
        **({"before": {str(t): p for t, p in before.items()}} if before is not None else {}),
    }
