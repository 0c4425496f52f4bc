"""Figures on predictions whose right values can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import (
    accuracy,
    bootstrap,
    brier,
    calibration,
    confusion,
    ece,
    intervals,
    kept_at,
    lightweight_kept,
    macro_f1,
    over_routed,
    reached,
    resamples,
    summary,
    too_low,
    under_routed,
)

EVEN = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_confusion_and_its_shares() -> None:
    """Four requests: one kept, one over-routed, one reasoning sent to lightweight, one reached."""
    table = confusion(np.array([0, 0, 2, 2]), np.array([0, 1, 0, 2]))

    assert accuracy(table) == 0.5
    assert lightweight_kept(table) == 0.5
    assert under_routed(table) == 0.5
    assert over_routed(table) == 0.25
    assert too_low(table) == 0.25


def test_macro_f1_counts_every_tier_the_same() -> None:
    """A rare tier that is missed costs as much as a frequent one."""
    true = np.array([0] * 9 + [2])

    table = confusion(true, np.zeros(10, dtype=np.intp))

    assert macro_f1(table) == pytest.approx((2 * 9 / 19 + 0) / 2)


def test_reached_counts_the_part_of_a_row_that_fits() -> None:
    """With a tenth of four prompts allowed, four tenths of the first are reached."""
    p = np.array([[0.1, 0.1, 0.8], [0.3, 0.4, 0.3], [0.5, 0.4, 0.1], [0.9, 0.1, 0.0]])

    assert reached(p, np.array([2, 0, 0, 0]), 0.1) == pytest.approx(0.4)
    assert reached(p, np.array([2, 0, 0, 0]), 0.25) == pytest.approx(1.0)


def test_kept_at_stops_before_the_limit_is_broken() -> None:
    """The one reasoning row in third place ends what may be kept."""
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.0, 0.3], [0.6, 0.4, 0.0]])

    assert kept_at(p, np.array([0, 0, 2, 0])) == pytest.approx(2 / 3)


def test_a_calibrated_coin_has_no_calibration_error() -> None:
    """Confidence .75 that is right three times in four has ECE 0; always right, it has .25."""
    p = np.tile([0.75, 0.125, 0.125], (4, 1))

    assert ece(p, np.array([0, 0, 0, 1]), bins=1) == pytest.approx(0.0)
    assert ece(p, np.zeros(4, dtype=np.intp), bins=1) == pytest.approx(0.25)


def test_brier_is_zero_when_certain_and_right() -> None:
    """The score runs from 0 to 2."""
    assert brier(np.eye(3), np.arange(3)) == 0
    assert brier(np.eye(3)[[1, 2, 0]], np.arange(3)) == 2


def test_summary_weighs_sources_by_their_weights() -> None:
    """A row of weight three moves accuracy three times as far."""
    p = np.eye(3)[[0, 0]]

    figures = summary(p, np.array([0, 1]), EVEN, np.array([3.0, 1.0]))

    assert figures["accuracy"] == pytest.approx(0.75)


def test_the_bootstrap_resamples_whole_clusters() -> None:
    """With one cluster right and one wrong the interval spans everything; with one cluster it has no width."""
    hit = np.array([1.0, 1.0, 0.0, 0.0])

    wide = bootstrap(lambda rows: float(hit[rows].mean()), ["a", "a", "b", "b"], times=200)
    narrow = bootstrap(lambda rows: float(np.ones(4)[rows].mean()), ["a", "a", "b", "b"], times=50)

    assert wide == (0.0, 1.0)
    assert narrow == (1.0, 1.0)


def test_each_tiers_probability_is_measured_against_the_others() -> None:
    """Reasoning is said at .1 and comes at one in two: ECE .4, Brier .41; coding is said and comes never."""
    p = np.tile([0.9, 0.0, 0.1], (200, 1))

    found = calibration(p, np.arange(200) % 2 * 2)

    assert found["reasoning"]["ece"] == pytest.approx(0.4)
    assert found["reasoning"]["brier"] == pytest.approx((0.9**2 + 0.1**2) / 2)
    assert found["coding"]["ece"] == found["coding"]["brier"] == 0
    assert found["top label"]["ece"] == pytest.approx(0.4)
    assert sum(b["share"] for b in found["reasoning"]["bins"]) == pytest.approx(1)


def test_the_parts_of_the_brier_score_make_the_whole() -> None:
    """The score of all three probabilities is the sum of the tiers' own."""
    p = np.random.default_rng(0).dirichlet((1, 1, 1), 50)
    true = np.arange(50) % 3

    found = calibration(p, true)

    assert sum(found[t]["brier"] for t in ("lightweight", "coding", "reasoning")) == pytest.approx(brier(p, true))


def test_a_resample_draws_whole_clusters_and_rows_within_them() -> None:
    """As many rows as the drawn clusters hold; over all resamples every row comes."""
    clusters = ["a", "b", "b", "b"]

    drawn = list(resamples(clusters, 100, seed=0))

    for rows in drawn:
        assert int((rows == 0).sum()) + int((rows > 0).sum()) / 3 == 2
    assert {int(row) for rows in drawn for row in rows} == {0, 1, 2, 3}


def test_several_figures_share_one_resampling() -> None:
    """What is always the same distance apart stays so at both ends."""
    values = np.arange(12.0)
    clusters = [str(i // 3) for i in range(12)]

    found = intervals(lambda rows: {"one": float(values[rows].mean()), "two": float(values[rows].mean() + 5)}, clusters)

    assert found["two"] == pytest.approx([end + 5 for end in found["one"]])
    assert found["one"][0] < values.mean() < found["one"][1]
