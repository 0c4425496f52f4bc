"""The third stage: what a judge's word adds to the probabilities of the stages before it.

Who the judge is and how it is asked is the service's (`classifier.judge` of its configuration); this is arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from classifier.amended import amended
from classifier.model import Classification
from classifier.policy import least_cost
from classifier.tiers import TIERS, Tier

CHANCE = 1 / len(TIERS)
"""Accuracy of a judge that guesses: its word changes nothing."""


def doubt(classification: Classification, matrix: Sequence[Sequence[float]]) -> float:
    """Expected cost of the decision as a share of the matrix's greatest, 0 to 1: how much a judge could save.

    Args:
        classification: Of the stages before.
        matrix: The cost matrix in force.
    """
    greatest = max(max(row) for row in matrix)
    return least_cost(classification.probabilities, matrix) / greatest if greatest > 0 else 0.0


def after_word(probabilities: Mapping[Tier, float], said: Tier, accuracy: float) -> dict[Tier, float]:
    """Bayes' rule with a judge that is right with `accuracy` and else names either wrong tier equally often.

    Args:
        probabilities: Before the word; they sum to 1.
        said: The judge's word.
        accuracy: 1/3 (it guesses) to below 1.

    Returns:
        Probabilities after it; they sum to 1.

    Raises:
        ValueError: An accuracy beyond these bounds.
    """
    if not CHANCE <= accuracy < 1:
        raise ValueError(f"a judge's accuracy is from 1/3 to below 1, not {accuracy!r}")
    weighed = {tier: probabilities.get(tier, 0.0) * _likelihood(tier, said, accuracy) for tier in TIERS}
    total = sum(weighed.values())
    return {tier: value / total for tier, value in weighed.items()}


def with_judge(
    classification: Classification, said: Tier, accuracy: float, matrix: Sequence[Sequence[float]]
) -> Classification:
    """The classification after a judge's word.

    Args:
        classification: Of the stages before.
        said: The tier that the judge names.
        accuracy: How often its word is right, 1/3 to below 1 (``autotier evaluate --judge`` measures it).
        matrix: The cost matrix in force.

    Returns:
        Stage 3: new probabilities, the tier of least expected cost under them, and the judge among the features.

    Raises:
        ValueError: An accuracy beyond its bounds.
    """
    probabilities = after_word(classification.probabilities, said, accuracy)
    name = f"the judge says {said}"
    return amended(classification, probabilities, matrix, name, stage=3, before=classification)


def _likelihood(tier: Tier, said: Tier, accuracy: float) -> float:
    """Of the judge's word where `tier` is right."""
    return accuracy if tier is said else (1 - accuracy) / (len(TIERS) - 1)
