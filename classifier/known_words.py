"""Codes of words and characters, looked up instead of hashed: a request holds few words that none before had.

The numbers are those of hashing itself (`classifier.features`); only when they are worked out differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint64]
Scatter = Callable[[Codes], tuple[Codes, Codes]]

CHARS = 1_024
"""Code points that have a place of their own: Latin, Greek and Cyrillic begin below."""

MOST_WORDS = 16_384
MOST_LENGTH = 262_144
"""Words, and characters of all words together, that are kept: a megabyte. Then it begins anew."""


class Known:
    """Codes by place: characters first, words behind them. It is only added to, so that threads may read meanwhile.

    Attributes:
        once: First of what `scatter` gives, by place.
        twice: Its second.
        places: Place by word.
    """

    def __init__(self, scatter: Scatter) -> None:
        self._scatter = scatter
        self._length = 0
        self.once: Codes = np.zeros(CHARS + MOST_WORDS, np.uint64)
        self.twice: Codes = np.zeros(CHARS + MOST_WORDS, np.uint64)
        self.places: dict[str, int] = {}
        self._put(0, np.arange(CHARS, dtype=np.uint64))

    def has_room(self, words: Sequence[str]) -> bool:
        """Whether all of these could be added."""
        length = self._length + sum(map(len, words))
        return len(self.places) + len(words) <= MOST_WORDS and length <= MOST_LENGTH

    def add(self, words: Sequence[str], codes: Codes) -> None:
        """Adds words, none of which is there."""
        first = CHARS + len(self.places)
        self._put(first, codes)
        self._length += sum(map(len, words))
        for place, word in enumerate(words, first):  # last: who finds a word finds its codes
            self.places[word] = place

    def _put(self, first: int, codes: Codes) -> None:
        end = first + codes.size
        self.once[first:end], self.twice[first:end] = self._scatter(codes)


class KnownWords:
    """The words of the last requests. Safe for threads.

    Args:
        scatter: What is kept of codes, twofold.
        code: Codes of words, one each.
    """

    def __init__(self, scatter: Scatter, code: Callable[[Sequence[str]], Codes]) -> None:
        self._scatter = scatter
        self._code = code
        self._adding = Lock()
        self._now: Known | None = None

    def of(self, words: Sequence[str]) -> tuple[Known, NDArray[np.intp]]:
        """What knows all of these words, and their places in it."""
        known = self._now
        if known is not None:
            try:
                return known, np.fromiter(map(known.places.__getitem__, words), np.intp, len(words))
            except KeyError:
                pass
        with self._adding:
            known = self._with(words)
        return known, np.fromiter(map(known.places.__getitem__, words), np.intp, len(words))

    def _with(self, words: Sequence[str]) -> Known:
        known = self._now
        if known is not None:
            new = [word for word in dict.fromkeys(words) if word not in known.places]
            if known.has_room(new):
                if new:
                    known.add(new, self._code(new))
                return known
        new = list(dict.fromkeys(words))
        known = self._now = Known(self._scatter)
        if new:
            known.add(new, self._code(new))
        return known
