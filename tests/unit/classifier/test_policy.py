"""The policy: least expected cost, ties go up."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.policy import as_matrix, choose, choose_index, expected_costs, least_cost
from classifier.tiers import TIERS, Tier

EVEN = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))


def test_the_most_probable_tier_wins_under_even_costs() -> None:
    """With equal costs of error the policy is the most probable tier."""
    probabilities = {Tier.LIGHTWEIGHT: 0.2, Tier.CODING: 0.5, Tier.REASONING: 0.3}

    assert choose(probabilities, EVEN) is Tier.CODING


def test_a_tie_goes_up() -> None:
    """Equal expected costs take the higher tier."""
    probabilities = dict.fromkeys(TIERS, 1 / 3)

    assert choose(probabilities, EVEN) is Tier.REASONING


def test_a_grave_error_outweighs_a_likely_one() -> None:
    """A small chance of reasoning leaves lightweight if that error is dear enough."""
    probabilities = {Tier.LIGHTWEIGHT: 0.9, Tier.CODING: 0.05, Tier.REASONING: 0.05}

    matrix = ((0.0, 1.0, 5.0), (2.0, 0.0, 1.0), (100.0, 5.0, 0.0))

    assert choose(probabilities, matrix) is Tier.CODING


def test_rows_are_the_true_tier_and_columns_the_routed_one() -> None:
    """One certain tier gives exactly its row as the expected costs."""
    matrix = ((0.0, 1.0, 2.0), (3.0, 0.0, 4.0), (5.0, 6.0, 0.0))

    costs = expected_costs(np.array([0.0, 1.0, 0.0]), matrix)

    assert costs.tolist() == [3.0, 0.0, 4.0]
    assert least_cost({Tier.CODING: 1.0}, matrix) == 0.0


def test_many_rows_are_chosen_as_one_by_one() -> None:
    """The vectorised policy equals the single one."""
    random = np.random.default_rng(1)
    rows = random.dirichlet(np.ones(3), 200)

    together = choose_index(rows, EVEN)

    assert [TIERS[i] for i in together] == [choose(dict(zip(TIERS, row, strict=True)), EVEN) for row in rows]


@pytest.mark.parametrize(
    "rows", [[[0, 1], [1, 0]], [[0, 1, 2], [1, 0, 1], [1, float("nan"), 0]], [[0, -1, 1], [1, 0, 1], [1, 1, 0]]]
)
def test_a_matrix_that_is_none_is_refused(rows: list[list[float]]) -> None:
    """Wrong shapes, negative and non-finite costs are errors."""
    with pytest.raises(ValueError, match="cost"):
        as_matrix(rows)
