"""One label out of all that was said and concluded about a decision."""

from __future__ import annotations

from typing import Any

import pytest

from classifier import Tier
from service.decisions.records import FeedbackRecord
from service.decisions.resolving import RATING_WEIGHT, SOLVED_WEIGHT, SUFFICED_WEIGHT, Resolved, resolved

WEIGHTS = {"override": 0.7, "re_ask": 0.15, "ended": 0.03}


def said(number: int = 0, **words: Any) -> FeedbackRecord:
    """A statement; later ones have a higher number."""
    return FeedbackRecord(**{"decision_id": "dec_1", "caller": "anna", "created_s": 100.0 + number, **words})


def concluded(source: str, tier: str, number: int = 0) -> FeedbackRecord:
    """A conclusion with its configured weight."""
    return said(number, source=source, correct_tier=tier, weight=WEIGHTS.get(source, 0.5))


def of(*statements: FeedbackRecord, got: str | None = "coding", outcome: str = "answered") -> Resolved:
    """What comes of them."""
    return resolved(got, outcome, statements, lambda source: WEIGHTS.get(source, 0.0))


def test_what_was_said_beats_what_was_concluded() -> None:
    """A named tier has weight 1; a conclusion to the contrary is counted as overruled."""
    found = of(said(correct_tier="lightweight"), concluded("override", "reasoning", 5))

    assert found.label is not None
    assert (found.label.tier, found.label.source, found.label.weight) == (Tier.LIGHTWEIGHT, "caller", 1.0)
    assert (found.conflict, found.overruled) == (False, 1)


def test_the_latest_word_wins_and_the_conflict_is_shown() -> None:
    """Whoever said it."""
    found = of(said(0, correct_tier="reasoning"), said(1, correct_tier="coding", caller="admin"))

    assert found.label is not None
    assert (found.label.tier, found.label.labelled_by, found.label.labelled_s) == (Tier.CODING, "admin", 101.0)
    assert found.conflict


@pytest.mark.parametrize(
    ("got", "words", "tier", "weight"),
    [
        ("lightweight", {"solved": True}, Tier.LIGHTWEIGHT, SOLVED_WEIGHT),
        ("reasoning", {"solved": True}, Tier.REASONING, SUFFICED_WEIGHT),
        ("coding", {"solved": False}, Tier.REASONING, SOLVED_WEIGHT),
        ("coding", {"rating": 1}, Tier.REASONING, RATING_WEIGHT),
        ("coding", {"rating": 5}, Tier.CODING, RATING_WEIGHT),
    ],
)
def test_outcomes_and_ratings_are_weak_labels(got: str, words: dict[str, Any], tier: Tier, weight: float) -> None:
    """Solved and many stars confirm the tier, the contrary asks for the next one."""
    found = of(said(**words), got=got).label

    assert found is not None
    assert (found.tier, found.weight, found.explicit) == (tier, weight, True)


@pytest.mark.parametrize("words", [{"rating": 3}, {"comment": "thanks"}])
def test_three_stars_and_comments_name_no_tier(words: dict[str, Any]) -> None:
    """They are kept, and no label."""
    assert of(said(**words)).label is None


def test_above_the_highest_tier_there_is_none() -> None:
    """Not solved on reasoning says nothing about a tier."""
    assert of(said(solved=False), got="reasoning").label is None


def test_a_failed_request_says_nothing_about_its_tier() -> None:
    """Its host did; only a named tier counts then."""
    assert of(said(solved=False), outcome="failed").label is None
    assert of(said(correct_tier="coding"), outcome="failed").label is not None


def test_contradicting_outcomes_are_a_conflict() -> None:
    """Solved, then not solved: the later one counts."""
    found = of(said(0, solved=True), said(1, solved=False))

    assert found.label is not None
    assert (found.label.tier, found.conflict) == (Tier.REASONING, True)


def test_the_weightiest_conclusion_counts() -> None:
    """An override beats a re-ask and the end of the conversation, in whichever order they came."""
    found = of(
        concluded("override", "lightweight"), concluded("re_ask", "reasoning", 1), concluded("ended", "coding", 2)
    )

    assert found.label is not None
    assert (found.label.tier, found.label.source, found.label.explicit) == (Tier.LIGHTWEIGHT, "override", False)


def test_a_source_that_is_off_is_left_out_and_counted() -> None:
    """Also what was concluded before it was switched off."""
    found = of(concluded("truncated", "reasoning"))

    assert (found.label, found.off) == (None, 1)


def test_conclusions_are_checked_against_a_named_tier_only() -> None:
    """Sources that are off too; the latest conclusion of a source; nothing where only "solved" was said."""
    concluded_ones = (concluded("re_ask", "reasoning"), concluded("re_ask", "coding", 1), concluded("empty", "coding"))

    named = of(*concluded_ones, concluded("ended", "lightweight", 2), said(9, correct_tier="coding"))
    weak = of(*concluded_ones, said(9, solved=True))

    assert named.checked == (("empty", True), ("ended", False), ("re_ask", True))
    assert weak.checked == ()
