"""The tier that a conversation goes on with: up at any time, down only at a new ask and with confidence.

The one copy that routing and evaluation use.
"""

from __future__ import annotations

from classifier.model import Classification
from classifier.tiers import TIERS, Tier

STEP_DOWN_CONFIDENCE = 0.8
"""Probability at which a new ask may leave its conversation's tier downwards (`policy.step_down_confidence`)."""


def below(spoken: Classification, held: Tier) -> float:
    """Probability that a tier below the held one is enough."""
    return sum(spoken.probabilities[t] for t in TIERS[: TIERS.index(held)])


def goes_on_with(held: Tier | None, spoken: Classification, step_down: float = STEP_DOWN_CONFIDENCE) -> Tier:
    """The tier of the next answer.

    Args:
        held: Tier of the conversation so far; None: it begins.
        spoken: The classifier's word about the newest ask; without a signal it changes nothing.
        step_down: Probability at which a new ask may leave `held` downwards.

    Returns:
        `held`, or the classifier's tier where that is higher, or lower with a new ask and enough confidence.
    """
    if held is None or TIERS.index(spoken.tier) >= TIERS.index(held):
        return spoken.tier if held is None or spoken.signal else held
    surely_new = spoken.signal and spoken.continues < 0.5 and below(spoken, held) >= step_down
    return spoken.tier if surely_new else held
