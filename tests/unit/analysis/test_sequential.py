"""Looking every day does no harm."""

from __future__ import annotations

import numpy as np

from training.analysis.logged import LoggedRow
from training.analysis.sequential import half_width, sequential_difference


def test_daily_looks_at_an_a_a_experiment_reject_at_most_one_of_twenty() -> None:
    """1,000 A/A experiments of 2,000 units, looked at on each of forty days: about 5 % at most are ever rejected, and
    fixed intervals under the same looks would reject many times as often."""
    random = np.random.default_rng(21)
    looks = np.arange(200, 2_001, 46)
    arm = random.random((1_000, 2_000)) < 0.5
    solved = (random.random((1_000, 2_000)) < 0.6).astype(float)
    terms = np.where(arm, 2.0, -2.0) * (solved - 0.6)
    mean = np.cumsum(terms, axis=1)[:, looks - 1] / looks
    spread = float(terms.std())

    ever = (np.abs(mean) > [half_width(spread, int(t), 500) for t in looks]).any(axis=1).mean()
    naive = (np.abs(mean) > 1.96 * spread / np.sqrt(looks)).any(axis=1).mean()

    assert ever <= 0.06
    assert naive > 0.15


def rows_of(random: np.random.Generator, size: int, gain: float) -> list[LoggedRow]:
    """A fair experiment in which coding solves `gain` more."""
    rows = []
    for i in range(size):
        mine = random.random() < 0.5
        solved = bool(random.random() < 0.5 + (gain if mine else 0.0))
        rows.append(LoggedRow(f"u{i}", "coding", 1.0, 1.0, solved, "always-coding" if mine else "routed", 0.5))
    return rows


def test_the_difference_of_an_experiment_is_covered_at_any_look() -> None:
    """Over 200 experiments looked at five times each, the true difference is missed in at most 7 %."""
    random = np.random.default_rng(22)
    missed = 0

    for _ in range(200):
        rows = rows_of(random, 600, 0.1)
        found = [sequential_difference(rows[:n], "always-coding", "routed", 300) for n in (200, 300, 400, 500, 600)]
        missed += any(one is None or not one.low <= 0.1 <= one.high for one in found)

    assert missed / 200 <= 0.07


def test_a_real_difference_is_found() -> None:
    """Thirty points over 600 units exclude nothing."""
    found = sequential_difference(rows_of(np.random.default_rng(23), 600, 0.3), "always-coding", "routed", 300)

    assert found is not None
    assert found.low > 0
    assert found.units == 600


def test_many_turns_of_few_units_resolve_nothing() -> None:
    """Six hundred requests of six conversations are six conversations."""
    rows = [
        LoggedRow(f"u{i % 6}", "coding", 1.0, 1.0, i % 6 != 0, "always-coding" if i % 2 else "routed", 0.5)
        for i in range(600)
    ]

    found = sequential_difference(rows, "always-coding", "routed", 300)

    assert found is not None
    assert found.low < 0 < found.high
