"""Holds of conversations that all replicas see at once.

The store of decisions keeps them for good, but behind the answer: the next turn of an agent comes sooner than the
batch, and to another replica. The Redis bridges that time, and a time without the database.
"""

from __future__ import annotations

from classifier import Tier
from service.routing.conversation import ConversationStore, Held, Hold
from service.state.link import RedisLink, SharedStateDown

KEPT_S = 3600
"""Longer than any batch waits, and than most outages of a database take."""


class SharedConversations:
    """`service.routing.conversation.ConversationStore` over a Redis and a store.

    Args:
        link: The Redis.
        store: Where holds are kept for good.
    """

    def __init__(self, link: RedisLink, store: ConversationStore) -> None:
        self._link = link
        self._store = store

    async def hold(self, key: str) -> Held | None:
        """The newer one of the two holds: ids of decisions sort by time. The store alone knows of rejected answers."""
        newest = await self._newest(key)
        held = await self._store.hold(key)
        if newest is not None and (held is None or newest.decision_id > held.decision_id):
            return newest
        return held

    def keep(self, key: str, caller: str, tier: str, decision_id: str) -> None:
        """See `ConversationStore`."""
        self._store.keep(key, caller, tier, decision_id)
        self._link.later("SET", self._key(key), f"{tier} {decision_id}", "EX", KEPT_S)

    async def _newest(self, key: str) -> Hold | None:
        try:
            found = await self._link.call(lambda: self._link.redis.get(self._key(key)))
        except SharedStateDown:
            return None
        tier, _, decision_id = str(found or "").partition(" ")
        return Hold(Tier(tier), decision_id) if tier in set(Tier) else None

    def _key(self, key: str) -> str:
        return self._link.key("conversation", key)
