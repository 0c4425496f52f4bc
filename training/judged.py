"""What a judge of the third stage is worth: figures of its words on labelled rows, alone and with the stages before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifier import TIERS, Classification, Tier
from classifier.judged import CHANCE, doubt, with_judge
from classifier.record import LabelledRequest
from classifier.tiers import tier_index
from training.metrics import accuracy, confusion, macro_f1

LEAST_ASKED = 30
"""Rows that it would be asked about in operation, from which on its accuracy is theirs and not that of all rows."""

Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Judged:
    """One labelled row and the judge's word on it.

    Attributes:
        true: The label.
        before: What the stages before say.
        said: The tier that the judge names, None where it named none.
        ms: How long it took.
    """

    true: Tier
    before: Classification
    said: Tier | None
    ms: float


@dataclass(frozen=True, slots=True)
class Arm:
    """Figures of one way of deciding: of the most probable tier, and the mean cost of the tier that is chosen."""

    accuracy: float
    macro_f1: float
    cost: float


@dataclass(frozen=True, slots=True)
class Worth:
    """What a judge is worth.

    Attributes:
        rows: Rows that it was asked about.
        worded: Those on which it named a tier; ``right`` of them the label's.
        table: Rows: label, columns: the judge's word.
        doubted: Rows that it would be asked about in operation; ``doubted_worded`` and ``doubted_right`` as above.
        late: Rows on which it took longer than its deadline.
        mean_ms: Mean of all rows.
        p95_ms: 95 % of the rows took no longer.
        alone: The stages before it.
        unsure: With it, as in operation: above the bound and within the deadline.
        always: With it on every row.
    """

    rows: int
    worded: int
    right: int
    table: list[list[int]]
    doubted: int
    doubted_worded: int
    doubted_right: int
    late: int
    mean_ms: float
    p95_ms: float
    alone: Arm
    unsure: Arm
    always: Arm

    @property
    def suggested(self) -> float:
        """`accuracy` for the configuration: of what it is asked in operation where there are enough such rows.

        One row is added for each tier (Laplace), so that few rows keep it near a third; 0.34 to 0.99.
        """
        few = self.doubted_worded < LEAST_ASKED
        right, number = (self.right, self.worded) if few else (self.doubted_right, self.doubted_worded)
        return min(max(round((right + 1) / (number + len(TIERS)), 2), 0.34), 0.99)


def balanced(rows: Sequence[LabelledRequest], number: int, seed: int) -> list[LabelledRequest]:
    """About `number` rows, the same number of each tier as far as there are, chosen by `seed`."""
    random = np.random.default_rng(seed)
    picked: list[LabelledRequest] = []
    for left, tier in zip(range(len(TIERS), 0, -1), sorted(TIERS, key=lambda t: _count(rows, t)), strict=True):
        own = [row for row in rows if row.tier is tier]
        share = min(-(-(number - len(picked)) // left), len(own))
        picked += [own[i] for i in sorted(random.permutation(len(own))[:share].tolist())]
    return picked


def worth(rows: Sequence[Judged], *, trusted: float, bound: float, deadline_ms: float, matrix: Matrix) -> Worth:
    """Figures of a judge.

    Args:
        rows: At least one.
        trusted: `accuracy` of the configuration, by which its word weighs.
        bound: Above which it is asked in operation.
        deadline_ms: After which its word is not waited for.
        matrix: Cost of error.
    """
    worded = [row for row in rows if row.said is not None]
    doubted = [row for row in rows if doubt(row.before, matrix) > bound]
    table = confusion(_positions([r.true for r in worded]), _positions([r.said for r in worded if r.said is not None]))
    ms = np.array([row.ms for row in rows])

    def in_operation(row: Judged) -> bool:
        return doubt(row.before, matrix) > bound and row.ms <= deadline_ms

    return Worth(
        rows=len(rows),
        worded=len(worded),
        right=sum(row.said is row.true for row in worded),
        table=[[int(n) for n in line] for line in table.tolist()],
        doubted=len(doubted),
        doubted_worded=sum(row.said is not None for row in doubted),
        doubted_right=sum(row.said is row.true for row in doubted),
        late=int((ms > deadline_ms).sum()),
        mean_ms=float(ms.mean()),
        p95_ms=float(np.percentile(ms, 95)),
        alone=_arm([(row.true, row.before) for row in rows], matrix),
        unsure=_arm([(r.true, _after(r, trusted, matrix) if in_operation(r) else r.before) for r in rows], matrix),
        always=_arm([(row.true, _after(row, trusted, matrix)) for row in rows], matrix),
    )


def _after(row: Judged, trusted: float, matrix: Matrix) -> Classification:
    return row.before if row.said is None else with_judge(row.before, row.said, max(trusted, CHANCE), matrix)


def _arm(decided: Sequence[tuple[Tier, Classification]], matrix: Matrix) -> Arm:
    true = _positions([label for label, _ in decided])
    likeliest = _positions([max(TIERS, key=found.probabilities.__getitem__) for _, found in decided])
    chosen = _positions([found.tier for _, found in decided])
    table = confusion(true, likeliest)
    return Arm(accuracy(table), macro_f1(table), float(np.asarray(matrix)[true, chosen].mean()))


def _positions(tiers: Sequence[Tier]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.array([tier_index(tier) for tier in tiers], dtype=np.intp)


def _count(rows: Sequence[LabelledRequest], tier: Tier) -> int:
    return sum(row.tier is tier for row in rows)
