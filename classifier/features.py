"""Features of the first stage: hashed words, hashed characters, and structure. The same code in training and serving.

A view becomes a `FeatureRow`: a dense vector of named structure features, and sorted hashed indices with their
values.
Everything is bounded (`ASK_CHARS`, `PASTE_CHARS`), so that a megabyte costs as little as a page. Hashing is
our own: 64-bit
multiplicative hashing (Knuth, TAOCP 3, 6.4) of code points, vectorised over numpy, the same on every platform.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from classifier.prompt import PromptView, bounded
from classifier.structure import STRUCTURE_NAMES, structure_vector

SCHEMA = 1
"""Version of the features; part of every artifact, which is refused by code with another one."""

ASK_CHARS = (1_000, 400)
PASTE_CHARS = (400, 200)
PREVIOUS_CHARS = (400, 200)
"""Head and tail, in characters, of what is hashed of the ask, the pasted material and an earlier ask."""

WORD_BITS = 16
CHAR_BITS = 16
CHAR_ORDERS = (2, 3, 4, 5)
BLOCKS = ("words", "characters", "pasted")
PASTE_BITS = 12
BLOCK_SIZES = (1 << WORD_BITS, 1 << CHAR_BITS, 1 << PASTE_BITS)
BLOCK_STARTS = (0, BLOCK_SIZES[0], BLOCK_SIZES[0] + BLOCK_SIZES[1])
HASHED_SIZE = sum(BLOCK_SIZES)
"""Number of hashed columns; the blocks stand one behind the other."""

_WORD = re.compile(r"\w+|[^\w\s]")
_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One request in features.

    Attributes:
        structure: (len(STRUCTURE_NAMES),) float64, unscaled.
        indices: (k,) int64 columns of the hashed part, without repetition.
        values: (k,) float64; each block has Euclidean norm 1 or is empty.
    """

    structure: NDArray[np.float64]
    indices: NDArray[np.int64]
    values: NDArray[np.float64]


def _scatter(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = codes * _MULTIPLIER
    return (mixed ^ (mixed >> _SHIFT)) * _MIX


def _block(hashes: NDArray[np.uint64], bits: int, start: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts of hashes in 2**bits columns, damped (1 + ln) and scaled to norm 1."""
    if not hashes.size:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    # Sorting some thousand short keys is cheaper than walking an array of all columns.
    keys = np.sort((hashes >> np.uint64(64 - bits)).astype(np.uint32))
    edges = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    firsts = np.concatenate(([0], edges))
    counts = np.diff(firsts, append=keys.size)
    values = 1.0 + np.log(counts)
    return keys[firsts].astype(np.int64) + start, values / np.sqrt(values @ values)


def _points(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)


def _sequence_hashes(points: NDArray[np.uint64], orders: tuple[int, ...]) -> NDArray[np.uint64]:
    """Hashes of all runs of the given lengths in a sequence of codes (length of the run included in the hash)."""
    found: list[NDArray[np.uint64]] = []
    scattered = _scatter(points + np.uint64(1))
    running = np.zeros_like(scattered)
    for length in range(1, max(orders) + 1):
        if points.size < length:
            break
        running = _scatter(running[: points.size - length + 1] + scattered[length - 1 :] + np.uint64(length))
        if length in orders:
            found.append(running)
    return np.concatenate(found) if found else np.empty(0, np.uint64)


def word_codes(text: str) -> NDArray[np.uint64]:
    """One 64-bit code for each word or punctuation mark of a text, in order; numbers are one word by their length."""
    words = _WORD.findall(_DIGITS.sub(lambda m: "0" * min(len(m.group()), 4), text.lower()))
    if not words:
        return np.empty(0, np.uint64)
    points = _points("".join(words))
    ends = np.cumsum(np.fromiter((len(w) for w in words), np.int64, len(words)))
    starts = np.concatenate(([0], ends[:-1]))
    position = np.arange(points.size) - np.repeat(starts, ends - starts)
    codes = _scatter(points + (position.astype(np.uint64) << np.uint64(32)) + np.uint64(7))
    total: NDArray[np.uint64] = np.add.reduceat(codes, starts)
    return total


def hashed(view: PromptView) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Hashed part of a view: words and word pairs of the ask, its characters, words of the pasted material.

    Args:
        view: The prompt view.

    Returns:
        (indices, values) as in `FeatureRow`.
    """
    ask = bounded(view.ask, *ASK_CHARS)
    words = _block(_sequence_hashes(word_codes(ask), (1, 2)), WORD_BITS, BLOCK_STARTS[0])
    smooth = " " + _SPACE.sub(" ", _DIGITS.sub("0", ask.lower())) + " "
    chars = _block(_sequence_hashes(_points(smooth), CHAR_ORDERS), CHAR_BITS, BLOCK_STARTS[1])
    pasted = _block(_scatter(word_codes(bounded(view.pasted, *PASTE_CHARS))), PASTE_BITS, BLOCK_STARTS[2])
    return np.concatenate((words[0], chars[0], pasted[0])), np.concatenate((words[1], chars[1], pasted[1]))


@lru_cache(maxsize=128)
def feature_row(view: PromptView) -> FeatureRow:
    """All features of a view. Total and finite on any text.

    The rows of the newest views are kept: a request's row is asked for again when its record is written.

    Args:
        view: The prompt view.

    Returns:
        The row.
    """
    indices, values = hashed(view)
    row = FeatureRow(structure_vector(view), indices, values)
    for array in (row.structure, row.indices, row.values):
        array.flags.writeable = False  # shared by all who ask
    return row


__all__ = [
    "BLOCKS",
    "BLOCK_SIZES",
    "BLOCK_STARTS",
    "HASHED_SIZE",
    "SCHEMA",
    "STRUCTURE_NAMES",
    "FeatureRow",
    "feature_row",
    "hashed",
]
