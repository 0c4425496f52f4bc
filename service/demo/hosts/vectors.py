"""Deterministic embeddings: hashed bags of words and character trigrams, so that similar texts are similar.

Weights: a word counts 1, a character trigram 0.25; each is hashed (CRC-32) to one coordinate and a sign
("feature hashing", Weinberger et al. 2009). Vectors have length 1. The model `NOISE` has vectors that say nothing.
"""

from __future__ import annotations

import base64
import math
import re
import zlib
from array import array
from random import Random
from sys import byteorder

NOISE = "noise-embed"
"""A model that hashes the whole text: similar texts are as far from each other as any."""

_WORD = re.compile(r"\w+")
_TRIGRAM_WEIGHT = 0.25


def vector(model: str, text: str, dimensions: int) -> list[float]:
    """Make the vector of a text by a model of a host."""
    return noise(text, dimensions) if model.split(":")[0] == NOISE else embed(text, dimensions)


def noise(text: str, dimensions: int) -> list[float]:
    """Make a vector that depends on the text and tells nothing about it, with the norm 1."""
    random = Random(zlib.crc32(text.encode("utf-8", "replace")))
    drawn = [random.gauss(0.0, 1.0) for _ in range(dimensions)]
    norm = math.sqrt(sum(value * value for value in drawn))
    return [value / norm for value in drawn]


def embed(text: str, dimensions: int) -> list[float]:
    """Make the vector of a text.

    Args:
        text: Any text; an empty one gives the first unit vector.
        dimensions: Length of the vector, at least 1.

    Returns:
        A list of `dimensions` numbers with the Euclidean norm 1.
    """
    sums: dict[int, float] = {}
    for word in _WORD.findall(text.lower()):
        _add(sums, word, 1.0, dimensions)
        padded = f"^{word}$"
        for at in range(len(padded) - 2):
            _add(sums, padded[at : at + 3], _TRIGRAM_WEIGHT, dimensions)
    norm = math.sqrt(sum(value * value for value in sums.values()))
    vector = [0.0] * dimensions
    if norm == 0.0:
        vector[0] = 1.0
        return vector
    for index, value in sums.items():
        vector[index] = value / norm
    return vector


def _add(sums: dict[int, float], term: str, weight: float, dimensions: int) -> None:
    """Add one term to its coordinate, with its sign."""
    hashed = zlib.crc32(term.encode("utf-8", "replace"))
    index = (hashed >> 1) % dimensions
    sums[index] = sums.get(index, 0.0) + (weight if hashed & 1 else -weight)


def packed(vector: list[float]) -> str:
    """Give a vector as OpenAI's ``encoding_format: base64``: float32, little-endian."""
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
