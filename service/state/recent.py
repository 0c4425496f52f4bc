"""Requests of the last seconds that all replicas see, so that a regeneration is told whichever replica it comes to."""

from __future__ import annotations

from classifier import Tier
from service.routing.conversation import RecentRequests
from service.state.link import RedisLink, SharedStateDown


class SharedRecent:
    """`service.routing.conversation.RecentStore` over a Redis, with the process's own memory below it.

    Args:
        link: The Redis.
        window_s: How long a request is remembered.
    """

    def __init__(self, link: RedisLink, window_s: float) -> None:
        self._link = link
        self._window_s = window_s
        self._own = RecentRequests(window_s)

    async def tier_of(self, key: str, now_s: float) -> Tier | None:
        """See `RecentStore`."""
        try:
            found = await self._link.call(lambda: self._link.redis.get(self._key(key)))
        except SharedStateDown:
            found = None
        return Tier(found) if found in set(Tier) else await self._own.tier_of(key, now_s)

    def remember(self, key: str, tier: Tier, now_s: float) -> None:
        """See `RecentStore`."""
        self._own.remember(key, tier, now_s)
        if self._window_s > 0:
            self._link.later("SET", self._key(key), str(tier), "PX", max(int(self._window_s * 1000), 1))

    def _key(self, key: str) -> str:
        return self._link.key("recent", key)
