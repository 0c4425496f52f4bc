"""Arms on a table of outcomes: for every request, what each tier would have given, cost and taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.tiers import TIERS

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

FIXED = tuple(f"always-{tier}" for tier in TIERS)
ROUTED, SHUFFLED, ORACLE = "routed", "shuffled", "oracle"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Requests with the outcome of every tier, columns in the order of `TIERS`.

    Attributes:
        ok: (n, 3) how far the tier solved it, 0 to 1.
        cost: (n, 3) US dollars; NaN where nobody knows.
        latency_s: (n, 3) seconds to the last token; NaN where nobody knows.
        groups: Group of each request, "" for none; whole groups are resampled.
    """

    ok: Floats
    cost: Floats
    latency_s: Floats
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.ok.shape[0])


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to choose tiers.

    Attributes:
        name: As in the report.
        tiers: (n,) tier positions; None for the shuffled mix, which is any order of `mix_of`.
        mix_of: The arm's tiers whose mix is dealt at random; None for the others.
    """

    name: str
    tiers: Ints | None
    mix_of: Ints | None = None

    def weights(self) -> Floats:
        """(n, 3) probability that the arm gives each request each tier."""
        if self.tiers is not None:
            return np.eye(3)[self.tiers]
        assert self.mix_of is not None
        share = np.bincount(self.mix_of, minlength=3) / self.mix_of.size
        return np.broadcast_to(share, (self.mix_of.size, 3)).copy()


def oracle_tiers(table: Outcomes) -> Ints:
    """The cheapest of the tiers that solve a request best; equal costs go to the lower tier.

    "Nobody right" is the cheapest tier, not `reasoning`: a dearer wrong answer helps nobody.
    """
    best = table.ok >= table.ok.max(axis=1, keepdims=True) - 1e-12
    price = np.where(best, np.nan_to_num(table.cost), np.inf)
    # `argmin` takes the first of equals, the lower tier.
    cheapest: Ints = price.argmin(axis=1)
    return cheapest


def arms_of(table: Outcomes, routed: Ints, others: Mapping[str, Ints]) -> tuple[Arm, ...]:
    """All arms in the order of the report.

    Args:
        table: The outcomes.
        routed: (n,) tiers of the router under test.
        others: Tiers of further arms by name (litellm's router, a second artifact).
    """
    size = len(table)
    fixed = tuple(Arm(name, np.full(size, tier, dtype=np.intp)) for tier, name in enumerate(FIXED))
    known = (Arm(SHUFFLED, None, mix_of=routed), Arm(ORACLE, oracle_tiers(table)))
    return (Arm(ROUTED, routed), *fixed, *known, *(Arm(name, tiers) for name, tiers in others.items()))


def shuffles(table: Outcomes, routed: Ints, times: int, seed: int) -> Floats:
    """Success of the routed tier mix, dealt at random many times.

    Returns:
        (times,) success of each deal.
    """
    random = np.random.default_rng(seed)
    rows = np.arange(len(table))
    return np.array([float(table.ok[rows, random.permutation(routed)].mean()) for _ in range(times)])


def after_retries(table: Outcomes) -> tuple[Floats, Floats]:
    """What each first tier comes to if a failed answer is asked again one tier up, as the service does.

    Returns:
        (n, 3) chance that the request is solved in the end, and (n, 3) expected US dollars of all answers.
    """
    ok, cost = table.ok.copy(), table.cost.copy()
    for tier in (1, 0):
        fails = 1 - table.ok[:, tier]
        ok[:, tier] = table.ok[:, tier] + fails * ok[:, tier + 1]
        cost[:, tier] = table.cost[:, tier] + fails * cost[:, tier + 1]
    return ok, cost
