"""The chain over simulated hosts: what is loaded where decides the order, and hosts that come back are used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from classifier import Tier
from service.config import Configuration
from service.demo.hosts import SimulatedHost
from service.upstream.assemble import assemble
from service.upstream.chain import Chain
from service.upstream.interface import UpstreamFailure
from tests.integration.upstream.house import house, plan, told


@asynccontextmanager
async def running(configuration: Configuration, *, prober: bool = True) -> AsyncIterator[Chain]:
    """A chain that is started and closed."""
    chain = assemble(configuration)
    if prober:
        chain.start()
    try:
        yield chain
    finally:
        await chain.close()


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Waits for ``condition``; the limit only ends a test that fails."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_mini_serves_while_it_is_there(mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost) -> None:
    """The configured order holds where the first host has the model loaded."""
    configuration = house(mini, macbook, cloud)
    made = plan(configuration)

    async with running(configuration) as chain:
        answer = await chain.complete(made)

    assert told(made) == [("light-mini", "answered")]
    assert answer.attempt.served_model == "qwen3:8b"
    assert answer.usage is not None
    assert made.notes == []


async def test_model_that_is_loaded_stands_in_when_the_mini_is_gone(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """Rather than force a swap, a lightweight request takes the coder that the MacBook has loaded."""
    configuration = house(mini, macbook, cloud)
    await mini.aset_fault("down")
    made = plan(configuration)

    async with running(configuration) as chain:
        await chain.complete(made)

    assert told(made) == [("light-mini", "preflight_failed"), ("coding-local", "answered")]
    assert "coding-local before light-macbook" in made.notes[0]
    assert (await macbook.alog()).loads == 0


async def test_loaded_host_goes_before_one_that_must_load(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """Least expected wait decides among local hosts; the cloud stays behind, and nothing stands in for the group."""
    configuration = house(mini, macbook, cloud)
    at_mini, at_macbook, paid = configuration.tiers.lightweight.deployments
    made = plan(configuration, deployments=(at_macbook, at_mini, paid))

    async with running(configuration) as chain:
        await chain.complete(made)

    assert told(made) == [("light-mini", "answered")]
    assert made.notes == ["light-mini before light-macbook: expected wait 0.0 s against 10.0 s"]


async def test_cloud_in_front_keeps_its_place(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """The order among local hosts moves no cloud, neither forward nor back."""
    configuration = house(mini, macbook, cloud)
    at_mini, _, paid = configuration.tiers.lightweight.deployments
    made = plan(configuration, deployments=(paid, at_mini))

    async with running(configuration) as chain:
        await chain.complete(made)

    assert told(made) == [("light-cloud", "answered")]


async def test_load_time_is_measured_and_used(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """After one load the expected wait is the measured one instead of ten seconds."""
    configuration = house(mini, macbook, cloud)
    at_macbook = configuration.tiers.lightweight.deployments[1]
    coder = configuration.tiers.coding.deployments[0]

    async with running(configuration) as chain:
        await chain.complete(plan(configuration, deployments=(at_macbook,), stand_ins=()))
        await chain.complete(plan(configuration, Tier.CODING, deployments=(coder,)))
        made = plan(configuration, deployments=(at_macbook,), stand_ins=(coder,))
        await chain.complete(made)

    assert told(made) == [("coding-local", "answered")]
    assert "against 10.0 s" not in made.notes[0]


async def test_no_stand_in_while_another_local_host_of_the_group_is_there(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """With the Mini up but failing in its answers, the group's own MacBook deployment is still not displaced."""
    configuration = house(mini, macbook, cloud)
    made = plan(configuration, stand_ins=())
    await mini.aset_fault("500:count=1")

    async with running(configuration) as chain:
        await chain.complete(made)
        snapshot = chain.snapshot()
        await asyncio.sleep(0.1)
        swaps = chain.snapshot()["swaps"]

    assert told(made) == [("light-mini", "server_error"), ("light-macbook", "answered")]
    assert snapshot["outcomes"]["light-mini", "server_error"] == 1
    assert swaps == {"macbook": 1}  # the coder had to leave
    assert (await macbook.alog()).swaps == 1


async def test_host_that_comes_back_is_used_again_without_a_user_trying(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """The prober ends the verdict; the next request goes straight to the Mini."""
    configuration = house(mini, macbook, cloud)
    await mini.aset_fault("down")

    async with running(configuration) as chain:
        await chain.complete(plan(configuration))
        assert chain.health.held_hosts()
        await mini.aset_fault("none")
        await until(lambda: not chain.health.held_hosts())
        made = plan(configuration)
        await chain.complete(made)

    assert told(made) == [("light-mini", "answered")]
    answers = (await mini.alog()).on("/api/chat")
    assert len(answers) == 1  # no user's request was the probe


async def test_hung_host_is_found_by_its_silence(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """A host that accepts and never answers fails its pre-flight, and once only."""
    configuration = house(mini, macbook, cloud, host_status_ms=200)
    await mini.aset_fault("hang")
    first, second = plan(configuration), plan(configuration)

    async with running(configuration) as chain:
        await chain.complete(first)
        await chain.complete(second)

    assert told(first)[0] == ("light-mini", "preflight_failed")
    assert told(second)[0] == ("light-mini", "remembered_down")


async def test_host_that_stops_in_the_middle_ends_in_an_error_and_is_found_down(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """After the first token the reader gets a typed failure; the prober finds the host silent, and later back."""
    configuration = house(mini, macbook, cloud, host_status_ms=200, between_tokens_s=0.3)
    long = {"messages": [{"role": "user", "content": "Tell me much"}], "max_tokens": 4000}
    await mini.aset_fault("hang-mid-stream:after=2")

    async with running(configuration) as chain:
        serving = await chain.open(plan(configuration, body=long))
        mini.pause()
        with pytest.raises(UpstreamFailure, match="token_timeout"):
            [batch async for batch in serving]
        await until(lambda: bool(chain.health.held_hosts()))
        mini.resume()
        await mini.aset_fault("none")
        await until(lambda: not chain.health.held_hosts() and not chain.health.lost())
        made = plan(configuration)
        await chain.complete(made)

    assert told(made) == [("light-mini", "answered")]


async def test_busy_mini_is_not_waited_for(mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost) -> None:
    """While the Mini's one slot is taken, the next request goes elsewhere at once."""
    configuration = house(mini, macbook, cloud, parallel=1)
    await mini.aset_fault("hang-mid-stream:after=2,count=1")

    async with running(configuration) as chain:
        serving = await chain.open(plan(configuration))
        made = plan(configuration, stand_ins=())
        await chain.complete(made)
        await serving.aclose()

    assert "light-mini" not in [a.deployment_id for a in made.attempts if str(a.outcome) == "answered"]
    assert str(made.attempts[-1].outcome) == "answered"


@pytest.mark.parametrize("way", ["auto", "router"])
async def test_client_that_leaves_closes_the_connection_to_the_host(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost, way: str
) -> None:
    """Closing the stream stops the generation at the host, over both ways."""
    configuration = house(mini, macbook, cloud, way="router" if way == "router" else "auto")
    await mini.aset_fault("hang-mid-stream:after=2")
    made = plan(configuration)

    async with running(configuration, prober=False) as chain:
        serving = await chain.open(made)
        await serving.aclose()
        async with asyncio.timeout(10):
            while not (await mini.alog()).on("/api/chat")[-1].disconnected:
                await asyncio.sleep(0.05)

    assert told(made) == [("light-mini", "aborted")]


@pytest.mark.parametrize("way", ["auto", "router"])
async def test_reasoning_failure_names_the_cloud_and_never_goes_home(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost, way: str
) -> None:
    """With the cloud down a reasoning request fails; no local host hears of it."""
    configuration = house(mini, macbook, cloud, way="router" if way == "router" else "auto")
    await cloud.aset_fault("500")
    made = plan(configuration, Tier.REASONING)

    async with running(configuration, prober=False) as chain:
        with pytest.raises(Exception, match="reasoning-cloud server error"):
            await chain.complete(made)

    assert (await mini.alog()).on("/api/chat") == []
    assert (await macbook.alog()).on("/api/chat") == []
