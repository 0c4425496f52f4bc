"""Choosers name the tier; the first that speaks wins: override, conversation, experiment, classifier.

A chooser only names a tier. Which deployments of it may serve is the constraints' word, which always comes after.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifier import TIERS, Classification, PromptView, Tier
from classifier.hold import goes_on_with
from service.routing.assignment import Assignment
from service.routing.conversation import Hold
from service.routing.decision import Reason


@dataclass(frozen=True, slots=True)
class Choice:
    """A tier and who named it.

    Attributes:
        detail: One sentence; "" where the classification's own words hold, which are made when somebody asks.
    """

    tier: Tier
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What the choosers look at.

    Attributes:
        override: The tier that the client named, or None.
        view: The prompt view.
        classification: The classifier's word, or None where it failed or ran out of time.
        hold: The conversation's hold, or None.
        regenerated: Tier of the same request a moment ago, where this one asks for another answer; else None.
        escalate: ``policy.escalate_on_retry``.
        step_down_confidence: ``policy.step_down_confidence``.
        assignment: The arm of a running experiment, or None.
    """

    override: Tier | None
    view: PromptView
    classification: Classification | None
    hold: Hold | None
    regenerated: Tier | None
    escalate: bool
    step_down_confidence: float
    assignment: Assignment | None = None


def one_up(tier: Tier) -> Tier:
    """The next tier above, or the highest itself."""
    return TIERS[min(TIERS.index(tier) + 1, len(TIERS) - 1)]


def choose(situation: Situation) -> Choice:
    """The tier by the first chooser that speaks."""
    return (
        _override(situation)
        or _retry(situation)
        or _conversation(situation)
        or _experiment(situation)
        or _default(situation)
        or _classifier(situation)
    )


def _override(s: Situation) -> Choice | None:
    return None if s.override is None else Choice(s.override, Reason.OVERRIDE, "the client named the tier")


def _retry(s: Situation) -> Choice | None:
    """A regeneration or a rejected answer goes one tier up."""
    if not s.escalate:
        return None
    if s.regenerated is not None:
        return Choice(one_up(s.regenerated), Reason.CONVERSATION, f"regeneration of an answer by {s.regenerated}")
    if s.hold is not None and s.hold.rejected:
        return Choice(one_up(s.hold.tier), Reason.CONVERSATION, f"the last answer, by {s.hold.tier}, was rejected")
    return None


def _conversation(s: Situation) -> Choice | None:
    """Follow-ups and tool loops keep their tier (`classifier.hold`)."""
    if s.hold is None:
        return None
    held = s.hold.tier
    if s.view.in_tool_loop:
        return Choice(held, Reason.CONVERSATION, f"tool loop of a conversation on {held}")
    spoken = s.classification
    if spoken is None or not spoken.signal:
        return Choice(held, Reason.CONVERSATION, f"nothing new to judge: the conversation is on {held}")
    if goes_on_with(held, spoken, s.step_down_confidence) is not held:
        return None  # the classifier's own word
    if spoken.tier is held:
        return Choice(held, Reason.CONVERSATION, f"the conversation is on {held}, the classifier agrees")
    likely = spoken.continues >= 0.5
    why = "continues" if likely else f"may continue ({spoken.continues:.2f}): not sure enough to leave it"
    return Choice(held, Reason.CONVERSATION, f"the conversation is on {held}: the new ask {why}")


def _experiment(s: Situation) -> Choice | None:
    """The tier of an arm that names one; a routed arm leaves the word to the classifier."""
    arm = s.assignment
    if arm is None or arm.tier is None:
        return None
    return Choice(arm.tier, Reason.EXPERIMENT, f"arm {arm.arm} of experiment {arm.experiment}")


def _default(s: Situation) -> Choice | None:
    if s.classification is None:
        return Choice(Tier.CODING, Reason.DEGRADED, "the classifier failed or ran out of time")
    if not s.classification.signal:
        return Choice(Tier.CODING, Reason.DEFAULT, "no letter or digit in the ask, no history, nothing attached")
    return None


def _classifier(s: Situation) -> Choice:
    spoken = s.classification
    assert spoken is not None  # _default speaks where it is None
    return Choice(spoken.tier, Reason.CLASSIFIER, "")
