"""Limits and spend over a real Redis: one count for all replicas, atomic, and none lost or doubled by a fault."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.config.model import State
from service.limits.state import DAY_S, REQUESTS, SPEND, TOKENS, Claim
from service.state.link import RedisLink
from service.state.shared import SharedState
from tests.integration.state.conftest import Replicas, until
from tests.servers import RedisServer


async def taken(state: SharedState, amount: float, most: float, window: object = SPEND) -> bool:
    """Whether a claim of caller anna was taken."""
    (standing,) = await state.limits.take("anna", [Claim(window, most, amount)])  # type: ignore[arg-type]
    return standing.wait_s == 0


def spent(server: RedisServer) -> float:
    """What the Redis counts for today."""
    return float(server.client.get(f"autotier:used:anna:spend:{int(time.time() // DAY_S)}") or 0)


async def test_no_more_than_the_limit_is_taken_by_all_together(redis_server: RedisServer, replica: Replicas) -> None:
    """A hundred requests at once over three replicas: exactly the limit gets through."""
    states = [await replica(redis_server.url) for _ in range(3)]

    asked = await asyncio.gather(*(taken(states[n % 3], 1, 40, REQUESTS) for n in range(100)))

    assert sum(asked) == 40


async def test_all_claims_are_taken_or_none(redis_server: RedisServer, replica: Replicas) -> None:
    """A claim that does not fit leaves the other one untouched, and says when it would."""
    state = await replica(redis_server.url)

    few, spend = await state.limits.take("anna", [Claim(REQUESTS, 10, 1), Claim(SPEND, 1.0, 1.5)])

    assert spend.wait_s is None
    assert few.used == 0
    assert spent(redis_server) == 0


async def test_standings_are_those_of_the_process_state(redis_server: RedisServer, replica: Replicas) -> None:
    """What is used, how long to wait and when it is over come from the count of all."""
    first, second = [await replica(redis_server.url) for _ in range(2)]
    await taken(first, 70, 100, TOKENS)

    (refused,) = await second.limits.take("anna", [Claim(TOKENS, 100, 50)])

    assert refused.used == pytest.approx(70)
    assert refused.wait_s is not None
    assert 0 < refused.wait_s <= 120
    assert refused.wait_s <= refused.reset_s <= 120


async def test_corrections_count_for_all(redis_server: RedisServer, replica: Replicas) -> None:
    """What an estimate took too much is given back to every replica."""
    first, second = [await replica(redis_server.url) for _ in range(2)]
    assert await taken(first, 0.9, 1.0)
    assert not await taken(second, 0.2, 1.0)

    await first.limits.add("anna", SPEND, -0.8)

    assert await taken(second, 0.2, 1.0)
    assert spent(redis_server) == pytest.approx(0.3)


async def test_parallel_requests_are_counted_together(redis_server: RedisServer, replica: Replicas) -> None:
    """A caller with two places has two, whichever replica is asked; a place that is left is free."""
    first, second = [await replica(redis_server.url) for _ in range(2)]
    assert await first.limits.enter("anna", "a", 2)
    assert await second.limits.enter("anna", "b", 2)
    assert not await first.limits.enter("anna", "c", 2)

    await second.limits.leave("anna", "b")

    assert await first.limits.enter("anna", "c", 2)


async def test_places_of_a_dead_replica_are_free_again(
    redis_server: RedisServer, replica: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tickets live as long as their replica renews them."""
    monkeypatch.setattr("service.state.limits.TICKET_S", 0.6)
    monkeypatch.setattr("service.state.limits.RENEWED_S", 0.1)
    dead, living = [await replica(redis_server.url) for _ in range(2)]
    await dead.limits.enter("anna", "a", 2)
    await living.limits.enter("anna", "b", 2)

    await dead.close()
    await until(lambda: redis_server.client.zcount("autotier:running:anna", time.time(), "+inf") == 1)

    assert await living.limits.enter("anna", "c", 2)
    assert not await living.limits.enter("anna", "d", 2)


async def test_a_spent_day_stays_spent_without_the_redis(own_redis: RedisServer, replica: Replicas) -> None:
    """The totals that were seen last hold on alone; they include what the other replicas spent."""
    first, second = [await replica(own_redis.url) for _ in range(2)]
    assert await taken(first, 0.6, 1.0)
    assert await taken(second, 0.3, 1.0)

    own_redis.stop()

    assert not await taken(second, 0.3, 1.0)
    assert second.problem is not None


async def test_what_was_spent_alone_is_counted_once_afterwards(own_redis: RedisServer, replica: Replicas) -> None:
    """A Redis that comes back empty gets the total from before and what was spent meanwhile."""
    state = await replica(own_redis.url)
    assert await taken(state, 0.5, 10.0)
    own_redis.stop()
    assert await taken(state, 0.25, 10.0)
    await state.limits.add("anna", SPEND, -0.05)

    own_redis.start()
    await until(lambda: state.problem is None)

    assert spent(own_redis) == pytest.approx(0.7)
    assert await taken(state, 0.1, 10.0)
    assert spent(own_redis) == pytest.approx(0.8)


async def test_the_records_tell_a_redis_that_lost_the_day(redis_server: RedisServer) -> None:
    """A replica that starts with an empty Redis raises its count to what the records have, and never lowers one."""
    for counted, kept, wanted in ((0.0, 0.8, 0.8), (0.9, 0.8, 0.9)):
        redis_server.wipe()
        redis_server.client.set(f"autotier:used:anna:spend:{int(time.time() // DAY_S)}", counted)
        state = SharedState(RedisLink(State.model_validate({"redis_url": redis_server.url, "timeout_ms": 5000}), "one"))
        await state.limits.at_least("anna", SPEND, kept)

        await state.start()

        assert spent(redis_server) == pytest.approx(wanted)
        await state.close()


async def test_a_step_whose_answer_was_missed_is_not_counted_twice(own_redis: RedisServer, replica: Replicas) -> None:
    """A hung Redis goes on with what it was sent: it must not be counted again afterwards."""
    state = await replica(own_redis.url, timeout_ms=50)
    own_redis.freeze()
    assert await taken(state, 0.25, 10.0)

    own_redis.thaw()
    await until(lambda: not state.limits.owed)

    assert spent(own_redis) == pytest.approx(0.25)
