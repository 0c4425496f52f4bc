"""Vectors on disk: asked for once, kept without text, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from training.embedding_vectors import BATCH, PORTION, EmbeddingModel, KeptVectors, VectorsMissing

MODEL = EmbeddingModel("nomic", "nomic-embed-text", "abc")
TEXTS = [f"secret number {i}" for i in range(BATCH * PORTION + 40)]


class Host:
    """Gives vectors, and dies after so many batches."""

    def __init__(self, batches: int = 1_000, size: int = 8) -> None:
        self.asked: list[str] = []
        self._left = batches
        self._size = size

    def fetch(self, texts: Sequence[str]) -> np.ndarray:
        """One batch."""
        if not self._left:
            raise VectorsMissing("it is away")
        self._left -= 1
        self.asked += texts
        rows = [np.random.default_rng(len(t) * 1_000 + int(t.split()[-1])).normal(size=self._size) for t in texts]
        return np.array(rows, dtype=np.float32)


def test_what_is_kept_is_not_asked_for_again(tmp_path: Path) -> None:
    """The second time nobody is asked, and no text lies on disk."""
    first, host = Host(), Host()
    there = KeptVectors(MODEL, tmp_path, first.fetch).of([*TEXTS, TEXTS[0]])

    again = KeptVectors(MODEL, tmp_path, host.fetch).of([*TEXTS, TEXTS[0]])

    assert len(first.asked) == len(TEXTS)
    assert host.asked == []
    assert np.array_equal(there, again)
    assert np.allclose(np.linalg.norm(again, axis=1), 1.0, atol=1e-3)
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_host_that_dies_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """What came before is on disk; the next run asks for the rest alone."""
    with pytest.raises(VectorsMissing):
        KeptVectors(MODEL, tmp_path, Host(batches=PORTION + 1).fetch).of(TEXTS)
    host = Host()

    KeptVectors(MODEL, tmp_path, host.fetch).of(TEXTS)

    assert host.asked == TEXTS[BATCH * (PORTION + 1) :]


@pytest.mark.parametrize("other", [EmbeddingModel("nomic", "nomic-embed-text", "def"),
                                   EmbeddingModel("nomic", "nomic-embed-text", "abc", "search: ")])  # fmt: skip
def test_another_model_begins_anew(tmp_path: Path, other: EmbeddingModel) -> None:
    """Another digest or prefix gives other vectors."""
    KeptVectors(MODEL, tmp_path, Host().fetch).of(TEXTS[:5])

    with pytest.raises(VectorsMissing, match="5 texts have no vector"):
        KeptVectors(other, tmp_path).of(TEXTS[:5])


def test_a_damaged_file_is_asked_for_again(tmp_path: Path) -> None:
    """A crash of the machine costs a portion, not the training."""
    KeptVectors(MODEL, tmp_path, Host().fetch).of(TEXTS[:5])
    next(tmp_path.iterdir()).write_bytes(b"half a file")
    host = Host()

    KeptVectors(MODEL, tmp_path, host.fetch).of(TEXTS[:5])

    assert host.asked == TEXTS[:5]


def test_vectors_of_two_lengths_are_no_vectors_of_one_model(tmp_path: Path) -> None:
    """Said, not averaged."""
    KeptVectors(MODEL, tmp_path, Host(size=8).fetch).of(TEXTS[:5])

    with pytest.raises(VectorsMissing, match="vectors of 4 and 8 numbers"):
        KeptVectors(MODEL, tmp_path, Host(size=4).fetch).of(TEXTS[:6])
