"""The tier that a conversation goes on with: a new ask goes up at any time, down with confidence; a follow-up keeps its
tier, and goes up where a higher one is nearly certain.

Between the two the bars rise with the probability that the newest ask continues what went before. The one copy that
routing and evaluation use.
"""

from __future__ import annotations

from classifier.model import Classification
from classifier.tiers import TIERS, Tier

STEP_DOWN_CONFIDENCE = 0.8
"""Probability at which a new ask may leave its conversation's tier downwards (`policy.step_down_confidence`)."""


STEP_UP_CONFIDENCE = 0.85
"""Probability of a higher tier at which a follow-up leaves its conversation's tier upwards: it inherits, so that the
policy's caution alone does not move it (cross-validated over blocks of topics, training/LOG.md)."""

SURELY_NEW, AS_LIKELY = 0.1, 0.5
"""Probabilities of continuing: up to the first an ask is new and needs no bar upwards, from the second on it counts as
a follow-up. The bar upwards rises between them, that downwards from 0 to the second."""


def below(spoken: Classification, held: Tier) -> float:
    """Probability that a tier below the held one is enough."""
    return sum(spoken.probabilities[t] for t in TIERS[: TIERS.index(held)])


def goes_on_with(held: Tier | None, spoken: Classification, step_down: float = STEP_DOWN_CONFIDENCE) -> Tier:
    """The tier of the next answer.

    Args:
        held: Tier of the conversation so far; None: it begins.
        spoken: The classifier's word about the newest ask; without a signal it changes nothing.
        step_down: Probability at which an ask that is surely new may leave `held` downwards.

    Returns:
        `held`, or the classifier's tier where that is surely enough higher or lower.
    """
    if held is None or not spoken.signal:
        return held or spoken.tier
    if TIERS.index(spoken.tier) > TIERS.index(held):
        above = 1.0 - below(spoken, held) - spoken.probabilities[held]
        share = (spoken.continues - SURELY_NEW) / (AS_LIKELY - SURELY_NEW)
        return spoken.tier if above >= STEP_UP_CONFIDENCE * min(1.0, max(0.0, share)) else held
    bar = step_down + (1.0 - step_down) * spoken.continues / AS_LIKELY
    return spoken.tier if spoken.continues < AS_LIKELY and below(spoken, held) >= bar else held
