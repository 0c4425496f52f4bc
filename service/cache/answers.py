"""The cache as the gateway uses it: find an answer for a key, keep one, take one back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.cache.entry import Answers, Entry, dumped
from service.cache.key import Key
from service.cache.semantic import SemanticCache, Similar
from service.cache.verified import NEAR, Verified
from service.config.cache import CacheSettings

Floats = NDArray[np.float32]
Kind = Literal["exact", "near", "semantic"]


@dataclass(frozen=True, slots=True)
class Found:
    """A hit.

    Attributes:
        key: Under which the entry is kept.
        similarity: 1.0 for an exact hit and a near duplicate, else the cosine of the two asks.
        group: What a verdict on it counts for; "" for an exact hit, which nobody verifies.
    """

    entry: Entry
    key: str
    kind: Kind
    age_s: float
    similarity: float = 1.0
    group: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of comparing asks.

    Attributes:
        found: May be served.
        almost: Is not similar enough to be served; where it is verified, it adds evidence.
        vector: Of the ask, for `AnswerCache.keep`.
    """

    found: Found | None = None
    almost: Found | None = None
    vector: Floats | None = None


class AnswerCache:
    """Finds and keeps answers over one store.

    Args:
        answers: The store.
        settings: What may be kept.
        semantic: Finds answers of similar asks; None: only equal ones share answers.
        verified: What hits were found to be worth; None: nobody verifies them.
        now_s: Unix seconds.
    """

    def __init__(
        self,
        answers: Answers,
        settings: CacheSettings,
        semantic: SemanticCache | None = None,
        verified: Verified | None = None,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.answers = answers
        self.settings = settings
        self.semantic = semantic
        self.verified = verified
        self._now_s = now_s
        self._counts: Counter[str] = Counter()

    def place(self, key: Key) -> str:
        """Under which an answer to ``key`` is kept."""
        return key.near if self.settings.near_duplicates else key.exact

    async def find(self, key: Key) -> Found | None:
        """The answer to the same question, or None."""
        place = self.place(key)
        entry = await self.answers.get(place)
        if entry is None:
            return None
        age_s = max(self._now_s() - entry.created_s, 0.0)
        if entry.exact == key.exact:
            return Found(entry, place, "exact", age_s)
        return Found(entry, place, "near", age_s, group=f"{key.group}/{NEAR}")

    def compares(self, key: Key, *, leaves_house: bool) -> bool:
        """Whether asks may be compared with this one.

        Args:
            key: Of the request.
            leaves_house: The request may be answered outside; else only a model in the house may embed it.
        """
        semantic = self.semantic
        if semantic is None or not (leaves_house or semantic.embedder.is_local):
            return False
        return semantic.takes(key.ask) is not None

    async def find_similar(self, key: Key, *, explores: bool = False) -> Looked:
        """The answer to a similar ask. Only where `compares` says so; ``explores`` as `SemanticCache.find`."""
        assert self.semantic is not None
        compared = await self.semantic.find(key, explores=explores)
        return Looked(self._found(compared.similar), self._found(compared.almost), compared.vector)

    def _found(self, similar: Similar | None) -> Found | None:
        if similar is None:
            return None
        age_s = max(self._now_s() - similar.entry.created_s, 0.0)
        return Found(similar.entry, similar.place, "semantic", age_s, similar.similarity, similar.group)

    async def keep(self, key: Key, entry: Entry, vector: Floats | None = None) -> bool:
        """Keeps an answer, unless it is too large; whether it was.

        Args:
            key: Of the request.
            entry: Its answer.
            vector: Of the ask, where similar ones may be served from it.
        """
        if vector is not None:
            entry = replace(entry, ask=key.ask)
        if len(dumped(entry)) > self.settings.max_entry_bytes:
            self._counts["too_large_total"] += 1
            return False
        await self.answers.put(self.place(key), entry)
        if vector is not None and self.semantic is not None:
            await self.semantic.add(key, self.place(key), vector)
        self._counts["kept_total"] += 1
        return True

    async def reject(self, place: str) -> bool:
        """Takes back an answer that somebody called wrong, with its neighbours; whether there was one."""
        entry = await self.answers.get(place) if self.semantic is not None else None
        gone = await self.answers.delete(place)
        if self.semantic is not None and entry is not None:
            self._counts["rejected_total"] += await self.semantic.forget(entry, place)
        self._counts["rejected_total"] += gone
        return gone

    async def forget(self, places: Iterable[str]) -> int:
        """Forgets the answers kept under these, wrong or not, without their neighbours; how many there were."""
        gone = 0
        for place in places:
            if self.semantic is not None:
                await self.semantic.vectors.remove(place)
            gone += await self.answers.delete(place)
        return gone

    async def clear(self) -> int:
        """Forgets everything; how many answers that were."""
        if self.semantic is not None:
            await self.semantic.vectors.clear()
        return await self.answers.clear()

    def snapshot(self) -> dict[str, float]:
        """The store's numbers, and ``kept_total``, ``too_large_total``, ``rejected_total``."""
        counted = {name: float(self._counts[name]) for name in ("kept_total", "too_large_total", "rejected_total")}
        semantic = self.semantic.snapshot() if self.semantic is not None else {}
        return {**self.answers.snapshot(), **counted, **semantic}

    async def close(self) -> None:
        """Closes the connections of the embedding model."""
        if self.semantic is not None:
            await self.semantic.embedder.close()
