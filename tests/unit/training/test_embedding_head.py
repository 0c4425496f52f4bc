"""Head and joins on made-up vectors: what they learn, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.scorer import softmax
from training.embedding_head import fit_head, fit_join


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vectors that tell the tier with some noise, label distributions, folds)."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    x = random.normal(size=(900, 24)) + 1.2 * np.eye(3, 24)[labels]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), np.eye(3)[labels], random.integers(0, 4, 900)


def loss(p: np.ndarray, soft: np.ndarray) -> float:
    """Mean log loss."""
    return float(-(soft * np.log(np.maximum(p, 1e-12))).sum(axis=1).mean())


def test_held_out_rows_are_said_right_more_often_than_by_chance(rows: tuple[np.ndarray, ...]) -> None:
    """And the head over all rows says on them what its weights say."""
    x, soft, fold = rows
    steps: list[tuple[int, int]] = []

    head = fit_head(x, soft, np.ones(900), fold, lambda done, of: steps.append((done, of)))

    assert loss(softmax(head.held_out), soft) < np.log(3) - 0.15
    assert loss(softmax(x @ head.weights + head.bias), soft) < np.log(3) - 0.15
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_the_same_rows_give_the_same_head(rows: tuple[np.ndarray, ...]) -> None:
    """To the last bit."""
    x, soft, fold = rows

    one, two = (fit_head(x, soft, np.ones(900), fold, lambda done, of: None) for _ in range(2))

    assert np.array_equal(one.weights, two.weights)
    assert np.array_equal(one.held_out, two.held_out)


def test_vectors_that_say_nothing_get_the_longest_leash_and_no_share(rows: tuple[np.ndarray, ...]) -> None:
    """Then the join says what the stages say."""
    _, soft, fold = rows
    random = np.random.default_rng(1)
    noise = random.normal(size=(900, 24)).astype(np.float32)
    plain = softmax(2.0 * soft + random.normal(size=(900, 3)))

    head = fit_head(noise, soft, np.ones(900), fold, lambda done, of: None)
    join = fit_join(plain, head.held_out, soft, np.ones(900))

    assert loss(softmax(head.held_out), soft) > np.log(3) - 0.01
    assert np.abs(join.probabilities(plain, head.held_out, np.zeros((900, 0))) - plain).max() < 0.02


def test_a_join_takes_both_words_where_both_tell(rows: tuple[np.ndarray, ...]) -> None:
    """Better than either alone."""
    x, soft, fold = rows
    plain = softmax(1.5 * soft + np.random.default_rng(2).normal(size=(900, 3)))
    head = fit_head(x, soft, np.ones(900), fold, lambda done, of: None)

    join = fit_join(plain, head.held_out, soft, np.ones(900))

    both = join.probabilities(plain, head.held_out, np.zeros((900, 0)))
    assert loss(both, soft) < min(loss(plain, soft), loss(softmax(head.held_out), soft)) - 0.05


def test_a_join_does_not_calibrate_the_stages_anew(rows: tuple[np.ndarray, ...]) -> None:
    """They lean to one tier on purpose, and go on leaning where the vectors tell nothing."""
    soft = rows[1]
    leaning = softmax(0.5 * soft + np.array([0.0, 0.5, 2.0]))

    join = fit_join(leaning, np.zeros((900, 3)), soft, np.ones(900))

    assert np.allclose(join.probabilities(leaning, np.zeros((900, 3)), np.zeros((900, 0))), leaning)


def test_a_handful_of_rows_is_no_join() -> None:
    """The stages stay as they are."""
    plain = np.full((10, 3), 1 / 3)

    join = fit_join(plain, np.ones((10, 3)), np.eye(3)[np.zeros(10, dtype=int)], np.ones(10))

    assert np.allclose(join.probabilities(plain, 9 * np.eye(3)[np.zeros(10, dtype=int)], np.zeros((10, 0))), plain)
