"""Figures on predictions whose right values can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import (
    accuracy,
    bootstrap,
    brier,
    confusion,
    ece,
    kept_at,
    lightweight_kept,
    macro_f1,
    over_routed,
    reached,
    summary,
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
