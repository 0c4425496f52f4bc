"""A classification after the embedding term of its artifact was heard, or after it was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.amended import amended
from classifier.embedding import EmbeddingTerm
from classifier.judged import doubt
from classifier.model import Classification, Heard
from classifier.tiers import TIERS

USED = "used"


def asks(classification: Classification, matrix: Sequence[Sequence[float]], bound: float) -> bool:
    """Whether the embedding is asked: there is something to judge, and the stages leave more than `bound` of doubt."""
    return classification.signal and doubt(classification, matrix) > bound


def with_embedding(
    classification: Classification, term: EmbeddingTerm, vector: NDArray[Any], matrix: Sequence[Sequence[float]]
) -> Classification:
    """The classification with the embedding's word.

    Args:
        classification: Of the stages.
        term: Of the artifact that they belong to.
        vector: (dimensions,) of `EmbeddingTerm.text`.
        matrix: The cost matrix in force.

    Returns:
        New probabilities, the tier of least expected cost under them, the embedding among the features.
    """
    plain = np.array([classification.probabilities[tier] for tier in TIERS])
    logodds = term.logodds(vector)
    joined = term.joined(plain, logodds, second=classification.second is not None)
    probabilities = dict(zip(TIERS, joined.tolist(), strict=True))
    name = f"its embedding ({term.name}) is like that of {{tier}} requests"
    heard = Heard(USED, _three(logodds), term.head, classification.probabilities)
    return amended(classification, probabilities, matrix, name, embedding=heard)


def without_embedding(classification: Classification, why: str) -> Classification:
    """The plain classification, which says why the embedding was not heard."""
    return replace(classification, embedding=Heard(why))


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
