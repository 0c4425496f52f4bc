"""Tiers and deployments that another one makes superfluous."""

from __future__ import annotations

import random
from typing import Any

from training.analysis.logged import LoggedRow, estimates
from training.analysis.sanity import dominated_deployments, dominated_in_log, warnings_of

TIERS = ("lightweight", "coding", "reasoning")


def experiment(solved: dict[str, float], cost: dict[str, float], number: int = 900) -> list[LoggedRow]:
    """A random experiment with the given chances to solve and costs."""
    dice = random.Random(7)
    rows = []
    for unit in range(number):
        tier = TIERS[unit % 3]
        rows.append(
            LoggedRow(
                f"u{unit}", tier, cost[tier], 1.0, dice.random() < solved[tier], f"always-{tier}", 1 / 3, "coding"
            )
        )
    return rows


def attempts(deployment: str, failed: int, answered: int, **values: Any) -> list[dict[str, Any]]:
    """Rows of the export, each with one attempt."""
    base = {"deployment_id": deployment, "way": "lean", "first_token_ms": 100.0, "cost_usd": 0.0, **values}
    outcomes = ["server_error"] * failed + ["answered"] * answered
    return [{"tier": "coding", "attempts": [{**base, "outcome": outcome}]} for outcome in outcomes]


def test_a_dearer_tier_that_solves_less_is_dominated() -> None:
    """It is named with the one that beats it."""
    rows = experiment({"lightweight": 0.9, "coding": 0.5, "reasoning": 0.95}, dict(zip(TIERS, (0, 1, 2), strict=True)))

    found = dominated_in_log(estimates(rows, 300, 0))

    assert [(one.tier, one.by) for one in found] == [("coding", "lightweight")]
    assert "coding tier is dominated by lightweight" in warnings_of(found, [])[0]


def test_a_ladder_of_tiers_is_sane() -> None:
    """Each one solves more and costs more."""
    rows = experiment({"lightweight": 0.5, "coding": 0.7, "reasoning": 0.9}, dict(zip(TIERS, (0, 1, 2), strict=True)))

    assert dominated_in_log(estimates(rows, 300, 0)) == []


def test_little_evidence_says_nothing() -> None:
    """Sixty units are too few."""
    rows = experiment({"lightweight": 1, "coding": 0, "reasoning": 1}, dict.fromkeys(TIERS, 1.0), 60)

    assert dominated_in_log(estimates(rows, 300, 0)) == []


def test_a_deployment_that_fails_more_for_no_less() -> None:
    """The other one of the tier is as fast and as cheap."""
    rows = [*attempts("bad", 20, 20), *attempts("good", 0, 40)]

    found = dominated_deployments(rows)

    assert [(one["deployment"], one["by"]) for one in found] == [("bad", "good")]
    assert "bad (coding) is dominated by good" in warnings_of([], found)[0]


def test_cheaper_faster_or_untried_deployments_have_their_place() -> None:
    """A failing one that costs less or is quicker is a trade; a few attempts say nothing; refused ones are nobody's."""
    good = attempts("good", 0, 40, cost_usd=0.1)

    assert dominated_deployments([*good, *attempts("cheap", 20, 20, cost_usd=0.0)]) == []
    assert dominated_deployments([*good, *attempts("quick", 20, 20, cost_usd=0.1, first_token_ms=9.0)]) == []
    assert dominated_deployments([*good, *attempts("new", 9, 1, cost_usd=0.1)]) == []
    assert dominated_deployments([*good, *attempts("unsent", 40, 0, cost_usd=0.1, way=None)]) == []
