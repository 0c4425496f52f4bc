"""Where counts of verified hits outlive the process: a Redis that replicas share, else the store of decisions."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from service.cache.key import VERSION
from service.state.link import RedisLink

_ADD = """
-- KEYS: table. ARGV: field, what the asker knows, what is new; again and again. Returns the whole table.
-- Counts only grow: a table that was flushed gets back what any replica knows.
for i = 1, #ARGV, 3 do
  local now = math.max(tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0'), tonumber(ARGV[i + 1]))
  redis.call('HSET', KEYS[1], ARGV[i], now + tonumber(ARGV[i + 2]))
end
return redis.call('HGETALL', KEYS[1])
"""


class Ledger(Protocol):
    """Keeps counts. They only ever grow."""

    async def add(self, known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
        """Adds counts and returns all.

        Args:
            known: Totals that this process has seen: a ledger that has lost them gets them back.
            more: What is new since.

        Raises:
            Exception: Whatever goes wrong; nothing was added then.
        """
        ...


class MemoryLedger:
    """Keeps counts for as long as the process lives."""

    def __init__(self) -> None:
        self._all: Counter[str] = Counter()

    async def add(self, known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
        """See `Ledger`."""
        self._all.update(more)
        return dict(self._all)


class RedisLedger:
    """Keeps counts in a hash of a Redis.

    Args:
        link: The Redis.
        name: Of what is counted; another embedding model or judge has counts of its own.
    """

    def __init__(self, link: RedisLink, name: str) -> None:
        self._link = link
        self._key = link.key(f"v{VERSION}-verified", name)
        self._script = link.redis.register_script(_ADD)

    async def add(self, known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
        """See `Ledger`."""
        arguments: list[Any] = []
        for field in sorted({*known, *more}):
            arguments += [field, known.get(field, 0), more.get(field, 0)]

        async def work() -> list[str]:
            found: list[str] = await self._script(keys=[self._key], args=arguments)
            return found

        found = await self._link.behind(work)
        return {field: int(float(count)) for field, count in zip(found[::2], found[1::2], strict=True)}


class StoredLedger:
    """Keeps counts as one text of a store.

    Two workers over one store without a Redis may lose a count to each other when both write in the same millisecond;
    what is lost is evidence, never an answer.

    Args:
        read: The text, or None at first. Any thread.
        write: Keeps it. Any thread.
    """

    def __init__(self, read: Callable[[], str | None], write: Callable[[str], None]) -> None:
        self._read = read
        self._write = write

    async def add(self, known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
        """See `Ledger`."""
        return await asyncio.to_thread(self._added, dict(known), dict(more))

    def _added(self, known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
        text = self._read()
        before: dict[str, int] = json.loads(text) if text else {}
        names = {*before, *known, *more}
        everything = {n: max(before.get(n, 0), known.get(n, 0)) + more.get(n, 0) for n in names}
        if everything != before:
            self._write(json.dumps(everything))
        return everything
