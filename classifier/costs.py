"""Cost-of-error matrices from a chain's own prices and speeds.

The cost of routing a request of true tier t to tier r, in cents:

- r = t: nothing; costs are counted against the right decision.
- r above t (over-routing): the higher tier's extra money for a typical answer, plus its extra seconds at
  `second_cents`.
- r below t (under-routing): a wrong answer that looks right. The person loses `lost_seconds[t]` before
  noticing, times the
  share of such answers that are wrong, and then pays for the right tier as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifier.policy import Matrix, as_matrix

TYPICAL_INPUT = 600
TYPICAL_OUTPUT = (300, 900, 2_500)
"""Tokens of a typical answer by tier; that of reasoning counts its hidden thinking, which is billed and waited
for."""


@dataclass(frozen=True, slots=True)
class TierCost:
    """What one typical answer of a tier costs: money in cents (0 for a local model) and seconds to the last token."""

    cents: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Stakes:
    """How much time and error weigh.

    Attributes:
        second_cents: Cost of a second of waiting.
        lost_coding: Seconds lost if a coding request is answered by the lightweight tier.
        lost_reasoning: Seconds lost if a reasoning request is answered by the coding tier.
        lost_gravely: Seconds lost if a reasoning request is answered by the lightweight tier.
        money: Factor on money.
        cloud_cents: Least cost of sending to the reasoning tier what a lower one answers: it leaves the house, and
            with a slow machine at home and a fast cloud the sums alone would send everything there.
    """

    second_cents: float = 0.5
    lost_coding: float = 8.0
    lost_reasoning: float = 10.0
    lost_gravely: float = 280.0
    money: float = 1.0
    cloud_cents: float = 2.5


STAKES = {
    "default": Stakes(),
    "eco": Stakes(money=6.0, lost_coding=5.0, lost_reasoning=5.0, lost_gravely=40.0),
    "quality": Stakes(money=0.3, lost_coding=60.0, lost_reasoning=90.0, lost_gravely=600.0),
}


def tier_cost(tier: int, tokens_per_s: float, input_per_mtok: float, output_per_mtok: float) -> TierCost:
    """What a typical answer of a tier costs at a deployment.

    Args:
        tier: Position of the tier, 0 to 2.
        tokens_per_s: Speed of answers.
        input_per_mtok: US dollars per million prompt tokens.
        output_per_mtok: US dollars per million answer tokens.
    """
    output = TYPICAL_OUTPUT[tier]
    dollars = (TYPICAL_INPUT * input_per_mtok + output * output_per_mtok) / 1_000_000
    return TierCost(cents=100 * dollars, seconds=output / tokens_per_s)


TWO_MACS = (tier_cost(0, 27, 0, 0), tier_cost(1, 45, 0, 0), tier_cost(2, 100, 1.10, 4.40))
"""configs/two-macs.yaml: qwen3:8b and qwen3-coder:30b at home, o3-mini in the cloud (a test compares the two)."""


def cost_matrix(chain: tuple[TierCost, TierCost, TierCost], stakes: Stakes) -> Matrix:
    """Cost-of-error matrix of a chain by the formula above.

    Args:
        chain: Cost of a typical answer by tier, lightweight first.
        stakes: Weights.

    Returns:
        3 x 3 cents, rows = true tier, columns = routed tier.
    """

    def answer(tier: int) -> float:
        return stakes.money * chain[tier].cents + stakes.second_cents * chain[tier].seconds

    def over(true: int, routed: int) -> float:
        least = stakes.cloud_cents if routed == 2 else 0.01
        return max(answer(routed) - answer(true), least)

    def under(true: int, lost: float) -> float:
        return stakes.second_cents * lost + answer(true)

    return as_matrix(
        (
            (0.0, over(0, 1), over(0, 2)),
            (under(1, stakes.lost_coding), 0.0, over(1, 2)),
            (under(2, stakes.lost_gravely), under(2, stakes.lost_reasoning), 0.0),
        )
    )


def matrices(chain: tuple[TierCost, TierCost, TierCost] = TWO_MACS) -> dict[str, Matrix]:
    """The matrices `default`, `eco`, `quality` of a chain."""
    return {name: cost_matrix(chain, stakes) for name, stakes in STAKES.items()}
