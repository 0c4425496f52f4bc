"""Splits by source, and curves over outcome tables."""

from __future__ import annotations

import numpy as np
import pytest

from training.outcomes import PUBLISHED, curve, outcome_curves
from training.split import grouped, held_out


def test_a_source_is_never_on_both_sides() -> None:
    """Leaving a source out leaves all of it out, and every row is tested once."""
    keys = ["a", "b", "a", "c", "b"]

    tested = []
    for key, train, test in held_out(keys):
        tested += test.tolist()
        assert {keys[i] for i in test} == {key}
        assert key not in {keys[i] for i in train}

    assert sorted(tested) == [0, 1, 2, 3, 4]


def test_groups_stay_whole_and_folds_are_even() -> None:
    """No group is torn apart and folds differ by less than the largest group."""
    keys = [f"g{i % 40}" for i in range(400)]

    fold = grouped(keys, 4)

    assert all(len({f for f, k in zip(fold, keys, strict=True) if k == key}) == 1 for key in set(keys))
    assert np.ptp(np.bincount(fold)) <= 10


def test_folds_do_not_depend_on_the_order_of_rows() -> None:
    """The same groups go to the same folds however the rows are shuffled."""
    keys = [f"g{i % 17}" for i in range(170)]

    forward, backward = grouped(keys, 4), grouped(keys[::-1], 4)

    assert forward.tolist() == backward[::-1].tolist()


def test_a_perfect_order_recovers_the_gap_at_once() -> None:
    """Prompts that need the strong model first: the whole gap with that share of strong calls."""
    weak, strong = np.array([0.0, 0, 1, 1]), np.ones(4)

    best, worst = curve(np.array([4.0, 3, 2, 1]), weak, strong), curve(np.array([1.0, 2, 3, 4]), weak, strong)

    assert best.apgr == pytest.approx(0.75)
    assert best.cpt_50 == 0.25
    assert worst.apgr == pytest.approx(0.25)


def test_a_random_order_recovers_half() -> None:
    """Random scores have an APGR of one half."""
    random = np.random.default_rng(0)
    weak = (random.random(20_000) < 0.4).astype(float)

    found = curve(random.random(20_000), weak, np.ones(20_000))

    assert found.apgr == pytest.approx(0.5, abs=0.02)


def test_every_table_has_its_own_curves_with_an_interval() -> None:
    """Subjects that differ widen the interval of a score's APGR around it; tables do not mix."""
    random = np.random.default_rng(0)
    rows = [
        {"dataset": "one" if i < 200 else "two", "group": f"g{i % 8}", "small_ok": i % 2, "frontier_ok": 1}
        for i in range(300)
    ]
    need = random.random(300) + np.array([0.3 * (1 - r["small_ok"]) for r in rows])

    found = outcome_curves(rows, {"score": need})

    assert {name: curves["score"]["rows"] for name, curves in found.items()} == {"one": 200, "two": 100}
    score = found["one"]["score"]
    assert score["low"] < score["apgr"] < score["high"]
    assert score["apgr"] == curve(need[:200], *np.array([[r["small_ok"], 1.0] for r in rows[:200]]).T).apgr


def test_the_published_figures_stand_beside_their_own_random_router() -> None:
    """Each benchmark has one, at about half of the gap for half of the calls; the best comes first."""
    for rows in PUBLISHED.values():
        chance = [row for row in rows if row.router == "random"]
        assert len(chance) == 1
        assert chance[0].apgr == pytest.approx(0.5, abs=0.01)
        assert chance[0].cpt_50 == pytest.approx(0.5, abs=0.02)
        assert rows[0].apgr == max(row.apgr for row in rows)
        assert rows[0].cpt_50 < rows[0].cpt_80
