"""Cooldowns and verdicts over a real Redis: what one replica finds out, all know; what one knows better stays."""

from __future__ import annotations

import time
from typing import Any

import pytest

from service.config import Deployment, Limits
from service.state.shared import SharedState
from service.upstream.health import Health
from service.upstream.interface import Outcome, UpstreamFailure
from tests.integration.state.conftest import Replicas, until
from tests.servers import RedisServer

ONE = Deployment.model_validate({"id": "one", "host": "h", "provider": "openai", "model": "m", "context": 8192})
REFUSED = UpstreamFailure(Outcome.RATE_LIMITED, "slow down", retry_after_s=60)


def health(state: SharedState, **limits: Any) -> Health:
    """The health of a replica."""
    return Health(Limits.model_validate(limits), state=state.holds)


async def test_a_cooldown_holds_on_every_replica(redis_server: RedisServer, replica: Replicas) -> None:
    """A 429 that one replica met rests the deployment for all, for the same time, with the cause."""
    first, second = [health(await replica(redis_server.url)) for _ in range(2)]

    first.failed(ONE, REFUSED)

    await until(lambda: second.cooldown(ONE))
    hold = second.cooldown(ONE)
    assert hold is not None
    assert (hold.outcome, hold.detail) == (Outcome.RATE_LIMITED, "slow down")
    assert hold.until_s - time.monotonic() == pytest.approx(60, abs=10)


async def test_a_good_answer_anywhere_ends_the_cooldown_everywhere(
    redis_server: RedisServer, replica: Replicas
) -> None:
    """The replica that was answered ends the hold that another one put."""
    first, second = [health(await replica(redis_server.url)) for _ in range(2)]
    first.failed(ONE, REFUSED)
    await until(lambda: second.cooldown(ONE))

    second.answered(ONE)

    await until(lambda: first.cooldown(ONE) is None)
    assert redis_server.client.hlen("autotier:holds") == 0


async def test_a_replica_that_starts_later_knows_at_once(redis_server: RedisServer, replica: Replicas) -> None:
    """A new replica does not pay for what the others have found out."""
    first = await replica(redis_server.url)
    health(first).host_down("http://mini:11434", "connection refused")
    await until(lambda: redis_server.client.hlen("autotier:holds"))

    second = await replica(redis_server.url)

    assert health(second).verdict("http://mini:11434") is not None


async def test_who_reaches_a_host_is_not_talked_out_of_it(redis_server: RedisServer, replica: Replicas) -> None:
    """A host that one replica goes on failing to reach stays up where it was reached, and down where it was not."""
    cut_off, well = [await replica(redis_server.url) for _ in range(2)]
    health(cut_off).host_down("http://mini:11434", "no connection")
    await until(lambda: well.holds.get("host:http://mini:11434"))

    health(well).host_up("http://mini:11434")
    for _ in range(3):
        health(cut_off).host_down("http://mini:11434", "no connection")
        await well.link._pulse()
        await cut_off.link._pulse()
        await well.link._pulse()

    assert well.holds.get("host:http://mini:11434") is None
    assert cut_off.holds.get("host:http://mini:11434") is not None


async def test_an_end_does_not_reach_a_newer_failure(redis_server: RedisServer, replica: Replicas) -> None:
    """Ending a hold that one replica saw leaves another one's later failure in force."""
    first, second = [await replica(redis_server.url) for _ in range(2)]
    health(first).failed(ONE, UpstreamFailure(Outcome.SERVER_ERROR, "old"))
    await until(lambda: second.holds.get("deployment:one"))
    health(first).failed(ONE, UpstreamFailure(Outcome.RATE_LIMITED, "new", retry_after_s=60))
    await first.link._pulse()

    health(second).answered(ONE)
    await second.link._pulse()

    held = second.holds.get("deployment:one")
    assert held is not None
    assert held.detail == "new"


async def test_what_a_redis_forgot_is_told_again(redis_server: RedisServer, replica: Replicas) -> None:
    """A Redis that starts empty learns the holds from whoever still knows them."""
    first, second = [await replica(redis_server.url) for _ in range(2)]
    health(first).failed(ONE, REFUSED)
    await until(lambda: second.holds.get("deployment:one"))

    redis_server.wipe()

    await until(lambda: redis_server.client.hlen("autotier:holds"))
    assert health(first).cooldown(ONE) is not None
    assert health(second).cooldown(ONE) is not None


async def test_fleets_with_different_prefixes_do_not_meet(redis_server: RedisServer, replica: Replicas) -> None:
    """Two fleets may share a Redis."""
    first = await replica(redis_server.url, prefix="one")
    second = await replica(redis_server.url, prefix="two")

    health(first).failed(ONE, REFUSED)
    await first.link._pulse()
    await second.link._pulse()

    assert health(second).cooldown(ONE) is None
