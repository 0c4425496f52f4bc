"""What a classifier says with its embedding, as training and gate see it: the same as the service says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from classifier import TIERS, Classifier, PromptView, Tier, load, view_of
from classifier.embedded import asks, with_embedding
from classifier.embedding import EmbeddingTerm
from classifier.record import LabelledRequest
from service.cli.embedding import in_the_house
from service.demo.hosts.vectors import embed
from tests.artifacts import embedded
from training.embedding_vectors import VectorsMissing
from training.embedding_words import as_served, doubtful, heard, plain_of
from training.month import label_of

ASKS = (
    "What is the capital of France?",
    "Prove that there are infinitely many primes.",
    "...",
    "Fix this bug in my loop",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """An artifact with an embedding."""
    return load(embedded(tmp_path_factory.mktemp("made") / "a"), stages=1)


def vectors(term: EmbeddingTerm, views: Sequence[PromptView]) -> np.ndarray:
    """As a host gives them."""
    return np.array([embed(term.text(view), term.dimensions) for view in views], dtype=np.float32)


def test_training_and_serving_say_the_same(model: Classifier) -> None:
    """Where it is asked the join, elsewhere the stages."""
    views, matrix = [view_of(ask) for ask in ASKS], model.artifact.matrices["default"]
    term = model.artifact.embedding
    assert term is not None

    found, why = as_served(model, views, vectors)

    assert why == ""
    for view, vector, row in zip(views, vectors(term, views), found, strict=True):
        spoken = model.classify_view(view, matrix=matrix)
        is_asked = asks(spoken, matrix, model.artifact.bound)
        expected = with_embedding(spoken, term, vector, matrix) if is_asked else spoken
        assert row == pytest.approx([expected.probabilities[tier] for tier in TIERS])
    assert [asks(model.classify_view(view, matrix=matrix), matrix, 0.0) for view in views] == [True, True, False, True]


def test_without_vectors_it_is_the_stages_and_says_why(model: Classifier) -> None:
    """Nobody to ask, or a host that gives none."""
    views = [view_of(ask) for ask in ASKS]

    def away(term: EmbeddingTerm, views: Sequence[PromptView]) -> np.ndarray:
        raise VectorsMissing("the host is away")

    found = [as_served(model, views, asked) for asked in (None, away)]

    plain = plain_of(model, views).probabilities
    assert [why for _, why in found] == ["no host of embeddings is configured here", "the host is away"]
    assert all(np.array_equal(p, plain) for p, _ in found)


def test_only_rows_that_leave_doubt_and_were_heard_are_joined(model: Classifier) -> None:
    """A NaN is a row that nobody was asked about."""
    term = model.artifact.embedding
    assert term is not None
    plain = np.array([[0.5, 0.3, 0.2]] * 3)
    logodds = np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 5.0], [np.nan] * 3])

    found = heard(plain, logodds, term, np.zeros(3, dtype=bool), np.array([True, False, True]))

    assert found[0].argmax() == 2
    assert np.array_equal(found[1:], plain[1:])


def test_doubt_is_a_share_of_the_matrixs_greatest_cost() -> None:
    """As the second stage is asked."""
    matrix = [[0, 1, 2], [4, 0, 1], [10, 5, 0]]
    p = np.array([[0.99, 0.005, 0.005], [0.5, 0.3, 0.2]])

    assert doubtful(p, matrix, 0.05).tolist() == [False, True]


def test_texts_of_private_requests_stay_in_the_house(champion: Classifier) -> None:
    """A host outside is told of the others only."""
    row = replace(
        label_of(LabelledRequest("a", "written", Tier.CODING, "Fix it"), champion.artifact, 0, 1),
        view=view_of("Fix it"),
    )

    shown = list(in_the_house([row, replace(row, private=True)]))

    assert [one.view is None for one in shown] == [False, True]
