"""The subject prior: tiers of topics among the rows of other sources."""

from __future__ import annotations

import numpy as np

from classifier.features import feature_row
from classifier.prompt import view_of
from training.topic_prior import topic_prior

COOKING = "how long do potatoes boil in salted water on the kitchen stove"
PROOFS = "prove that every bounded monotone sequence of reals converges"


def predictions(asks: list[str], true: list[int], sources: list[str]) -> np.ndarray:
    """Topic priors of asks, every row weighted the same."""
    features = [feature_row(view_of(ask)) for ask in asks]
    return topic_prior(features, np.array(true), np.ones(len(true)), np.array(sources), 0)


def test_a_topic_keeps_the_tier_it_had_elsewhere() -> None:
    """Two topics in two sources: each source learns them from the other one."""
    asks = [f"{COOKING} {i}" if i % 2 else f"{PROOFS} {i}" for i in range(120)]
    true = [0 if i % 2 else 2 for i in range(120)]

    found = predictions(asks, true, ["a" if i < 60 else "b" for i in range(120)])

    assert found.argmax(axis=1).tolist() == true


def test_a_source_does_not_speak_for_itself() -> None:
    """The last source calls both topics coding; nobody else does, so it is not predicted."""
    asks = [f"{COOKING} {i}" if i % 2 else f"{PROOFS} {i}" for i in range(150)]
    true = [(0 if i % 2 else 2) if i < 100 else 1 for i in range(150)]

    found = predictions(asks, true, ["a" if i < 50 else "b" if i < 100 else "c" for i in range(150)])

    assert 1 not in found[100:].argmax(axis=1)
    assert np.allclose(found.sum(axis=1), 1.0)


def test_few_rows_have_one_topic() -> None:
    """With a handful of rows the prior is that of all other sources."""
    found = predictions(["one", "two", "three", "four"], [0, 0, 2, 2], ["a", "a", "b", "b"])

    assert found.argmax(axis=1).tolist() == [2, 2, 0, 0]
