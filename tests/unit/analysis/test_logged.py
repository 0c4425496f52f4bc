"""What the log identifies: outcomes, weights, bounds, money."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training.analysis.economics import Price, economics
from training.analysis.logged import LoggedRow, estimates, logged_row, observed, solved_by
from training.compare_log import run_log

PRICE = Price(1.0, 4.0)


def exported(number: int, tier: str = "coding", **changes: Any) -> dict[str, Any]:
    """A row as the store exports it."""
    return {
        "id": f"dec_{number:032x}",
        "created_s": 1_800_000_000.0 + number,
        "caller": "anna",
        "tier": tier,
        "reason": "classifier",
        "outcome": "answered",
        "total_ms": 2_000.0,
        "prompt_tokens": 1_000,
        "completion_tokens": 1_000,
        "cost_usd": 0.001,
        "conversation": None,
        "decision": {},
        "feedback": [],
    } | changes


def exposure(target: str, propensity: float, unit: str) -> dict[str, Any]:
    """What an experiment notes in a decision."""
    return {"experiment": {"name": "x", "target": target, "propensity": propensity, "unit": unit, "routed": "coding"}}


@pytest.mark.parametrize(
    ("feedback", "outcome", "solved"),
    [
        ([], "answered", None),
        ([], "failed", False),
        ([{"source": "caller", "solved": True}], "cut", False),
        ([{"source": "caller", "solved": True}], "answered", True),
        ([{"source": "caller", "correct_tier": "reasoning"}], "answered", False),
        ([{"source": "caller", "correct_tier": "lightweight"}], "answered", True),
        ([{"source": "regeneration", "solved": False}, {"source": "caller", "solved": True}], "answered", True),
        ([{"source": "regeneration", "solved": False}], "answered", False),
        ([{"source": "caller", "comment": "hm"}], "answered", None),
    ],
)
def test_only_what_somebody_said_or_what_shows_is_an_outcome(
    feedback: list[dict[str, Any]], outcome: str, solved: bool | None
) -> None:
    """The caller's word before a concluded one; a failure is a failure; silence is not success."""
    assert solved_by(exported(1, feedback=feedback, outcome=outcome)) is solved


def test_requests_that_named_their_tier_or_were_refused_are_left_out() -> None:
    """They say nothing about routing."""
    assert logged_row(exported(1, reason="override")) is None
    assert logged_row(exported(1, outcome="refused", tier=None)) is None


def test_silence_widens_the_bounds_and_does_not_count_as_solved() -> None:
    """Half without an outcome: success among the known, bounds half a unit wide."""
    rows = [LoggedRow(f"u{i}", "coding", 1.0, 1.0, None if i % 2 else i % 4 == 0) for i in range(400)]

    found = observed(rows, 100, 0)

    assert found.success == pytest.approx(0.5)
    assert found.bounds == (pytest.approx(0.25), pytest.approx(0.75))
    assert found.outcome_share == 0.5


def test_unequal_propensities_are_undone() -> None:
    """Hard requests are sent to an arm nine times as often as easy ones; weighting gives the mean over all."""
    random = np.random.default_rng(1)
    rows = []
    for i in range(6_000):
        hard = random.random() < 0.5
        propensity = 0.9 if hard else 0.1
        mine = random.random() < propensity
        solved = bool(random.random() < (0.2 if hard else 0.8))
        target, probability = ("always-coding", propensity) if mine else ("routed", 1 - propensity)
        rows.append(LoggedRow(f"u{i}", "coding", 1.0, 1.0, solved, target, probability, "r" if hard else "c"))

    found = estimates(rows, 100, 0)["always-coding"]

    low, high = found.interval["success"] or (1, 0)
    assert low <= 0.5 <= high
    assert found.doubly_robust == pytest.approx(0.5, abs=0.03)
    assert found.effective < found.rows / 2


def test_turns_of_one_unit_are_not_many_units() -> None:
    """A thousand requests of ten conversations are an effective sample of ten."""
    rows = [LoggedRow(f"u{i % 10}", "coding", 1.0, 1.0, True, "routed", 0.5) for i in range(1_000)]

    assert estimates(rows, 100, 0)["routed"].effective == pytest.approx(10)


def test_a_log_without_an_experiment_identifies_no_other_arm() -> None:
    """Only what was served is reported, with the command that would find out."""
    found = run_log([exported(i) for i in range(300)], PRICE, times=100)

    assert set(found["arms"]) == {"routed"}
    assert set(found["not_identified"]) == {"always-lightweight", "always-coding", "always-reasoning", "shuffled"}
    assert found["command"].startswith("autotier experiment start")
    assert "not identified: start an experiment" in found["verdict"]


def test_too_few_random_units_identify_nothing() -> None:
    """Below an effective sample of 100 an arm is not estimated, however random."""
    said = [{"source": "caller", "solved": True}]
    rows = [exported(i, decision=exposure("always-coding", 0.5, f"u{i}"), feedback=said) for i in range(99)]

    found = run_log(rows, PRICE, times=100)

    assert "always-coding" not in found["arms"]
    assert "99 of 100" in found["not_identified"]["always-coding"]


def test_an_experiment_identifies_the_shuffled_mix() -> None:
    """With all fixed arms random, routing that is better than its mix earns it."""
    random = np.random.default_rng(2)
    tiers = ("lightweight", "coding", "reasoning")
    rows = []
    for i in range(4_000):
        need, drawn = random.integers(0, 3), int(random.integers(0, 4))
        tier = tiers[need] if drawn == 3 else tiers[drawn]
        target = "routed" if drawn == 3 else f"always-{tier}"
        solved = bool(random.random() < (0.9 if tiers.index(tier) >= need else 0.1))
        said = [{"source": "caller", "solved": solved}]
        rows.append(exported(i, tier, decision=exposure(target, 0.25, f"u{i}"), feedback=said))

    found = run_log(rows, PRICE, times=200)

    assert found["not_identified"] == {}
    assert found["differences"]["shuffled"]["interval"]["success"][1] < 0
    assert found["verdict"].endswith("the classifier earns it")


def test_an_empty_log_says_so() -> None:
    """Nothing is invented."""
    assert run_log([], PRICE)["verdict"].startswith("nothing to compare")


def test_money_is_counted_by_day_caller_and_tier() -> None:
    """Spent, the same tokens on reasoning, what asking again ate, what the cache gave."""
    rows = [
        exported(1),
        exported(2, caller="bert", decision={"regeneration": True}),
        exported(3, "reasoning", cost_usd=0.0, decision={"cache": {"saved_usd": 0.25}}),
        exported(4, outcome="refused"),
    ]

    found = economics(rows, PRICE)

    assert found["total"]["requests"] == 3
    assert found["total"]["spent"] == pytest.approx(0.002)
    assert found["total"]["reasoning"] == pytest.approx(3 * 0.005)
    assert found["total"]["saved"] == pytest.approx(0.013)
    assert found["total"]["extra_turns"] == pytest.approx(0.001)
    assert found["total"]["cache_saved"] == 0.25
    assert found["caller"]["bert"]["requests"] == 1
    assert set(found["tier"]) == {"coding", "reasoning"}


def test_a_request_that_asked_again_ate_savings() -> None:
    """The one that a conclusion names, not the one that it is about."""
    about = {"source": "re_ask", "correct_tier": "reasoning", "comment": exported(2)["id"]}
    ended = {"source": "ended", "correct_tier": "coding", "comment": None}
    rows = [exported(1, feedback=[about, ended]), exported(2), exported(3)]

    found = economics(rows, PRICE)

    assert found["total"]["extra_turns"] == pytest.approx(exported(2)["cost_usd"])
