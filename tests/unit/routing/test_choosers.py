"""The first chooser that speaks names the tier."""

from __future__ import annotations

from dataclasses import replace

import pytest

from classifier import Tier, view_of
from service.routing.choosers import Situation, choose, one_up
from service.routing.conversation import Hold
from service.routing.decision import Reason
from tests.fakes import FixedClassifier

L, C, R = Tier.LIGHTWEIGHT, Tier.CODING, Tier.REASONING


def situation(text: str = "hello there", tier: Tier = L, confidence: float = 0.9, continues: float = 0.0) -> Situation:
    """A new ask that the classifier puts on ``tier``."""
    view = view_of(text)
    spoken = FixedClassifier(tier, confidence, continues).classify_view(view)
    return Situation(None, view, spoken, None, None, escalate=True, step_down_confidence=0.8)


def test_an_override_speaks_first() -> None:
    """A named tier wins over conversation and classifier."""
    chosen = choose(replace(situation(), override=R, hold=Hold(C, "")))

    assert (chosen.tier, chosen.reason) == (R, Reason.OVERRIDE)


@pytest.mark.parametrize(
    ("held", "said", "confidence", "continues", "wanted"),
    [
        (C, C, 0.9, 0.0, C),
        (C, R, 0.9, 0.0, R),  # up at any time
        (R, L, 0.9, 0.0, L),  # a new ask, surely lower
        (R, L, 0.5, 0.0, R),  # not sure enough
        (R, L, 0.95, 0.9, R),  # it continues
    ],
)
def test_a_conversation_moves_up_at_any_time_and_down_only_surely(
    held: Tier, said: Tier, confidence: float, continues: float, wanted: Tier
) -> None:
    """Follow-ups keep their tier; a new ask may leave it downwards with confidence."""
    asked = replace(situation(tier=said, confidence=confidence, continues=continues), hold=Hold(held, ""))

    assert choose(asked).tier is wanted


def test_a_tool_loop_keeps_its_tier() -> None:
    """A tool result is no new ask, whatever the classifier says of it."""
    view = view_of(
        [
            {"role": "user", "content": "find it"},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "grep"}}]},
            {"role": "tool", "content": "nothing"},
        ]
    )

    chosen = choose(replace(situation(tier=R), view=view, hold=Hold(C, "")))

    assert (chosen.tier, chosen.reason) == (C, Reason.CONVERSATION)


def test_a_regeneration_goes_one_tier_up() -> None:
    """Asking again for another answer escalates, unless the policy says no."""
    asked = replace(situation(), regenerated=L)

    assert choose(asked).tier is C
    assert choose(replace(asked, escalate=False)).tier is L


def test_a_rejected_answer_goes_one_tier_up() -> None:
    """A conversation whose last answer did not solve the task escalates."""
    assert choose(replace(situation(), hold=Hold(C, "", rejected=True))).tier is R


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "…?!"])
def test_no_signal_is_coding_by_default(text: str) -> None:
    """Nothing to judge is never lightweight."""
    chosen = choose(situation(text))

    assert (chosen.tier, chosen.reason) == (C, Reason.DEFAULT)


def test_a_failed_classifier_is_coding_and_degraded() -> None:
    """Without a classification the tier is coding and the reason says so."""
    chosen = choose(replace(situation(), classification=None))

    assert (chosen.tier, chosen.reason) == (C, Reason.DEGRADED)


def test_one_up_ends_at_reasoning() -> None:
    """There is nothing above reasoning."""
    assert [one_up(t) for t in (L, C, R)] == [C, R, R]
