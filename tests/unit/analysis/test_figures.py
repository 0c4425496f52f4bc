"""Figures of arms against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.analysis import Outcomes, Resampling, arms_of, cost_curve, figures_of, need_curve, oracle_tiers, verdict
from training.analysis.arms import after_retries, shuffles
from training.analysis.figures import difference


def table_of(ok: list[list[float]], cost: list[float] | None = None, groups: tuple[str, ...] = ()) -> Outcomes:
    """Outcomes with the same costs on every row and latencies of 1, 2 and 3 seconds."""
    right = np.array(ok, dtype=float)
    n = right.shape[0]
    return Outcomes(
        right, np.tile(cost or [0.0, 1.0, 4.0], (n, 1)), np.tile([1.0, 2.0, 3.0], (n, 1)), groups or ("",) * n
    )


def test_cost_per_completed_counts_the_money_of_failures() -> None:
    """Two of four solved at 1 dollar each: two dollars a completed task."""
    table = table_of([[0, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]])

    found = figures_of(table, arms_of(table, np.array([1, 1, 1, 1]), {}), Resampling.of(table.groups, 50))

    assert found["always-coding"].value["cost_per_completed"] == pytest.approx(2.0)
    assert found["always-lightweight"].value["cost_per_completed"] is None
    assert found["routed"].value["saved"] == pytest.approx(0.75)


def test_the_shuffled_arm_is_the_mean_of_many_shuffles() -> None:
    """The exact expectation agrees with shuffles that are really dealt."""
    random = np.random.default_rng(3)
    table = table_of((random.random((300, 3)) < [0.3, 0.6, 0.9]).astype(float).tolist())
    routed = random.integers(0, 3, 300)

    found = figures_of(table, arms_of(table, routed, {}), Resampling.of(table.groups, 10))
    dealt = shuffles(table, routed, 2_000, seed=1)

    assert found["shuffled"].value["success"] == pytest.approx(dealt.mean(), abs=0.003)
    assert found["shuffled"].tier_share == pytest.approx(found["routed"].tier_share)


def test_the_oracle_is_never_worse_and_takes_the_cheapest_that_solves() -> None:
    """Best success of each row; nobody right is the cheapest tier, not reasoning."""
    table = table_of([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])

    tiers = oracle_tiers(table)

    assert tiers.tolist() == [0, 1, 2, 0]


def test_retries_go_one_tier_up_and_cost_what_they_cost() -> None:
    """A failed lightweight answer is paid, then coding's, and solves what coding solves."""
    table = table_of([[0, 1, 1], [0, 0, 1]], cost=[1.0, 2.0, 4.0])

    ok, cost = after_retries(table)

    assert ok[:, 0].tolist() == [1.0, 1.0]
    assert cost[:, 0].tolist() == [3.0, 7.0]
    assert cost[:, 2].tolist() == [4.0, 4.0]


def test_an_unknown_cost_does_not_spoil_other_arms() -> None:
    """NaN for reasoning's cost leaves the other arms' costs, and nothing is claimed to be saved."""
    table = table_of([[0, 1, 1]] * 10, cost=[0.0, 1.0, float("nan")])

    found = figures_of(table, arms_of(table, np.zeros(10, dtype=np.intp), {}), Resampling.of(table.groups, 20))

    assert found["always-coding"].value["cost"] == pytest.approx(1.0)
    assert found["always-reasoning"].value["cost"] is None
    assert found["routed"].value["saved"] is None


def test_latency_percentiles_follow_the_tiers() -> None:
    """Three quarters lightweight: median 1 s; the last twentieth is reasoning's 3 s."""
    table = table_of([[1, 1, 1]] * 100)
    routed = np.array([0] * 75 + [2] * 25)

    found = figures_of(table, arms_of(table, routed, {}), Resampling.of(table.groups, 50))["routed"]

    assert found.value["latency_p50_s"] == 1.0
    assert found.value["latency_p95_s"] == 3.0


def test_differences_are_paired() -> None:
    """Two arms that agree on all rows but few differ by an interval far narrower than either's own."""
    random = np.random.default_rng(5)
    ok = np.repeat((random.random((2_000, 1)) < 0.5).astype(float), 3, axis=1)
    table = table_of(ok.tolist())

    found = figures_of(table, arms_of(table, np.zeros(2_000, dtype=np.intp), {}), Resampling.of(table.groups, 300))
    gap, bounds = difference(found["always-reasoning"], found["routed"], "success", 2_000)

    assert gap == 0.0
    assert bounds == (0.0, 0.0)


def test_clusters_widen_the_interval() -> None:
    """A hundred copies of twenty rows are twenty rows' worth of evidence."""
    random = np.random.default_rng(6)
    ok = np.repeat((random.random((20, 3)) < 0.5).astype(float), 100, axis=0).tolist()
    groups = tuple(f"g{i // 100}" for i in range(2_000))

    def width(table: Outcomes) -> float:
        found = figures_of(table, arms_of(table, np.zeros(2_000, dtype=np.intp), {}), Resampling.of(table.groups, 300))
        low, high = found["always-coding"].interval["success"] or (0, 0)
        return high - low

    assert width(table_of(ok, groups=groups)) > 5 * width(table_of(ok))


def test_the_cost_curve_rises_from_cheap_to_careful() -> None:
    """With informative probabilities more money buys more success, from all-cheap upwards."""
    random = np.random.default_rng(7)
    need = random.integers(0, 3, 500)
    table = table_of([[float(t >= k) for t in range(3)] for k in need])
    p = np.eye(3)[need] * 0.6 + 0.4 / 3

    points = cost_curve(table, p, [[0, 1, 4], [3, 0, 3], [9, 6, 0]])
    found = need_curve(table, p)

    assert points[0].cost < points[-1].cost
    assert points[0].success < points[-1].success
    assert found is not None
    assert found.apgr > 0.6


def _verdict(table: Outcomes, routed: np.ndarray) -> str:
    resampling = Resampling.of(table.groups, 500)
    return verdict(figures_of(table, arms_of(table, routed, {}), resampling), resampling.clusters)


def test_a_good_router_earns_it() -> None:
    """A router that knows most needs saves money, and the sentence names what shuffling would lose."""
    random = np.random.default_rng(8)
    need = random.integers(0, 3, 600)
    routed = np.where(random.random(600) < 0.9, need, random.integers(0, 3, 600))
    table = table_of([[float(t >= k) for t in range(3)] for k in need])

    said = _verdict(table, routed)

    assert said.startswith("routing saves ")
    assert "the shuffled mix would lose " in said
    assert said.endswith("the classifier earns it")


def test_a_router_that_knows_nothing_has_no_advantage() -> None:
    """All tiers equally good: use the cheapest."""
    random = np.random.default_rng(9)
    ok = (random.random((600, 3)) < 0.5).astype(float)

    said = _verdict(table_of(ok.tolist()), random.integers(0, 3, 600))

    assert said.startswith("no resolved advantage: use always-lightweight")


def test_a_dear_tier_that_solves_less_is_dominated() -> None:
    """Coding that costs more than reasoning and solves less is named."""
    random = np.random.default_rng(10)
    ok = (random.random((800, 3)) < [0.3, 0.5, 0.9]).astype(float)

    said = _verdict(table_of(ok.tolist(), cost=[0.0, 5.0, 4.0]), random.integers(0, 3, 800))

    assert "the coding tier is dominated by reasoning" in said
