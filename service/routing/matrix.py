"""Cost-of-error matrices of the running chain, from its own prices and speeds (formula: ``classifier.costs``)."""

from __future__ import annotations

from classifier import TIERS, Matrix, Tier
from classifier.costs import TWO_MACS, TierCost, matrices, tier_cost
from service.config import Configuration


def matrices_of(configuration: Configuration) -> dict[str, Matrix]:
    """The matrices ``default``, ``eco`` and ``quality``: those that the configuration gives, else computed ones."""
    computed = matrices(chain_of(configuration))
    given = {str(name): matrix for name, matrix in configuration.policy.matrices.items()}
    return {**computed, **given}


def chain_of(configuration: Configuration) -> tuple[TierCost, TierCost, TierCost]:
    """Cost and time of a typical answer by tier, lightweight first."""
    first, second, third = (_cost_of(configuration, tier) for tier in TIERS)
    return first, second, third


def _cost_of(configuration: Configuration, tier: Tier) -> TierCost:
    """A typical answer of the tier's first deployment; a tier without any counts as in ``configs/two-macs.yaml``."""
    deployments = configuration.tiers[tier].deployments
    if not deployments:
        return TWO_MACS[TIERS.index(tier)]
    first = deployments[0]
    prices = first.prices
    return tier_cost(TIERS.index(tier), first.tokens_per_s, prices.input_per_mtok, prices.output_per_mtok)
