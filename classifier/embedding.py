"""The embedding term of an artifact: what the vectors of a model that somebody runs anyway add to both stages.

`embedding.npz` holds a linear head (vector in, three log-odds out) and how they are joined with what the stages say
without it. Nothing of that touches the stages: an artifact whose embedding is not heard decides as if it had none.
Who is asked for vectors, and how long, is the service's (`classifier.embeddings` of its configuration).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.deep import ASK_CHARACTERS, PASTE_CHARACTERS, PREVIOUS_CHARACTERS
from classifier.prompt import PromptView, bounded
from classifier.scorer import Stack

EMBEDDING = "embedding.npz"
"""File of an artifact that has the term."""

Floats = NDArray[np.float64]
_JOIN = 5


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingTerm:
    """A head over the vectors of one model, and its join with the stages.

    Attributes:
        name: Key of `classifier.embeddings` that it was trained with.
        model: The model's name at its host.
        digest: Of the model's weights as its host tells it, "" where it does not.
        prefix: What is put before each text.
        weights: (dimensions, 3) over vectors of length 1.
        bias: (3,).
        head: Eight digits of a hash of weights and bias: log-odds of another head mean something else.
        alone: Join where the first stage speaks alone.
        both: Join behind both stages; None in an artifact without a second.
    """

    name: str
    model: str
    digest: str
    prefix: str
    weights: Floats
    bias: Floats
    head: str
    alone: Stack
    both: Stack | None = None

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.weights.shape[0])

    def text(self, view: PromptView) -> str:
        """What is embedded of a request."""
        return self.prefix + text_of(view)

    def logodds(self, vectors: NDArray[Any]) -> Floats:
        """(..., dimensions) vectors of any length above 0 to (..., 3) log-odds."""
        return unit(vectors) @ self.weights + self.bias

    def joined(self, plain: Floats, logodds: Floats, *, second: bool) -> Floats:
        """Join.

        Args:
            plain: (..., 3) probabilities of the stages.
            logodds: (..., 3) of the head.
            second: Whether the second stage was among them.

        Returns:
            (..., 3) probabilities.
        """
        join = self.both if second and self.both is not None else self.alone
        return join.probabilities(plain, logodds, np.zeros((*plain.shape[:-1], 0)))


def text_of(view: PromptView) -> str:
    """The text of a request: ask, pasted material and the ask before, head and tail of each, in at most 3 KB.

    The same of a view and of what the log keeps of it (`classifier.deep.read_part`).
    """
    parts = [bounded(view.ask, *ASK_CHARACTERS), bounded(view.pasted, *PASTE_CHARACTERS)]
    parts += [bounded(one, *PREVIOUS_CHARACTERS) for one in view.previous[:1]]
    # A surrogate on its own is no JSON.
    return "\n".join(part for part in parts if part).encode("utf-8", "replace").decode("utf-8")


def unit(vectors: NDArray[Any]) -> Floats:
    """(..., d) vectors as float64 of length 1; one of length 0 stays."""
    wide = np.asarray(vectors, dtype=np.float64)
    length = np.sqrt((wide * wide).sum(axis=-1, keepdims=True))
    return wide / np.where(length > 0, length, 1.0)


def arrays_of(weights: Floats, bias: Floats, alone: Stack, both: Stack | None) -> dict[str, NDArray[Any]]:
    """Arrays of `embedding.npz`."""
    found: dict[str, NDArray[Any]] = {"weights": weights.astype(np.float32), "bias": bias, "alone": _numbers(alone)}
    if both is not None:
        found["both"] = _numbers(both)
    return found


def read_term(arrays: Mapping[str, NDArray[Any]], described: Mapping[str, Any], *, second: bool) -> EmbeddingTerm:
    """The term of an artifact.

    Args:
        arrays: `embedding.npz`.
        described: `embedding` of its metadata.
        second: The artifact has a second stage.

    Raises:
        KeyError: Something is missing.
        ValueError: An array has the wrong shape or is not finite.
    """
    weights, bias = arrays["weights"].astype(np.float64), arrays["bias"].astype(np.float64)
    if weights.shape != (int(described["dimensions"]), 3) or bias.shape != (3,):
        raise ValueError(f"embedding: weights of shape {weights.shape} for {described['dimensions']} dimensions")
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ValueError("embedding: its weights are not finite")
    return EmbeddingTerm(
        str(described["name"]),
        str(described["model"]),
        str(described.get("digest") or ""),
        str(described.get("prefix") or ""),
        weights,
        bias,
        hashlib.sha256(weights.tobytes() + bias.tobytes()).hexdigest()[:8],
        _join(arrays["alone"]),
        _join(arrays["both"]) if second else None,
    )


def _numbers(join: Stack) -> Floats:
    return np.array([join.first, join.second, *join.offset])


def _join(kept: NDArray[Any]) -> Stack:
    numbers = kept.astype(np.float64)
    if numbers.shape != (_JOIN,) or not np.isfinite(numbers).all():
        raise ValueError("embedding: a join is not five finite numbers")
    return Stack(float(numbers[0]), float(numbers[1]), numbers[2:], np.zeros((0, 3)))
