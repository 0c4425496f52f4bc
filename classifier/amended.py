"""A classification after a later word: another stage's, with what it added among the features that spoke."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from classifier.explain import SHOWN, Feature
from classifier.model import Classification
from classifier.policy import choose
from classifier.tiers import TIERS, Tier


def amended(
    spoken: Classification,
    probabilities: Mapping[Tier, float],
    matrix: Sequence[Sequence[float]],
    added: Callable[[Tier, Tier], Feature],
    **changes: Any,
) -> Classification:
    """The classification with new probabilities.

    Args:
        spoken: What was said until now.
        probabilities: After the later word; they sum to 1.
        matrix: The cost matrix in force.
        added: What the later word adds for a tier against a runner-up.
        **changes: Other fields of the classification.

    Returns:
        The tier of least expected cost, and features that name the later word.
    """
    chosen = choose(probabilities, matrix)

    @cache
    def explain(tier: Tier, runner_up: Tier) -> tuple[tuple[Feature, ...], str]:
        feature = added(tier, runner_up)
        features, needed = spoken.explain(tier, runner_up)
        kept = sorted(features, key=lambda f: -abs(f.contribution))[: SHOWN - 1]
        if tier is not spoken.tier:
            needed = f'without "{feature.name}" it would be {spoken.tier}'
        return tuple(sorted((feature, *kept), key=lambda f: -abs(f.contribution))), needed

    return replace(
        spoken,
        tier=chosen,
        confidence=probabilities[chosen],
        probabilities=dict(probabilities),
        runner_up=max((t for t in TIERS if t is not chosen), key=probabilities.__getitem__),
        explain=explain,
        **changes,
    )
