"""Each fault of a real Redis: requests go on within their budget, it is said once, and it is back by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from service.limits.state import REQUESTS, Claim
from service.state.link import SharedStateDown
from service.state.shared import SharedState
from tests.balancer import Balancer
from tests.integration.state.conftest import Replicas, until
from tests.servers import RedisServer

ONE = Claim(REQUESTS, 1000, 1)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged."""
    with caplog.at_level(logging.INFO, logger="autotier.state"):
        yield caplog


def complaints(said: pytest.LogCaptureFixture) -> list[str]:
    """Errors that were logged."""
    return [record.getMessage() for record in said.records if record.levelno >= logging.ERROR]


async def served(state: SharedState) -> None:
    """A request's way through the state; more than a second of waiting fails."""
    async with asyncio.timeout(1.0):
        (standing,) = await state.limits.take("anna", [ONE])
        assert standing.wait_s == 0
        assert await state.recent(120).tier_of("key", 0.0) is None


async def test_a_refused_redis_is_said_once_and_used_when_it_is_there(
    own_redis: RedisServer, replica: Replicas, said: pytest.LogCaptureFixture
) -> None:
    """A replica starts without its Redis, serves alone, and joins by itself."""
    own_redis.stop()
    state = await replica(own_redis.url)
    for _ in range(5):
        await served(state)
    assert state.snapshot()["working"] == 0
    assert len(complaints(said)) == 1

    own_redis.start()
    await until(lambda: state.problem is None)

    await served(state)
    assert own_redis.client.keys("autotier:used:anna:requests:*")
    assert said.records[-1].getMessage() == "shared state: in use, 1 process"


async def test_a_killed_and_restarted_redis_is_used_again(
    own_redis: RedisServer, replica: Replicas, said: pytest.LogCaptureFixture
) -> None:
    """A restart in the middle of traffic costs nobody an answer."""
    state = await replica(own_redis.url)
    await served(state)

    own_redis.stop()
    for _ in range(5):
        await served(state)
    own_redis.start()
    await until(lambda: state.problem is None)
    await served(state)

    assert len(complaints(said)) == 1
    assert state.snapshot()["failures_total"] >= 1


async def test_a_hung_redis_costs_a_few_requests_their_budget(
    own_redis: RedisServer, replica: Replicas, said: pytest.LogCaptureFixture
) -> None:
    """Then nobody waits for it: every further call goes on at once, without a connection."""
    state = await replica(own_redis.url, timeout_ms=50)
    own_redis.freeze()
    for _ in range(3):
        await asyncio.create_task(served(state))
    assert state.problem is not None

    with pytest.raises(SharedStateDown):
        await state.link.call(state.link.redis.ping)
    for _ in range(20):
        await served(state)
    own_redis.thaw()
    await until(lambda: state.problem is None)

    assert len(complaints(said)) == 1
    await served(state)


async def test_a_slow_redis_is_as_good_as_none(redis_server: RedisServer, replica: Replicas) -> None:
    """Answers beyond the limit open the breaker, and it stays open while the probes are slow too."""
    with Balancer([urlsplit(redis_server.url).port or 0]) as slow:
        state = await replica(f"redis://127.0.0.1:{slow.port}/0", timeout_ms=50)
        assert state.problem is None

        slow.delay_s = 0.3
        await until(lambda: state.problem is not None)
        await served(state)
        await asyncio.sleep(1.2)
        assert state.problem is not None

        slow.delay_s = 0.0
        await until(lambda: state.problem is None)


async def test_calls_of_one_request_share_its_budget(redis_server: RedisServer, replica: Replicas) -> None:
    """What a first call took of the time is not there for the next; the Redis is not blamed for that."""
    state = await replica(redis_server.url, timeout_ms=400)

    async def request() -> None:
        await state.link.call(lambda: asyncio.sleep(0.25))
        with pytest.raises(SharedStateDown):
            await state.link.call(lambda: asyncio.sleep(0.25))

    before = state.snapshot()["alone_total"]
    await asyncio.create_task(request())

    assert state.snapshot()["alone_total"] == before + 1


async def test_a_full_redis_is_left_alone_until_there_is_room(
    own_redis: RedisServer, replica: Replicas, said: pytest.LogCaptureFixture
) -> None:
    """Reads would work, but counts would be wrong: the process goes on alone and says why."""
    state = await replica(own_redis.url)
    own_redis.client.config_set("maxmemory-policy", "noeviction")
    own_redis.client.config_set("maxmemory", "1")

    await served(state)
    await until(lambda: state.problem is not None)
    for _ in range(5):
        await served(state)
    assert "maxmemory" in complaints(said)[0]
    own_redis.client.config_set("maxmemory", "0")

    await until(lambda: state.problem is None)
    await served(state)


async def test_a_wrong_password_is_said(own_redis: RedisServer, replica: Replicas) -> None:
    """The cause stands in the problem; the password does not."""
    own_redis.client.config_set("requirepass", "right")

    state = await replica(own_redis.url.replace("redis://", "redis://:secretword@"))

    assert state.problem is not None
    assert "secretword" not in state.problem
    assert "password" in state.problem.lower() or "auth" in state.problem.lower()
    own_redis.client.connection_pool.disconnect()


async def test_writes_behind_are_dropped_and_counted_while_it_is_down(
    own_redis: RedisServer, replica: Replicas
) -> None:
    """What only advises is not piled up."""
    state = await replica(own_redis.url)
    own_redis.stop()
    await served(state)

    for _ in range(3):
        state.link.later("SET", "a", "b")

    assert state.snapshot()["dropped_total"] == 3
