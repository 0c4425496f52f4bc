"""Answers in the process: bounded by bytes, least recently used first, each for its time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from service.cache.entry import Entry, dumped, loaded

OVERHEAD_BYTES = 330
"""A key of 32 digits, the tuple and the dictionary's share, measured with tracemalloc over 100,000 entries."""


class MemoryAnswers:
    """Implements `service.cache.entry.Answers` in the process. Event loop only.

    Args:
        max_bytes: What all entries together may take, keys and overhead included.
        ttl_s: How long an entry is kept.
        clock: Seconds, monotonic.
    """

    def __init__(self, max_bytes: int, ttl_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0
        self._evicted = 0
        self._expired = 0

    async def get(self, key: str) -> Entry | None:
        """See `Answers`."""
        found = self._kept.get(key)
        if found is None:
            return None
        if self._clock() >= found[1]:
            self._drop(key)
            self._expired += 1
            return None
        self._kept.move_to_end(key)
        return loaded(found[0])

    async def put(self, key: str, entry: Entry) -> None:
        """See `Answers`. One that is larger than everything allowed is not kept."""
        self._drop(key)
        data = bytes(memoryview(dumped(entry)))  # a copy of its own size: orjson's buffer keeps four times as much
        if len(data) + OVERHEAD_BYTES > self._max_bytes:
            return
        self._kept[key] = (data, self._clock() + self._ttl_s)
        self._bytes += len(data) + OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            oldest = next(iter(self._kept))
            self._expired += self._clock() >= self._kept[oldest][1]
            self._evicted += self._clock() < self._kept[oldest][1]
            self._drop(oldest)

    async def delete(self, key: str) -> bool:
        """See `Answers`."""
        return self._drop(key)

    async def clear(self) -> int:
        """See `Answers`."""
        number = len(self._kept)
        self._kept.clear()
        self._bytes = 0
        return number

    async def take(self, key: str) -> bool:
        """See `Answers`: always; within the process flights are shared."""
        return True

    def give(self, key: str) -> None:
        """See `Answers`."""

    def snapshot(self) -> dict[str, float]:
        """``entries`` and ``bytes`` as of now; ``evicted_total`` and ``expired_total`` grow."""
        return {
            "entries": float(len(self._kept)),
            "bytes": float(self._bytes),
            "evicted_total": float(self._evicted),
            "expired_total": float(self._expired),
        }

    def _drop(self, key: str) -> bool:
        found = self._kept.pop(key, None)
        if found is None:
            return False
        self._bytes -= len(found[0]) + OVERHEAD_BYTES
        return True
