"""The running chain's cost matrices."""

from __future__ import annotations

from classifier import Tier, choose
from classifier.costs import STAKES, cost_matrix, matrices, tier_cost
from service.config import Configuration
from service.routing.matrix import matrices_of
from tests.fakes import without


def test_the_seed_gives_the_matrices_that_training_uses(configuration: Configuration) -> None:
    """What is evaluated is what a fresh installation runs."""
    assert matrices_of(configuration) == matrices()


def test_an_empty_tier_counts_as_in_the_seed(configuration: Configuration) -> None:
    """Without a cloud the question whether one is needed keeps its price."""
    assert matrices_of(without(configuration, Tier.REASONING)) == matrices()


def test_a_configured_matrix_wins(configuration: Configuration) -> None:
    """policy.matrices replaces what is computed, by name."""
    own = ((0.0, 1.0, 2.0), (3.0, 0.0, 4.0), (5.0, 6.0, 0.0))
    policy = configuration.policy.model_copy(update={"matrices": {"eco": own}})

    found = matrices_of(configuration.model_copy(update={"policy": policy}))

    assert found["eco"] == own
    assert found["default"] == matrices()["default"]


def test_a_slow_machine_at_home_does_not_make_the_cloud_the_cheapest_answer() -> None:
    """With 30 tokens/s at home and 100 in the cloud, a request that is clearly for home stays there."""
    chain = (tier_cost(0, 30, 0, 0), tier_cost(1, 30, 0, 0), tier_cost(2, 100, 1.10, 4.40))
    matrix = cost_matrix(chain, STAKES["default"])

    easy = choose({Tier.LIGHTWEIGHT: 0.95, Tier.CODING: 0.03, Tier.REASONING: 0.02}, matrix)
    code = choose({Tier.LIGHTWEIGHT: 0.02, Tier.CODING: 0.93, Tier.REASONING: 0.05}, matrix)

    assert (easy, code) == (Tier.LIGHTWEIGHT, Tier.CODING)
