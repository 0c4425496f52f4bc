"""The closed set of tiers, in the order of every array in this project."""

from __future__ import annotations

from enum import StrEnum


class Tier(StrEnum):
    """A tier: the least capable backend that gets a request right the first time (data/README.md defines the
    labels)."""

    LIGHTWEIGHT = "lightweight"
    CODING = "coding"
    REASONING = "reasoning"


TIERS: tuple[Tier, ...] = (Tier.LIGHTWEIGHT, Tier.CODING, Tier.REASONING)
"""Column order of probability arrays and of cost matrices; also the order "upwards"."""


def tier_index(tier: Tier | str) -> int:
    """Position of a tier in `TIERS`.

    Args:
        tier: A tier or its name.

    Returns:
        0, 1 or 2.

    Raises:
        ValueError: The name is no tier.
    """
    return TIERS.index(Tier(tier))
