"""Cost against quality: ends, shuffled mix and interpolation can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.cost_curve import SHUFFLED, answer_cents, cost_curve, cost_figures, quality_at
from training.costs import matrices

MATRIX = matrices()["default"]
TRUE = np.array([0, 0, 1, 2])
SURE = np.eye(3)[TRUE] * 0.97 + 0.01


def test_the_range_runs_from_all_to_lightweight_to_all_to_reasoning() -> None:
    """At the ends every arm pays the price of one tier and is right by the tier mix alone."""
    points = cost_curve(SURE, TRUE, np.ones(4), MATRIX)

    assert points[0]["cents"] == pytest.approx(answer_cents()[0])
    assert (points[0]["enough"], points[0]["to_reasoning"]) == (0.5, 0.0)
    assert points[-1]["cents"] == pytest.approx(answer_cents()[2])
    assert (points[-1]["enough"], points[-1]["to_reasoning"]) == (1.0, 1.0)


def test_more_money_never_buys_less() -> None:
    """Along the curve cost and quality rise together."""
    random = np.random.default_rng(0)
    p = random.dirichlet((1, 1, 1), 300)
    true = np.array([random.choice(3, p=row) for row in p])

    points = cost_curve(p, true, np.ones(300), MATRIX)

    assert np.all(np.diff([q["cents"] for q in points]) >= 0)
    assert np.all(np.diff([q["enough"] for q in points]) >= 0)


def test_a_request_is_charged_by_its_weight() -> None:
    """The policy's own point pays three lightweight answers for each reasoning one."""
    points = cost_curve(np.eye(3)[[0, 2]], np.array([0, 2]), np.array([3.0, 1.0]), MATRIX)

    own = next(q for q in points if q["factor"] == 1)
    assert own["cents"] == pytest.approx(answer_cents()[[0, 0, 0, 2]].mean())
    assert own["enough"] == pytest.approx(1.0)


def test_the_shuffled_mix_knows_nothing() -> None:
    """Half lightweight, a quarter each above, dealt at random: enough for 1/2 * 1 + 1/4 * 1/2 + 1/4 * 1/4."""
    points = cost_curve(SURE, TRUE, np.ones(4), MATRIX, shuffle=True)

    own = next(q for q in points if q["factor"] == 1)
    assert own["enough"] == pytest.approx(0.5 + 0.5 * 0.25 + 0.25 * 0.25)


def test_arms_are_compared_at_the_same_cost() -> None:
    """Each level has one price and the quality of every arm; the sure arm is above its own mix shuffled."""
    found = cost_figures({"sure": SURE, "blind": np.full((4, 3), 1 / 3)}, "sure", TRUE, np.ones(4), MATRIX)

    middle = found["levels"][5]
    assert middle["level"] == 0.5
    assert middle["cents"] == pytest.approx((answer_cents()[0] + answer_cents()[2]) / 2)
    assert middle["sure"] > middle[SHUFFLED]
    assert set(found["curves"]) == {"sure", "blind", SHUFFLED}


def test_between_two_points_quality_is_linear() -> None:
    """Half of the requests by the one threshold, half by the other."""
    points = [{"cents": 2.0, "enough": 0.4}, {"cents": 4.0, "enough": 0.8}]

    assert quality_at(points, 3.0) == pytest.approx(0.6)
