"""What a judge of the third stage is worth, from its words on labelled rows."""

from __future__ import annotations

from collections import Counter

import pytest

from classifier import TIERS, Classification, Tier, choose
from classifier.record import LabelledRequest
from training.judged import LEAST_ASKED, Judged, balanced, worth

MATRIX = ((0.0, 1.0, 4.0), (10.0, 0.0, 4.0), (60.0, 40.0, 0.0))
SETTINGS = {"trusted": 0.9, "bound": 0.03, "deadline_ms": 1000}
L, C, R = TIERS


def row(true: Tier, said: Tier | None, *probabilities: float, ms: float = 100) -> Judged:
    """A row with what the stages before say of it."""
    known = dict(zip(TIERS, probabilities or (0.4, 0.3, 0.3), strict=True))
    tier = choose(known, MATRIX)
    runner_up = max((t for t in TIERS if t is not tier), key=known.__getitem__)
    return Judged(true, Classification(tier, known[tier], known, runner_up, 1, "small-1", 1), said, ms)


def labelled(number: int, tier: Tier) -> list[LabelledRequest]:
    """Rows of one tier."""
    return [LabelledRequest(f"{tier}-{i}", "written", tier, "x") for i in range(number)]


def test_rows_are_balanced_by_tier_as_far_as_there_are() -> None:
    """What one tier lacks the others give; the same seed chooses the same rows."""
    rows = labelled(50, L) + labelled(4, C) + labelled(50, R)

    picked = balanced(rows, 30, 0)

    assert Counter(r.tier for r in picked) == {L: 13, C: 4, R: 13}
    assert picked == balanced(rows, 30, 0) != balanced(rows, 30, 1)
    assert len(balanced(rows, 1_000, 0)) == 104


def test_words_are_counted_against_the_labels() -> None:
    """Right, wrong, none, late; the table has labels in its rows."""
    found = worth([row(L, L), row(C, L), row(R, R, ms=2_000), row(R, None)], **SETTINGS, matrix=MATRIX)

    assert (found.rows, found.worded, found.right, found.late) == (4, 3, 2, 1)
    assert found.table == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert found.mean_ms == 575


def test_a_judge_that_is_right_makes_decisions_cheaper() -> None:
    """On every row more than where it is asked, and where nobody doubts it changes nothing."""
    unsure = [row(L, L), row(C, C), row(R, R)]
    wrong_and_sure = [row(L, L, 0.0, 0.01, 0.99)]

    found = worth([*unsure, *wrong_and_sure], **SETTINGS, matrix=MATRIX)

    assert found.doubted == 3
    assert found.always.cost <= found.unsure.cost < found.alone.cost
    assert found.unsure.accuracy > found.alone.accuracy
    assert found.unsure.macro_f1 > found.alone.macro_f1


def test_a_late_word_is_not_waited_for() -> None:
    """As in operation: the stages before it stand."""
    found = worth([row(L, L, ms=1_001), row(C, C, ms=1_001)], **SETTINGS, matrix=MATRIX)

    assert found.unsure == found.alone
    assert found.always != found.alone


@pytest.mark.parametrize(
    ("right", "number", "suggested"), [(0, 3, 0.34), (3, 3, 0.67), (90, 100, 0.88), (300, 300, 0.99)]
)
def test_few_rows_suggest_little_trust(right: int, number: int, suggested: float) -> None:
    """A judge that was right three times of three is not sure to be right the fourth time."""
    rows = [row(C, C if i < right else L) for i in range(number)]

    assert worth(rows, **SETTINGS, matrix=MATRIX).suggested == suggested


def test_its_accuracy_is_that_of_what_it_would_be_asked() -> None:
    """Where enough such rows are there: what is hard for the stages before may be hard for it too."""
    easy = [row(L, L, 1.0, 0.0, 0.0)] * 100
    hard = [row(C, L)] * LEAST_ASKED

    assert worth([*easy, *hard], **SETTINGS, matrix=MATRIX).suggested == 0.34
    assert worth([*easy, *hard[1:]], **SETTINGS, matrix=MATRIX).suggested == 0.77
