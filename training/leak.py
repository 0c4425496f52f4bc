"""Leak check: the design's examples, and near neighbours of them, must not be in the training data.

Near means a Jaccard similarity of lower-cased character 5-grams above `LIMIT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifier.record import LabelledRequest

LIMIT = 0.4
GRAM = 5


class LeakError(Exception):
    """A training row is an example or a near neighbour of one; the message names both."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The most similar pair found: Jaccard similarity and the two ids ("" if there was nothing to compare)."""

    similarity: float
    row: str
    example: str


def grams(text: str) -> frozenset[str]:
    """Lower-cased character 5-grams of a text; a shorter text is its own only gram."""
    lowered = text.lower()
    return frozenset(lowered[i : i + GRAM] for i in range(max(1, len(lowered) - GRAM + 1)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Size of the intersection over size of the union."""
    common = len(a & b)
    return common / (len(a) + len(b) - common) if a or b else 1.0


def nearest(rows: Iterable[LabelledRequest], examples: Sequence[Mapping[str, Any]]) -> Nearest:
    """Highest similarity between any row and any example.

    Args:
        rows: Training rows; the text of their user turns is compared.
        examples: Rows with `id` and `prompt`.

    Returns:
        The nearest pair.
    """
    targets = [(str(e["id"]), grams(str(e["prompt"]))) for e in examples]
    largest = max((len(t) for _, t in targets), default=0)
    best = Nearest(0.0, "", "")
    for row in rows:
        text = row.text
        # A text this much longer than the longest example cannot reach the limit: its 5-grams are too many.
        candidate = grams(text[: 40 * largest + 100])
        for name, target in targets:
            if min(len(target), len(candidate)) <= best.similarity * max(len(target), len(candidate)):
                continue
            similarity = jaccard(candidate, target)
            if similarity > best.similarity:
                best = Nearest(similarity, row.id, name)
    return best


def check(rows: Iterable[LabelledRequest], examples: Sequence[Mapping[str, Any]]) -> Nearest:
    """Stop on a leak.

    Args:
        rows: Training rows.
        examples: The design's examples.

    Returns:
        The nearest pair, for the metadata.

    Raises:
        LeakError: It is above `LIMIT`.
    """
    found = nearest(rows, examples)
    if found.similarity > LIMIT:
        raise LeakError(
            f"training row {found.row} is a near neighbour of example {found.example} "
            f"(Jaccard of 5-grams {found.similarity:.2f} > {LIMIT}): exclude it by id in training.dataset.EXCLUDED"
        )
    return found
