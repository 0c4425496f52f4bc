"""The cache as the gateway uses it: find an answer for a key, keep one, take one back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from service.cache.entry import Answers, Entry, dumped
from service.cache.key import Key
from service.config.cache import CacheSettings

Kind = Literal["exact", "near", "semantic"]


@dataclass(frozen=True, slots=True)
class Found:
    """A hit.

    Attributes:
        key: Under which the entry is kept.
        similarity: 1.0 for an exact hit and a near duplicate, else the cosine of the two asks.
    """

    entry: Entry
    key: str
    kind: Kind
    age_s: float
    similarity: float = 1.0


class AnswerCache:
    """Finds and keeps answers over one store.

    Args:
        answers: The store.
        settings: What may be kept.
        now_s: Unix seconds.
    """

    def __init__(self, answers: Answers, settings: CacheSettings, *, now_s: Callable[[], float] = time.time) -> None:
        self.answers = answers
        self.settings = settings
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
        return Found(entry, place, "exact" if entry.exact == key.exact else "near", age_s)

    async def keep(self, key: Key, entry: Entry) -> bool:
        """Keeps an answer, unless it is too large; whether it was."""
        if len(dumped(entry)) > self.settings.max_entry_bytes:
            self._counts["too_large_total"] += 1
            return False
        await self.answers.put(self.place(key), entry)
        self._counts["kept_total"] += 1
        return True

    async def reject(self, place: str) -> bool:
        """Takes back an answer that somebody called wrong; whether there was one."""
        gone = await self.answers.delete(place)
        self._counts["rejected_total"] += gone
        return gone

    def snapshot(self) -> dict[str, float]:
        """The store's numbers, and ``kept_total``, ``too_large_total``, ``rejected_total``."""
        counted = {name: float(self._counts[name]) for name in ("kept_total", "too_large_total", "rejected_total")}
        return {**self.answers.snapshot(), **counted}
