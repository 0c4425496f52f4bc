"""Figures by part: source, tier, script and length."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.features import feature_row
from classifier.prompt import view_of
from classifier.record import LabelledRequest
from classifier.tiers import TIERS, Tier
from training.breakdown import breakdown, by_tier, lengths_of, scripts_of

EVEN = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
TRUE = np.array([0, 0, 1, 2])
ROUTED = np.array([0, 1, 0, 2])


def test_each_part_has_its_own_under_and_over_routing() -> None:
    """One part is over-routed by half, the other under-routed by half."""
    found = breakdown(np.eye(3)[ROUTED], TRUE, ["a", "a", "b", "b"], ["a", "a", "b", "b"], EVEN, seed=0)

    assert (found["a"]["policy_over_routed"], found["a"]["policy_under_routed"]) == (0.5, 0.0)
    assert (found["b"]["policy_over_routed"], found["b"]["policy_under_routed"]) == (0.0, 0.5)
    assert found["b"]["confusion"] == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_a_share_of_nothing_is_not_zero() -> None:
    """A part without reasoning prompts cannot show that none was sent to lightweight."""
    found = breakdown(np.eye(3)[ROUTED], TRUE, ["a", "a", "b", "b"], ["a", "a", "b", "b"], EVEN, seed=0)

    assert found["a"]["policy_reasoning_to_lightweight"] is None
    assert found["b"]["policy_lightweight_kept"] is None


def test_a_part_of_one_source_is_resampled_by_its_rows() -> None:
    """Its interval has a width, around the figure."""
    hit = np.array([0] * 30 + [1] * 10)

    found = breakdown(np.eye(3)[hit], np.zeros(40, dtype=np.intp), ["a"] * 40, ["a"] * 40, EVEN, seed=0)

    low, high = found["a"]["intervals"]["policy_over_routed"]
    assert low < 0.25 < high


def test_tiers_carry_no_calibration() -> None:
    """Rows that were chosen by their label have no calibration error; what was sent too low or high they have."""
    found = by_tier(np.eye(3)[ROUTED], TRUE, ["a", "b", "a", "b"], EVEN, seed=0)

    assert list(found) == [tier.value for tier in TIERS]
    assert "ece" not in found["lightweight"]
    assert found["lightweight"]["policy_over_routed"] == 0.5
    assert found["coding"]["policy_under_routed"] == 1.0


@pytest.mark.parametrize(("size", "name"), [(50, "up to 50"), (51, "up to 200"), (4_001, "above 4,000")])
def test_a_length_belongs_to_one_bucket(size: int, name: str) -> None:
    """Bounds belong to the bucket below."""
    row = LabelledRequest(id="a", source="s", tier=Tier.CODING, request="x" * size)

    assert lengths_of([row]) == [name]


def test_a_script_is_that_of_most_letters() -> None:
    """One Latin word does not make a Russian ask Latin; digits have no script."""
    asks = ["Что такое closure в языке?", "什么是闭包", "what is it", "12 + 5"]

    found = scripts_of([feature_row(view_of(ask)) for ask in asks])

    assert found == ["cyrillic", "cjk", "latin", "none"]


def test_lengths_come_from_short_to_long() -> None:
    """Not by the alphabet, where "above" comes first and "up to 50" last."""
    names = ["above 4,000", "up to 1,000", "up to 50", "up to 200"]

    found = breakdown(np.eye(3)[ROUTED], TRUE, names, names, EVEN, seed=0)

    assert list(found) == ["up to 50", "up to 200", "up to 1,000", "above 4,000"]
