"""Fakes with the behaviour of the real parts, for tests of routing alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifier import TIERS, Classification, PromptView, Tier, view_of
from service.config import Configuration
from service.routing.conversation import Hold


class FixedClassifier:
    """Says what it is told to.

    Attributes:
        tier: What it says.
        confidence: Probability of ``tier``; the rest is shared equally.
        continues: Probability that an ask continues its conversation.
        error: Raised instead, if set.
    """

    stages = 1

    def __init__(self, tier: Tier, confidence: float = 0.9, continues: float = 0.0) -> None:
        self.tier = tier
        self.confidence = confidence
        self.continues = continues
        self.error: Exception | None = None

    def classify_view(self, view: PromptView, *, matrix: Any = None) -> Classification:
        """As the real one's."""
        if self.error is not None:
            raise self.error
        rest = (1 - self.confidence) / 2
        probabilities = {t: self.confidence if t is self.tier else rest for t in TIERS}
        runner_up = next(t for t in TIERS if t is not self.tier)
        return Classification(
            tier=self.tier,
            confidence=self.confidence,
            probabilities=probabilities,
            runner_up=runner_up,
            tokens=view.tokens,
            artifact="fixed-00000000",
            stage=1,
            signal=view.signal,
            continues=self.continues,
        )

    def classify(self, messages: str | Sequence[Mapping[str, Any]], **fields: Any) -> Classification:
        """As the real one's."""
        return self.classify_view(view_of(messages, **fields))


class MemoryHolds:
    """Conversations' holds in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, Hold] = {}

    async def hold(self, key: str) -> Hold | None:
        """The hold, or None."""
        return self.kept.get(key)

    def keep(self, key: str, caller: str, tier: str, decision_id: str) -> None:
        """Keeps it."""
        self.kept[key] = Hold(Tier(tier), decision_id)


def without(configuration: Configuration, tier: Tier) -> Configuration:
    """The configuration with an empty tier."""
    settings = configuration.tiers[tier].model_copy(update={"deployments": ()})
    return configuration.model_copy(update={"tiers": configuration.tiers.model_copy(update={tier.value: settings})})
