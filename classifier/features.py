"""Features of the first stage: hashed words, hashed characters, and structure. The same code in training and serving.

A view becomes a `FeatureRow`: a dense vector of named structure features, and sorted hashed indices with their
values.
Everything is bounded (`ASK_CHARS`, `PASTE_CHARS`), so that a megabyte costs as little as a page. Hashing is
our own: 64-bit
multiplicative hashing (Knuth, TAOCP 3, 6.4) of code points, vectorised over numpy, the same on every platform.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from classifier.byte_tables import members, table
from classifier.known_words import CHARS, Codes, KnownWords
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
_DIGITS = re.compile(r"\d\d*")  # a search finds a first character at once, but no repeat
_LONG_NUMBER = re.compile("0{5,}")
_NO_MARKS = members(lambda c: c.isalnum() or c.isspace() or c == "_")
_PLAIN = table(lambda c: "0" if c.isdigit() else " " if c.isspace() else c.lower())
# Arrays without a dimension: a scalar is made one at every use, for half the price of the sum itself.
_MULTIPLIER = np.array(0x9E3779B97F4A7C15, np.uint64)
_MIX = np.array(0xBF58476D1CE4E5B9, np.uint64)
_SHIFT = np.array(29, np.uint64)
_ONE = np.array(1, np.uint64)
_TWO = np.array(2, np.uint64)
_BOTH = _MIX * _MULTIPLIER
_TOP = np.array(64 - WORD_BITS, np.uint64)
_PASTE_TOP = np.array(64 - PASTE_BITS, np.uint64)
_CHAR_START, _PASTE_START = (np.array(start, np.uint32) for start in BLOCK_STARTS[1:])
_MOST_COUNTED = 32_768
"""More hashes than the longest ask and the longest paste have together, were lower case to double them."""
_DAMPED = 1.0 + np.log(np.maximum(np.arange(_MOST_COUNTED), 1))
"""Value of a hash by how often it is there."""
_LATER_BLOCKS = np.array(BLOCK_STARTS[1:])

_NOTHING: Codes = np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One request in features.

    Attributes:
        structure: (len(STRUCTURE_NAMES),) float64, unscaled.
        indices: (k,) int64 columns of the hashed part, sorted, without repetition.
        values: (k,) float64; each block has Euclidean norm 1 or is empty.
        counts: (k,) int64, how often each hash is there; None where only its value is known.
    """

    structure: NDArray[np.float64]
    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    counts: NDArray[np.int64] | None = None


def _half_mixed(codes: Codes) -> Codes:
    """Mixes an array of codes in place, but for the last factor, `_MIX`."""
    codes *= _MULTIPLIER
    codes ^= codes >> _SHIFT
    return codes


def _mixed(codes: Codes) -> Codes:
    """Mixes an array of codes in place."""
    codes = _half_mixed(codes)
    codes *= _MIX
    return codes


def _scatter(codes: Codes) -> tuple[Codes, Codes]:
    """Codes mixed once, with the length 2 added, times `_MULTIPLIER`; and mixed again, but for the last factor: as
    `_run_hashes` adds them."""
    once = _mixed(codes + _ONE)
    return (once + _TWO) * _MULTIPLIER, _half_mixed(once + _ONE)


def _columns(hashes: Codes, words: int, pasted: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts of hashes by column. One sort for all three blocks.

    Args:
        hashes: Of words, then of characters, not empty; changed.
        words: How many are those of words.
        pasted: Hashes of pasted words.
    """
    hashes >>= _TOP
    # Sorting some thousand short keys is cheaper than walking an array of all columns.
    keys = hashes.astype(np.uint32)
    keys[words:] += _CHAR_START
    if pasted.size:
        keys = np.concatenate((keys, (pasted >> _PASTE_TOP).astype(np.uint32) + _PASTE_START))
    keys.sort()
    changes = np.empty(keys.size + 1, np.bool_)
    changes[0] = changes[-1] = True
    np.not_equal(keys[1:], keys[:-1], changes[1:-1])
    edges = changes.nonzero()[0]
    firsts = edges[:-1]
    return keys.take(firsts).astype(np.int64), edges[1:] - firsts


def block_starts(indices: NDArray[np.int64]) -> tuple[int, ...]:
    """Where each of `BLOCKS` begins in sorted columns."""
    return (0, *indices.searchsorted(_LATER_BLOCKS).tolist())


def counted_values(indices: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of hashes: their counts damped (1 + ln), each block scaled to norm 1.

    Args:
        indices: (k,) sorted columns.
        counts: (k,) how often each is there, 1 to 32,767.
    """
    values = _DAMPED.take(counts)
    for begin, end in pairwise((*block_starts(indices), indices.size)):
        if end > begin:
            block = values[begin:end]
            block /= math.sqrt(block.dot(block))
    return values


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _scattered(words: list[str], text: str) -> tuple[Codes, Codes]:
    """`_scatter` of the codes of words, then of characters."""
    known, places = _KNOWN.of(words)
    if text.isascii():
        chars: NDArray[np.uint8] | NDArray[np.uint32] = np.frombuffer(text.encode(), np.uint8)
    else:
        chars = _points(text)
    if text.isascii() or chars.max() < CHARS:
        both = np.concatenate((places, chars), dtype=np.intp)
        return known.once.take(both), known.twice.take(both)
    once, twice = _scatter(chars.astype(np.uint64))
    return np.concatenate((known.once.take(places), once)), np.concatenate((known.twice.take(places), twice))


def _run_hashes(words: list[str], text: str) -> tuple[Codes, int]:
    """Hashes of words and word pairs, then of all runs of `CHAR_ORDERS` characters; the run's length is in its hash.

    A run's hash is `_mixed` of that of its last member, its length and the hash of what stands before, added up. Here
    the factors of `_mixed` are drawn into the sum and the last one out of the loop, which is the same modulo 2^64. Both
    sequences go one behind the other through the first two lengths: a call costs more than its numbers.

    Args:
        words: In order; numbers by their length.
        text: At least two characters.

    Returns:
        (hashes, how many of them are those of words).
    """
    number = len(words)
    lasts, runs = _scattered(words, text)
    pairs = _longer(runs, lasts[1:])  # the pair of the last word and the first character is left out below
    found = [runs[:number], pairs[: max(number - 1, 0)], pairs[number:]]
    lasts, runs = lasts[number + 1 :], found[-1]
    for _ in range(3, min(CHAR_ORDERS[-1], len(text)) + 1):
        lasts = lasts[1:]
        lasts += _MULTIPLIER  # the length, one more
        runs = _longer(runs, lasts)
        found.append(runs)
    hashes = np.concatenate(found)
    hashes *= _MIX
    return hashes, found[0].size + found[1].size


def _longer(runs: Codes, lasts: Codes) -> Codes:
    """Runs with one more behind: half mixed as ``runs`` are."""
    longer = runs[:-1] * _BOTH
    longer += lasts
    longer ^= longer >> _SHIFT
    return longer


def _words(text: str) -> list[str]:
    """Words in lower case and punctuation marks of a text, in order; numbers are one word by their length."""
    if not text.isascii():
        return _WORD.findall(_DIGITS.sub(_by_length, text.lower()))
    plain = _plain(text)
    if "00000" in plain:
        plain = _LONG_NUMBER.sub("0000", plain)
    for mark in set(text.encode().translate(None, _NO_MARKS).decode()):
        plain = plain.replace(mark, f" {mark} ")
    return plain.split()


def _characters(text: str) -> str:
    """A text in lower case, with one 0 for each number and one blank for each run of white space, and one before and
    behind it."""
    if not text.isascii():
        return _smooth(_DIGITS.sub("0", text.lower()))
    plain = _plain(text)
    while "00" in plain:
        plain = plain.replace("00", "0")
    while "  " in plain:
        plain = plain.replace("  ", " ")
    return f" {plain} "


def _plain(text: str) -> str:
    """ASCII in lower case, with 0 for each digit and a blank for white space: a fifth of what expressions cost."""
    return text.encode().translate(_PLAIN).decode()


def word_codes(words: Sequence[str]) -> Codes:
    """One 64-bit code for each word."""
    if not words:
        return _NOTHING
    codes = _points("".join(words)).astype(np.uint64)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    starts = lengths.cumsum()
    starts -= lengths
    position = np.arange(codes.size)
    position -= starts.repeat(lengths)
    position <<= 32
    codes += position.view(np.uint64)
    codes += np.uint64(7)
    total: Codes = np.add.reduceat(_mixed(codes), starts)
    return total


_KNOWN = KnownWords(_scatter, word_codes)


def _by_length(number: re.Match[str]) -> str:
    return "0" * min(len(number.group()), 4)


def hashed(view: PromptView) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hashed part of a view: words and word pairs of the ask, its characters, words of the pasted material.

    Args:
        view: The prompt view.

    Returns:
        (indices, counts) as in `FeatureRow`.
    """
    ask = bounded(view.ask, *ASK_CHARS)
    hashes, words = _run_hashes(_words(ask), _characters(ask))
    pasted = bounded(view.pasted, *PASTE_CHARS)
    return _columns(hashes, words, _mixed(word_codes(_words(pasted))) if pasted else _NOTHING)


def _smooth(text: str) -> str:
    """A text with one blank for each run of white space, and one before and behind it."""
    single = " ".join(text.split())
    head = " " if text[:1].isspace() else ""
    tail = " " if single and text[-1:].isspace() else ""
    return f" {head}{single}{tail} "


def feature_row(view: PromptView) -> FeatureRow:
    """All features of a view. Total and finite on any text.

    Args:
        view: The prompt view.

    Returns:
        The row; its arrays cannot be changed.
    """
    indices, counts = hashed(view)
    row = FeatureRow(structure_vector(view), indices, counted_values(indices, counts), counts)
    for array in (row.structure, indices, row.values, counts):
        array.setflags(write=False)  # shared by all who ask
    return row


__all__ = [
    "BLOCKS",
    "BLOCK_SIZES",
    "BLOCK_STARTS",
    "HASHED_SIZE",
    "SCHEMA",
    "STRUCTURE_NAMES",
    "FeatureRow",
    "block_starts",
    "counted_values",
    "feature_row",
    "hashed",
]
