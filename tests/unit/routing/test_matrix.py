"""The running chain's cost matrices."""

from __future__ import annotations

from classifier import Tier
from classifier.costs import matrices
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
