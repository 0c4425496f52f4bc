"""The tier that a conversation goes on with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import TIERS, Classification, Tier
from classifier.hold import goes_on_with

LIGHT, CODING, REASONING = TIERS


def spoken(tier: Tier, p: tuple[float, float, float], *, continues: float = 0.0, signal: bool = True) -> Classification:
    """A classifier's word."""
    chances = dict(zip(TIERS, p, strict=True))
    return Classification(tier, chances[tier], chances, LIGHT, 10, "test", 1, signal=signal, continues=continues)


@pytest.mark.parametrize(
    ("held", "word", "expected"),
    [
        (None, spoken(LIGHT, (0.9, 0.1, 0.0)), LIGHT),
        (LIGHT, spoken(REASONING, (0.05, 0.05, 0.9), continues=1.0), REASONING),
        (LIGHT, spoken(REASONING, (0.2, 0.1, 0.7), continues=1.0), LIGHT),
        (LIGHT, spoken(REASONING, (0.2, 0.1, 0.7), continues=0.4), REASONING),
        (LIGHT, spoken(REASONING, (0.5, 0.2, 0.3), continues=0.4), LIGHT),
        (LIGHT, spoken(REASONING, (0.5, 0.2, 0.3), continues=0.1), REASONING),
        (REASONING, spoken(LIGHT, (0.9, 0.1, 0.0), continues=0.4), LIGHT),
        (CODING, spoken(LIGHT, (0.9, 0.1, 0.0), continues=0.2), LIGHT),
        (CODING, spoken(LIGHT, (0.9, 0.1, 0.0), continues=0.4), CODING),
        (LIGHT, spoken(CODING, (0.6, 0.3, 0.1), continues=1.0), LIGHT),
        (LIGHT, spoken(CODING, (0.6, 0.3, 0.1)), CODING),
        (REASONING, spoken(LIGHT, (0.9, 0.1, 0.0)), LIGHT),
        (REASONING, spoken(LIGHT, (0.9, 0.1, 0.0), continues=0.9), REASONING),
        (REASONING, spoken(LIGHT, (0.5, 0.2, 0.3)), REASONING),
        (CODING, spoken(LIGHT, (1.0, 0.0, 0.0), signal=False), CODING),
    ],
)
def test_the_surer_a_new_ask_the_lower_the_bars(held: Tier | None, word: Classification, expected: Tier) -> None:
    """Each way that a conversation may go on."""
    assert goes_on_with(held, word) is expected


@given(st.sampled_from(TIERS), st.sampled_from(TIERS), st.floats(0.5, 1))
def test_a_follow_up_never_goes_down(held: Tier, said: Tier, continues: float) -> None:
    """Whatever the classifier says about a follow-up, the tier does not sink."""
    p = tuple(0.98 if t is said else 0.01 for t in TIERS)

    after = goes_on_with(held, spoken(said, (p[0], p[1], p[2]), continues=continues))

    assert TIERS.index(after) >= TIERS.index(held)


@given(st.sampled_from(TIERS), st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(0, 1), st.floats(0, 1))
def test_what_continues_more_is_not_left_sooner(held: Tier, odds: list[float], one: float, other: float) -> None:
    """Where a word leaves the tier, the same word about a turn that is newer leaves it too."""
    p = (odds[0] / sum(odds), odds[1] / sum(odds), odds[2] / sum(odds))
    said = TIERS[p.index(max(p))]
    newer, older = sorted((one, other))

    left = goes_on_with(held, spoken(said, p, continues=older)) is not held

    assert not left or goes_on_with(held, spoken(said, p, continues=newer)) is not held
