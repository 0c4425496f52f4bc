"""Answers in a Redis that replicas share: plain keys with their time, bounded by bytes, least recently used first.

While the Redis is away the process keeps answers of its own, and forgets them when it is back: what was taken back
meanwhile elsewhere must not be served from here.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.asyncio import Redis

from service.cache.entry import Answers, Entry, dumped, loaded
from service.cache.key import VERSION
from service.state.link import RedisLink, SharedStateDown

log = logging.getLogger("autotier.cache")

OVERHEAD_BYTES = 400
"""Of an entry's key, its places in the index and in the table of sizes (MEMORY USAGE, Redis 8.2)."""
_LEASE_MS = 5000
"""A leader that has not renewed its turn for so long is gone; its followers then ask for themselves."""
_LOOK_S = 5.0

_PUT = """
-- KEYS: index (by last use), sizes. ARGV: prefix of entries, key, entry, seconds, bytes, most bytes, now.
-- Returns: entries evicted. The sum of sizes stands in the field "" of the table.
local old = tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or '0')
redis.call('SET', ARGV[1] .. ARGV[2], ARGV[3], 'EX', ARGV[4])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[5])
redis.call('ZADD', KEYS[1], ARGV[7], ARGV[2])
local sum = redis.call('HINCRBY', KEYS[2], '', tonumber(ARGV[5]) - old)
local evicted = 0
while sum > tonumber(ARGV[6]) do
  local oldest = redis.call('ZPOPMIN', KEYS[1])[1]
  if not oldest then break end
  sum = redis.call('HINCRBY', KEYS[2], '', -tonumber(redis.call('HGET', KEYS[2], oldest) or '0'))
  redis.call('HDEL', KEYS[2], oldest)
  evicted = evicted + redis.call('DEL', ARGV[1] .. oldest)
end
return evicted
"""
_DELETE = """
-- KEYS: index, sizes. ARGV: prefix of entries, keys. Returns: entries that were there.
local gone = 0
for i = 2, #ARGV do
  gone = gone + redis.call('DEL', ARGV[1] .. ARGV[i])
  redis.call('ZREM', KEYS[1], ARGV[i])
  redis.call('HINCRBY', KEYS[2], '', -tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '0'))
  redis.call('HDEL', KEYS[2], ARGV[i])
end
return gone
"""
_TOUCH = "if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('ZADD', KEYS[1], 'XX', ARGV[1], ARGV[2]) end"
_GIVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_SWEEP = 200
MOST_REJECTED = 10_000
"""Answers taken back that are taken back once more where a Redis was away meanwhile or is another one now."""


class RedisAnswers:
    """Implements `service.cache.entry.Answers` over a Redis.

    Args:
        link: The Redis; starting and closing it is its owner's.
        local: Takes over while the Redis is away.
        max_bytes: What all entries together may take.
        ttl_s: How long an entry is kept.
        now_s: Unix seconds, for the order of use.
    """

    def __init__(
        self,
        link: RedisLink,
        local: Answers,
        *,
        max_bytes: int,
        ttl_s: float,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._local = local
        self._max_bytes = max_bytes
        self._ttl_s = max(1, math.ceil(ttl_s))
        self._now_s = now_s
        self._put = link.redis.register_script(_PUT)
        self._delete = link.redis.register_script(_DELETE)
        self._entries = link.key(f"v{VERSION}", "")
        self._index = link.key(f"v{VERSION}-index")
        self._sizes = link.key(f"v{VERSION}-sizes")
        self._turn = link.key("turn", "")
        self._turns: set[str] = set()
        self._rejected: OrderedDict[str, None] = OrderedDict()
        self._owes = False
        self._look_s = 0.0
        self._shown = {"entries": 0.0, "bytes": 0.0}
        self._counts: Counter[str] = Counter()
        link.add(self)

    @property
    def problem(self) -> str | None:
        """Why the Redis is not used now, or None."""
        return self._link.problem

    async def get(self, key: str) -> Entry | None:
        """See `Answers`."""
        try:
            data = await self._link.call(lambda: self._link.redis.get(self._entries + key))
        except SharedStateDown:
            self._counts["alone_total"] += 1
            return await self._local.get(key)
        if data is None:
            return None
        self._link.later("EVAL", _TOUCH, 2, self._index, self._entries + key, self._now_s(), key)
        return loaded(data)

    async def put(self, key: str, entry: Entry) -> None:
        """See `Answers`."""
        self._rejected.pop(key, None)
        data = dumped(entry)
        size = len(data) + OVERHEAD_BYTES
        if size > self._max_bytes:
            return
        arguments: list[Any] = [self._entries, key, data, self._ttl_s, size, self._max_bytes, self._now_s()]

        async def work() -> int:
            return int(await self._put(keys=[self._index, self._sizes], args=arguments))

        try:
            self._counts["evicted_total"] += await self._link.behind(work)
        except SharedStateDown:
            self._counts["alone_total"] += 1
            await self._local.put(key, entry)

    async def delete(self, key: str) -> bool:
        """See `Answers`. Where the Redis is away the entry is taken back before anything is read there again."""
        here = await self._local.delete(key)
        self._rejected[key] = None
        while len(self._rejected) > MOST_REJECTED:
            self._rejected.popitem(last=False)
        try:
            return bool(await self._link.behind(partial(self._deleted, key))) or here
        except SharedStateDown as error:
            self._owes = True
            log.error("an answer is taken back from the Redis once that is back: %s", error)
            return here

    async def clear(self) -> int:
        """See `Answers`."""
        number = await self._local.clear()
        while True:
            try:
                keys = await self._link.behind(self._some)
                if not keys:
                    return number
                number += await self._link.behind(partial(self._deleted, *keys))
            except SharedStateDown as error:
                log.error("the cache in the Redis could not be cleared: %s", error)
                return number

    async def take(self, key: str) -> bool:
        """See `Answers`."""

        async def work() -> bool:
            return bool(await self._link.redis.set(self._turn + key, self._link.replica, nx=True, px=_LEASE_MS))

        try:
            taken = await self._link.call(work)
        except SharedStateDown:
            return True
        if taken:
            self._turns.add(key)
        return taken

    def give(self, key: str) -> None:
        """See `Answers`."""
        if key in self._turns:
            self._turns.discard(key)
            self._link.later("EVAL", _GIVE, 1, self._turn + key, self._link.replica)

    async def pulse(self, redis: Redis, *, afresh: bool) -> None:
        """See `service.state.link.Part`: forgets what was kept while the Redis was away, renews turns, sweeps."""
        await self._local.clear()
        if (self._owes or afresh) and self._rejected:
            await self._deleted(*self._rejected)
            self._owes = False
        if self._turns:
            async with redis.pipeline(transaction=False) as pipeline:
                for key in self._turns:
                    pipeline.pexpire(self._turn + key, _LEASE_MS)
                await pipeline.execute()
        if not afresh and self._now_s() < self._look_s:
            return
        self._look_s = self._now_s() + _LOOK_S
        sizes: Any = redis.hget(self._sizes, "")
        self._shown["bytes"] = float(await sizes or 0)
        self._shown["entries"] = float(await redis.zcard(self._index))
        oldest: list[Any] = await redis.zrange(self._index, 0, _SWEEP - 1, withscores=True)
        over = [key for key, used_s in oldest if self._now_s() - used_s > self._ttl_s]
        if over:
            await self._deleted(*over)

    def snapshot(self) -> dict[str, float]:
        """``entries`` and ``bytes`` of all replicas; ``evicted_total`` and ``alone_total`` (no Redis) of this one."""
        counted = {name: float(self._counts[name]) for name in ("evicted_total", "alone_total")}
        return {**self._shown, **counted, "redis": float(self._link.problem is None)}

    async def _some(self) -> list[str]:
        found: list[Any] = await self._link.redis.zrange(self._index, 0, _SWEEP - 1)
        return found

    async def _deleted(self, *keys: str) -> int:
        return int(await self._delete(keys=[self._index, self._sizes], args=[self._entries, *keys]))
