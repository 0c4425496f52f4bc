"""When a tier counts as ready: a host of it was reached, not merely not found away."""

from __future__ import annotations

import asyncio

from classifier import Tier
from service.config import Configuration
from service.demo.hosts import SimulatedHost
from service.upstream.assemble import assemble
from service.upstream.chain import Chain
from tests.integration.upstream.house import house
from tests.integration.upstream.test_house_awareness import QUICK, until

NONE = {Tier.LIGHTWEIGHT: False, Tier.CODING: False, Tier.REASONING: False}


def held(chain: Chain) -> set[str]:
    """What is held back."""
    return set(chain.snapshot()["holds"])


async def test_nothing_is_ready_before_it_was_reached(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """At the start nobody knows; the first round begins at once, with a long period as well."""
    chain = assemble(house(mini, macbook, cloud, probe_every_s=3.0))
    chain.start()

    before = chain.readiness()
    async with asyncio.timeout(2.5):  # the second round would come later
        await until(lambda: all(chain.readiness().values()))
    await chain.close()

    assert before == NONE


async def test_hosts_that_are_away_make_no_tier_ready(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """All of them are closed: never ready. The one that comes makes its own tiers ready, without any request."""
    for host in (mini, macbook, cloud):
        await host.aset_fault("down")
    chain = assemble(house(mini, macbook, cloud, **QUICK))
    chain.start()

    while len(held(chain)) < 3:
        assert chain.readiness() == NONE
        await asyncio.sleep(0.005)
    after = chain.readiness()
    await macbook.areset()
    await until(lambda: chain.readiness()[Tier.CODING])
    with_one = chain.readiness()
    await chain.close()

    assert after == NONE
    assert with_one == {Tier.LIGHTWEIGHT: True, Tier.CODING: True, Tier.REASONING: False}


async def test_a_house_without_the_clouds_is_ready_for_its_local_tiers(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """Nothing leads out: the tiers of the Macs are ready, the one that is only in the cloud is not."""
    await cloud.aset_fault("down")
    chain = assemble(house(mini, macbook, cloud, **QUICK))
    chain.start()

    await until(lambda: chain.readiness()[Tier.CODING] and held(chain))
    shown = chain.readiness()
    await chain.close()

    assert shown == {Tier.LIGHTWEIGHT: True, Tier.CODING: True, Tier.REASONING: False}


async def test_a_host_that_takes_connections_and_is_silent_was_not_reached(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """Between its connection and its silence at ``/api/ps`` nobody counts on it."""
    await cloud.aset_fault("down")
    for host in (mini, macbook):
        await host.aset_fault("hang")
    chain = assemble(house(mini, macbook, cloud, host_status_ms=300, **QUICK))
    chain.start()

    while len(held(chain)) < 3:
        assert chain.readiness() == NONE
        await asyncio.sleep(0.005)
    after = chain.readiness()
    await chain.close()

    assert after == NONE


async def test_a_cloud_is_connected_to_and_asked_for_nothing(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """No request goes out unasked, not even to an Ollama in the cloud, nor when it comes back."""
    document = house(mini, macbook, cloud, **QUICK).model_dump()
    document["hosts"]["cloud"]["key"] = "sk-simulated-key"
    document["hosts"]["macbook"]["local"] = False
    chain = assemble(Configuration.model_validate(document))
    await macbook.aset_fault("down")
    chain.start()
    await until(lambda: bool(held(chain)))
    await macbook.areset()

    await until(lambda: all(chain.readiness().values()))
    await until(lambda: len(mini.log().on("/api/ps")) > 3)
    hosts = chain.snapshot()["hosts"]
    await chain.close()

    assert (hosts["cloud"]["reachable"], hosts["macbook"]["reachable"]) == (True, True)
    assert ((await cloud.alog()).requests, (await macbook.alog()).requests) == ((), ())


async def test_a_host_whose_hold_somebody_else_ended_is_reached_again(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """A replica that shares holds may find a cloud back first: this one then looks for itself."""
    await cloud.aset_fault("down")
    chain = assemble(house(mini, macbook, cloud, probe_every_s=0.5, remember_failed_s=60))
    chain.start()
    await until(lambda: bool(held(chain)))
    await cloud.areset()

    for key in held(chain):
        chain.health.host_up(key.removeprefix("host:"))
    ended = chain.readiness()[Tier.REASONING]
    await until(lambda: chain.readiness()[Tier.REASONING])
    await chain.close()

    assert ended is False
