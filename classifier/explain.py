"""Explanations: the features that spoke, in words a user understands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifier.features import FeatureRow
from classifier.scorer import LinearScorer
from classifier.structure import DESCRIPTIONS, STRUCTURE_NAMES
from classifier.tiers import Tier, tier_index

SHOWN = 6
_BLOCK_WORDS = (
    "wording of the ask is like {tier} requests",
    "phrasing and word forms are like {tier} requests",
    "pasted material is like that of {tier} requests",
)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature that spoke.

    Attributes:
        name: In words, such as "stack trace or log present".
        contribution: Log-odds that it adds for the chosen tier against the runner-up; negative: it speaks against.
    """

    name: str
    contribution: float


def spoken(scorer: LinearScorer, row: FeatureRow, tier: Tier, runner_up: Tier) -> tuple[tuple[Feature, ...], str]:
    """The strongest features for and against a decision.

    Args:
        scorer: The first stage.
        row: The features of the request.
        tier: The chosen tier.
        runner_up: The tier it is compared with.

    Returns:
        (features by strength, at most `SHOWN`; a sentence that says what would have changed the tier).
    """
    by_structure, by_block = scorer.contributions(row, tier_index(tier), tier_index(runner_up))
    found = []
    for i in np.abs(by_structure).argsort()[: -SHOWN - 1 : -1].tolist():
        present = row.structure[i] > scorer.mean[i]
        description = DESCRIPTIONS[STRUCTURE_NAMES[i]]
        found.append(Feature(description if present else f"little or none: {description}", float(by_structure[i])))
    for i, value in enumerate(by_block):
        if value:
            # Named after the tier that it speaks for, so that the words are true for both signs.
            found.append(Feature(_BLOCK_WORDS[i].format(tier=(tier if value > 0 else runner_up).value), float(value)))
    found.sort(key=lambda f: -abs(f.contribution))
    shown = tuple(f for f in found[:SHOWN] if abs(f.contribution) > 1e-9)
    return shown, _needed(shown, runner_up)


def _needed(features: tuple[Feature, ...], runner_up: Tier) -> str:
    supporting = [f.name for f in features if f.contribution > 0][:2]
    if not supporting:
        return f"close to {runner_up.value} as it is"
    names = " and ".join(f'"{name}"' for name in supporting)
    return f"without {names} it would lean to {runner_up.value}"
