"""A classification after a later word: another stage's, with what it added among the features that spoke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from classifier.explain import Explanation
from classifier.model import Classification
from classifier.policy import choose
from classifier.tiers import TIERS, Tier


def amended(
    spoken: Classification,
    probabilities: Mapping[Tier, float],
    matrix: Sequence[Sequence[float]],
    name: str,
    **changes: Any,
) -> Classification:
    """The classification with new probabilities.

    Args:
        spoken: What was said until now.
        probabilities: After the later word; they sum to 1.
        matrix: The cost matrix in force.
        name: What the later word says, among the features; ``{tier}`` stands for the tier that it speaks for.
        **changes: Other fields of the classification.

    Returns:
        The tier of least expected cost, and features that name the later word.
    """
    chosen = choose(probabilities, matrix)

    @cache
    def explain() -> Explanation:
        before, after = ([p[tier] for tier in TIERS] for p in (spoken.probabilities, probabilities))
        return replace(spoken.explain(), costs=matrix).heard(name, before, after)

    return replace(
        spoken,
        tier=chosen,
        confidence=probabilities[chosen],
        probabilities=dict(probabilities),
        runner_up=max((t for t in TIERS if t is not chosen), key=probabilities.__getitem__),
        explain=explain,
        **changes,
    )
