"""Units get their arms by a stable hash, with the propensity that is logged."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from classifier import Tier
from service.config.experiments import ArmSettings, ExperimentSettings
from service.experiments.arms import EXPLORE, deal, known_experiments

MIXED = ExperimentSettings(
    name="mixed",
    arms=(
        ArmSettings(name="routed", share=0.5, kind="routed"),
        ArmSettings(name="coding", share=0.2, kind="fixed", tier=Tier.CODING),
        ArmSettings(name="random", share=0.3, kind="random"),
    ),
)


@given(st.text())
def test_a_unit_keeps_its_arm(unit: str) -> None:
    """Asked twice, the same arm, tier and propensity, whatever the unit is called."""
    assert deal(MIXED, unit) == deal(MIXED, unit)


def test_targets_are_as_frequent_as_their_propensity_says() -> None:
    """Over 20,000 units each target's share is its logged propensity, drawn tiers counted with fixed ones."""
    dealt = [deal(MIXED, f"unit {i}") for i in range(20_000)]

    share = {target: count / len(dealt) for target, count in Counter(one.target for one in dealt).items()}
    logged = {one.target: one.propensity for one in dealt}

    assert logged == pytest.approx(
        {"routed": 0.5, "always-lightweight": 0.1, "always-coding": 0.3, "always-reasoning": 0.1}
    )
    assert share == pytest.approx(logged, abs=0.012)


def test_another_experiment_deals_anew() -> None:
    """The arms of two experiments are independent: a unit's arm in one says nothing about the other."""
    other = MIXED.model_copy(update={"name": "other"})
    both = [(deal(MIXED, f"u{i}").target, deal(other, f"u{i}").target) for i in range(8_000)]

    routed = [second for first, second in both if first == "routed"]

    assert Counter(routed)["routed"] / len(routed) == pytest.approx(0.5, abs=0.03)


A = {"name": "a", "share": 0.5, "kind": "routed"}
B = {"name": "b", "share": 0.5, "kind": "random"}


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([A, B | {"share": 0.4}], "add up"),
        ([A | {"kind": "fixed"}, B], "tier"),
        ([A | {"matrix": "eco"}, B], "matrix"),
        ([A, B | {"name": "a"}], "share a name"),
        ([A | {"share": 1.0}], "arms"),
    ],
)
def test_arms_that_make_no_sense_are_refused(arms: list[dict[str, object]], said: str) -> None:
    """Shares, kinds and names are checked when the configuration is read."""
    with pytest.raises(ValidationError, match=said):
        ExperimentSettings.model_validate({"name": "x", "arms": arms})


def test_explore_is_always_there() -> None:
    """Also without any configuration, and a configured one of its name replaces it."""
    mine = MIXED.model_copy(update={"name": "explore"})

    assert known_experiments(())["explore"] is EXPLORE
    assert known_experiments((mine,))["explore"] is mine
