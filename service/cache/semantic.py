"""Asks that mean the same in other words: vector, nearest asks of the same scope, guard, threshold of the language."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.cache.entry import Answers, Entry
from service.cache.guard import Difference, Marks, difference, marks_of
from service.cache.key import Key
from service.cache.language import language_of
from service.cache.vectors import Vectors
from service.cache.verified import Verified

log = logging.getLogger("autotier.cache")

Floats = NDArray[np.float32]
NEAREST = 5
REST_S = 15.0
MOST_FAILURES = 3
LONGEST_ASK = 2_000
RIVAL_GAP = 0.15
NEIGHBOUR = 0.9
"""Asks so near to one whose answer was called wrong are forgotten with it."""


class Embedder(Protocol):
    """Turns texts into vectors.

    Attributes:
        model: Name, part of the namespace of vectors.
        is_local: Asks do not leave the house for it.
    """

    model: str
    is_local: bool

    async def embed(self, text: str) -> Floats:
        """A vector; its length need not be 1.

        Raises:
            Exception: Whatever goes wrong.
        """
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...


LOWEST = 0.40
"""Below this similarity no ask is compared, however far the evidence of a scope goes."""


@dataclass(frozen=True, slots=True)
class Similar:
    """An answer to an ask that means the same.

    Attributes:
        group: What its similarity counts for (`service.cache.verified`).
    """

    entry: Entry
    place: str
    similarity: float
    group: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of comparing an ask with kept ones.

    Attributes:
        similar: Its answer may be served.
        almost: Passed the guard, but is not similar enough to be served: where it is verified, it adds evidence.
        vector: Of the ask, for `SemanticCache.add`; None where it could not be had.
    """

    similar: Similar | None = None
    almost: Similar | None = None
    vector: Floats | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A kept ask that may be served, with what the guard read off it."""

    similar: Similar
    marks: Marks


def _is_rival(best: _Candidate, other: _Candidate) -> bool:
    """Whether two kept asks, both similar to a third, differ from each other and are about as near.

    Then which of the two it means is not known: "undo my last commit" and "redo my last commit" are both near to "take
    the commit back", and an embedding hardly tells them apart.
    """
    near = best.similar.similarity - other.similar.similarity < RIVAL_GAP
    return near and difference(best.marks, other.marks) is not Difference.NONE


class SemanticCache:
    """Finds answers of similar asks.

    Args:
        embedder: The embedding model.
        vectors: Where vectors are kept.
        answers: Where answers are kept.
        thresholds: Cosine by language; a language that is not in it is off.
        verified: Sets the cosine per scope from what was verified in operation; None: ``thresholds`` hold.
        deadline_s: Longest wait for a vector.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        embedder: Embedder,
        vectors: Vectors,
        answers: Answers,
        thresholds: Mapping[str, float],
        *,
        deadline_s: float,
        verified: Verified | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.embedder = embedder
        self.vectors = vectors
        self.thresholds = dict(thresholds)
        self.verified = verified
        self._answers = answers
        self._deadline_s = deadline_s
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def takes(self, ask: str) -> str | None:
        """The language of an ask that may be compared, or None."""
        if not ask or len(ask) > LONGEST_ASK or not self.thresholds:
            return None
        language = language_of(ask)
        return language if language in self.thresholds else None

    async def find(self, key: Key, *, explores: bool = False) -> Compared:
        """The answer to a similar ask.

        Args:
            key: Of the ask.
            explores: Also look at what is not similar enough to be served.
        """
        language = self.takes(key.ask)
        vector = None if language is None else await self._vector(key.ask)
        if language is None or vector is None:
            return Compared()
        group = f"{key.group}/{language}"
        least = self.thresholds[language] if self.verified is None else self.verified.taken(group)
        explores = explores and self.verified is not None
        if least is None and not explores:
            return Compared(vector=vector)
        candidates = await self._candidates(key, language, vector, LOWEST if explores or least is None else least)
        if not candidates:
            return Compared(vector=vector)
        best = replace(candidates[0].similar, group=group)
        served = least is not None and best.similarity >= least
        rivals = [one for one in candidates[1:] if least is None or not served or one.similar.similarity >= least]
        if any(_is_rival(candidates[0], rival) for rival in rivals):
            self._refused[Difference.AMBIGUOUS] += 1
            return Compared(vector=vector)
        if not served:
            return Compared(almost=best, vector=vector)
        self._counts["served_total"] += 1
        return Compared(best, vector=vector)

    async def _candidates(self, key: Key, language: str, vector: Floats, least: float) -> list[_Candidate]:
        """Kept asks from a cosine on that the guard lets pass, the nearest first."""
        marks = marks_of(key.ask, language)
        found = []
        for place, cosine in await self.vectors.nearest(key.scope, vector, NEAREST):
            if cosine < least:
                break
            entry = await self._answers.get(place)
            if entry is None:
                await self.vectors.remove(place)  # over its time, or evicted
            elif entry.scope == key.scope and entry.ask:
                theirs = marks_of(entry.ask, language)
                differs = Difference.LANGUAGE if language_of(entry.ask) != language else difference(marks, theirs)
                if differs is Difference.NONE:
                    found.append(_Candidate(Similar(entry, place, min(cosine, 1.0)), theirs))
                else:
                    self._refused[differs] += 1
        return found

    async def add(self, key: Key, place: str, vector: Floats) -> None:
        """Keeps the vector of an ask whose answer is kept."""
        await self.vectors.add(key.scope, place, vector)

    async def forget(self, entry: Entry, place: str) -> int:
        """Forgets an ask whose answer was called wrong, and its neighbours with their answers; how many those were."""
        await self.vectors.remove(place)
        vector = await self._vector(entry.ask) if entry.ask else None
        if vector is None:
            return 0
        near = [p for p, cosine in await self.vectors.nearest(entry.scope, vector, 50) if cosine >= NEIGHBOUR]
        for one in near:
            await self.vectors.remove(one)
            await self._answers.delete(one)
        return len(near)

    def snapshot(self) -> dict[str, float]:
        """Counts of hits, embedding calls, failures and refusals of the guard by what differed."""
        names = ("served_total", "embedded_total", "failed_total", "rested_total")
        return {
            **{f"semantic_{name}": float(self._counts[name]) for name in names},
            **{f"semantic_refused_{name.replace('-', '_')}_total": float(n) for name, n in self._refused.items()},
        }

    async def _vector(self, text: str) -> Floats | None:
        """Length 1; None where the model failed, was too slow, or rests after failures."""
        if self._clock() < self._rests_until:
            self._counts["rested_total"] += 1
            return None
        try:
            async with asyncio.timeout(self._deadline_s):
                vector = await self.embedder.embed(text)
        except Exception as error:  # noqa: BLE001  # the cache advises: whatever fails is a miss, said and counted
            self._failed(error)
            return None
        self._failures = 0
        self._counts["embedded_total"] += 1
        norm = float(np.linalg.norm(vector))
        return vector / np.float32(norm) if norm > 0 else None

    def _failed(self, error: Exception) -> None:
        self._counts["failed_total"] += 1
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._rests_until = self._clock() + REST_S  # then one call tries again: half-open
            self._failures = MOST_FAILURES - 1
            words = str(error)[:200] or type(error).__name__
            log.error("embedding %s rests for %.0f s: %s", self.embedder.model, REST_S, words)
