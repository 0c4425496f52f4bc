"""What classifiers say with their embedding, as it would be served: asked where the stages leave doubt, else not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.embedded import asks
from classifier.embedding import EmbeddingTerm
from classifier.model import Classifier
from classifier.policy import expected_costs
from classifier.prompt import PromptView
from classifier.tiers import TIERS
from training.embedding_vectors import VectorsMissing

Floats = NDArray[np.float64]
VectorsOf = Callable[[EmbeddingTerm, Sequence[PromptView]], NDArray[np.float32]]
"""(n, d) vectors of views by the model of a term; raises `VectorsMissing`."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What the stages of a classifier say of n views.

    Attributes:
        probabilities: (n, 3).
        second: (n,) whether the second stage was among them.
        asked: (n,) whether an embedding would be asked.
    """

    probabilities: Floats
    second: NDArray[np.bool_]
    asked: NDArray[np.bool_]

    def with_term(self, term: EmbeddingTerm, vectors: NDArray[np.float32]) -> Floats:
        """(n, 3) probabilities after the embedding was heard where it would be asked."""
        return heard(self.probabilities, term.logodds(vectors), term, self.second, self.asked)


def plain_of(model: Classifier, views: Sequence[PromptView]) -> Plain:
    """The stages alone."""
    matrix, bound = model.artifact.matrices["default"], model.artifact.bound
    spoken = [model.classify_view(view, matrix=matrix) for view in views]
    return Plain(
        np.array([[one.probabilities[tier] for tier in TIERS] for one in spoken]).reshape(len(views), 3),
        np.array([one.second is not None for one in spoken], dtype=np.bool_),
        np.array([asks(one, matrix, bound) for one in spoken], dtype=np.bool_),
    )


def doubtful(probabilities: Floats, matrix: Sequence[Sequence[float]], bound: float) -> NDArray[np.bool_]:
    """(n,) rows whose expected cost is above the bound; `classifier.embedded.asks` over arrays."""
    greatest = max(max(row) for row in matrix)
    return np.asarray(expected_costs(probabilities, matrix).min(axis=1) > bound * greatest, dtype=np.bool_)


def finite(rows: Floats) -> NDArray[np.bool_]:
    """(n,) rows without NaN."""
    return np.asarray(np.isfinite(rows).all(axis=1), dtype=np.bool_)


def heard(
    plain: Floats, logodds: Floats, term: EmbeddingTerm, second: NDArray[np.bool_], asked: NDArray[np.bool_]
) -> Floats:
    """(n, 3): the join where the embedding is asked and said something (finite log-odds), else the stages alone."""
    known = asked & finite(logodds)
    said = np.nan_to_num(logodds)
    joined = np.where(
        second[:, None], term.joined(plain, said, second=True), term.joined(plain, said, second=False)
    )  # fmt: skip
    return np.where(known[:, None], joined, plain)


def as_served(model: Classifier, views: Sequence[PromptView], vectors: VectorsOf | None) -> tuple[Floats, str]:
    """Predictions of a classifier with its embedding.

    Args:
        model: With or without an embedding term.
        views: n requests.
        vectors: Gives vectors; None: nobody is asked.

    Returns:
        ((n, 3) probabilities, why they are those of the stages alone although there is a term, else "").
    """
    term = model.artifact.embedding
    if term is None:
        return np.array([model.view_probabilities(view) for view in views]).reshape(len(views), 3), ""
    plain = plain_of(model, views)
    if vectors is None:
        return plain.probabilities, "no host of embeddings is configured here"
    try:
        return plain.with_term(term, vectors(term, views)), ""
    except VectorsMissing as error:
        return plain.probabilities, str(error)
