"""One label out of all that was said and concluded about a decision.

What somebody said beats what was concluded. A named tier beats "solved", which beats a rating. Of several words on the
same point the latest counts, whoever said it; that others contradicted it is shown. Of conclusions the one of greatest
weight counts, of equal ones the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from classifier import TIERS, Tier
from service.decisions.records import FeedbackRecord
from service.decisions.statements import SAID_BY

SOLVED_WEIGHT = 0.5
"""Of "solved" and "not solved": not a tier, and an answer fails for other reasons than its tier too."""

SUFFICED_WEIGHT = 0.15
"""Of "solved" above lightweight: that the tier sufficed does not say that a lower one would not have."""

RATING_WEIGHT = 0.1
"""Of one or two stars, and of four or five: taste more than difficulty. Three say nothing."""

WeightOf = Callable[[str], float]
"""Weight of an implicit source, 0 where it is off."""


@dataclass(frozen=True, slots=True)
class Label:
    """The label that holds.

    Attributes:
        tier: What the request needed.
        source: ``caller``, ``solved``, ``rating``, or the implicit source.
        weight: Before any cap.
        explicit: Somebody said it.
        labelled_s: Unix seconds of the statement.
        labelled_by: Who said it.
    """

    tier: Tier
    source: str
    weight: float
    explicit: bool
    labelled_s: float
    labelled_by: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What comes of a decision's statements.

    Attributes:
        label: None where nothing names a tier.
        conflict: Somebody named another tier than the one that holds, or said the contrary about "solved".
        overruled: Conclusions that speak for another tier than what was said.
        off: Conclusions of sources that are switched off now.
        checked: Where somebody named a tier: each source that concluded one, off or not, and whether it is the same.
    """

    label: Label | None
    conflict: bool = False
    overruled: int = 0
    off: int = 0
    checked: tuple[tuple[str, bool], ...] = ()


def resolved(got: str | None, outcome: str, statements: Sequence[FeedbackRecord], weight_of: WeightOf) -> Resolved:
    """The label of a decision.

    Args:
        got: The tier that it got, or None.
        outcome: How the request ended; what did not end in an answer says nothing about its tier by itself.
        statements: Oldest first, every one that was ever made.
        weight_of: Of implicit sources.
    """
    said = [one for one in statements if one.source == SAID_BY]
    concluded = [one for one in statements if one.source != SAID_BY and one.correct_tier in set(Tier)]
    used = [one for one in concluded if weight_of(one.source) > 0]
    label, conflict = _said(Tier(got) if got in set(Tier) and outcome == "answered" else None, said)
    off = len(concluded) - len(used)
    if label is not None:
        overruled = sum(one.correct_tier != label.tier for one in used)
        latest = {one.source: one.correct_tier == label.tier for one in concluded} if label.source == SAID_BY else {}
        return Resolved(label, conflict, overruled, off, tuple(sorted(latest.items())))
    if not used:
        return Resolved(None, conflict, 0, off)
    best = max(used, key=lambda one: (one.weight, one.created_s))
    weight = max(0.0, min(best.weight, 1.0))
    found = Label(Tier(best.correct_tier or ""), best.source, weight, False, best.created_s, best.caller)
    return Resolved(found if weight else None, conflict, 0, off)


def one_up(tier: Tier) -> Tier | None:
    """The next tier above; None above the highest."""
    place = TIERS.index(tier) + 1
    return TIERS[place] if place < len(TIERS) else None


def _said(got: Tier | None, said: Sequence[FeedbackRecord]) -> tuple[Label | None, bool]:
    """The label of what somebody said, and whether somebody contradicted it."""
    named = [one for one in said if one.correct_tier in set(Tier)]
    if named:
        last = named[-1]
        weight = max(0.0, min(last.weight, 1.0))
        label = (
            Label(Tier(last.correct_tier or ""), SAID_BY, weight, True, last.created_s, last.caller) if weight else None
        )
        return label, len({one.correct_tier for one in named}) > 1
    solved = [one for one in said if one.solved is not None]
    conflict = len({one.solved for one in solved}) > 1
    if got is None:
        return None, conflict
    if solved:
        last = solved[-1]
        weight = SUFFICED_WEIGHT if last.solved and got is not Tier.LIGHTWEIGHT else SOLVED_WEIGHT
        return _of(got if last.solved else one_up(got), "solved", weight, last), conflict
    rated = [one for one in said if one.rating is not None]
    if rated:
        last = rated[-1]
        stars = last.rating or 0
        needed = got if stars > 3 else one_up(got) if stars < 3 else None
        return _of(needed, "rating", RATING_WEIGHT, last), conflict
    return None, conflict


def _of(tier: Tier | None, source: str, weight: float, said: FeedbackRecord) -> Label | None:
    return None if tier is None else Label(tier, source, weight, True, said.created_s, said.caller)
