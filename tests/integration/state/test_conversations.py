"""Conversations and recent requests over a real Redis."""

from __future__ import annotations

from classifier import Tier
from tests.fakes import MemoryHolds
from tests.integration.state.conftest import Replicas, until
from tests.servers import RedisServer


async def test_a_hold_is_seen_before_the_store_has_it(redis_server: RedisServer, replica: Replicas) -> None:
    """The next turn comes to another replica before the batch is written."""
    first, second = [(await replica(redis_server.url)).conversations(MemoryHolds()) for _ in range(2)]

    first.keep("key", "anna", "reasoning", "dec_2")

    await until(lambda: redis_server.client.exists("autotier:conversation:key"))
    held = await second.hold("key")
    assert held is not None
    assert (held.tier, held.decision_id, held.rejected) == (Tier.REASONING, "dec_2", False)
    assert 0 < redis_server.client.ttl("autotier:conversation:key") <= 3600


async def test_the_newer_hold_counts(redis_server: RedisServer, replica: Replicas) -> None:
    """A store that went on without the Redis is believed."""
    store = MemoryHolds()
    held = (await replica(redis_server.url)).conversations(store)
    held.keep("key", "anna", "lightweight", "dec_1")
    await until(lambda: redis_server.client.exists("autotier:conversation:key"))
    store.keep("key", "anna", "coding", "dec_2")

    found = await held.hold("key")

    assert found is not None
    assert found.tier == Tier.CODING


async def test_without_the_redis_the_store_speaks(own_redis: RedisServer, replica: Replicas) -> None:
    """A Redis that is gone changes nothing of what the store knows."""
    state = await replica(own_redis.url)
    held = state.conversations(MemoryHolds())
    own_redis.stop()

    held.keep("key", "anna", "coding", "dec_1")

    found = await held.hold("key")
    assert found is not None
    assert found.tier == Tier.CODING


async def test_recent_requests_are_shared(redis_server: RedisServer, replica: Replicas) -> None:
    """A regeneration is told by the replica that did not serve the first one."""
    first, second = [(await replica(redis_server.url)).recent(120.0) for _ in range(2)]

    first.remember("same", Tier.LIGHTWEIGHT, 0.0)

    await until(lambda: redis_server.client.exists("autotier:recent:same"))
    assert await second.tier_of("same", 1.0) is Tier.LIGHTWEIGHT
    assert await second.tier_of("other", 1.0) is None


async def test_without_the_redis_own_requests_are_remembered(own_redis: RedisServer, replica: Replicas) -> None:
    """What this replica saw itself is known."""
    recent = (await replica(own_redis.url)).recent(120.0)
    own_redis.stop()

    recent.remember("same", Tier.CODING, 0.0)

    assert await recent.tier_of("same", 1.0) is Tier.CODING
