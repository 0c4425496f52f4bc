"""Laws of the chain over random fault schedules."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import Tier
from service.config.model import UpstreamSettings
from service.errors import RequestError
from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.plan import LocalNotAllowed
from tests.unit.upstream.kit import Rig, Step, answer, closed_port, configuration, delta, listening, rig

SENT_FAILURES = [
    Outcome.CONNECT,
    Outcome.EMPTY,
    Outcome.GARBAGE,
    Outcome.ERROR_EVENT,
    Outcome.CONTEXT,
    Outcome.BAD_REQUEST,
    Outcome.MODEL_MISSING,
    Outcome.UNAUTHORIZED,
    Outcome.RATE_LIMITED,
    Outcome.SERVER_ERROR,
]


def a_script() -> st.SearchStrategy[list[Step]]:
    """Answers, failures at every place, silence."""
    failure = st.sampled_from(SENT_FAILURES).map(lambda outcome: [UpstreamFailure(outcome)])
    died = st.sampled_from(SENT_FAILURES).map(lambda outcome: [[delta(content="a")], UpstreamFailure(outcome)])
    silent = st.sampled_from([[9.0], [[delta(role="assistant")], 9.0], [[delta(content="a")], 9.0]])
    other = st.sampled_from([answer(), answer(model="other"), answer(prompt=1), [[]], [[delta(reasoning_content="a")]]])
    return st.one_of(failure, died, silent, other)


DEPLOYMENTS = st.lists(
    st.tuples(st.sampled_from(["house", "cloud", "dead", "dead-house"]), st.integers(0, 1), a_script()),
    min_size=1,
    max_size=5,
)


async def _walk(
    deployments: list[tuple[str, int, list[Step]]], tier: Tier, *, whole: bool, daring: bool = False
) -> tuple[Rig, Any, list[Any]]:
    async with listening() as address:
        dead = await closed_port()
        hosts = {"dead": {"address": dead}, "dead-house": {"address": dead, "local": True}}
        group = [{"id": f"d{n}", "host": host, "parallel": p} for n, (host, p, _) in enumerate(deployments)]
        limits: dict[str, Any] = {
            "cold_attempt_s": 0.02,
            "loaded_attempt_s": 0.02,
            "between_tokens_s": 0.02,
            "cold_extra_s": 0.0,
        }
        if daring:
            limits["hedge_after_ms"] = 5
        # The group stands in coding, where local deployments may: a plan for reasoning must refuse them by itself.
        r = rig(
            configuration(address, coding=group, hosts=hosts, **limits),
            {f"d{n}": script for n, (_, _, script) in enumerate(deployments)},
        )
        if daring:
            _continue(r)
        mine = r.configuration.tiers.coding.deployments
        plan = r.plan(tier, deployments=mine, first_token_s=0.1, prompt_tokens=100)
        result: Any
        try:
            async with asyncio.timeout(5):  # "always ends": far above every limit in the schedule
                if whole:
                    result = await r.chain.complete(plan)
                else:
                    serving = await r.chain.open(plan)
                    result = [batch async for batch in serving]
        except (RequestError, UpstreamFailure, LocalNotAllowed) as error:
            result = error
        return r, result, plan.attempts


@settings(max_examples=150, deadline=None)
@given(DEPLOYMENTS, st.booleans())
def test_chain_ends_and_visits_each_deployment_once(
    deployments: list[tuple[str, int, list[Step]]], whole: bool
) -> None:
    """Whatever fails, the chain ends, comes to no deployment twice, and closes and records all that it opened."""
    r, result, attempts = asyncio.run(_walk(deployments, Tier.CODING, whole=whole))

    visited = [a.deployment_id for a in attempts]
    assert len(visited) == len(set(visited))
    assert [a.order for a in attempts] == list(range(len(attempts)))
    assert set(r.way.called) <= set(visited)
    assert r.way.called == r.way.closed
    assert all(r.health.running(i) == 0 for i in visited)
    assert all(a.outcome is not Outcome.ABORTED for a in attempts)
    assert isinstance(result, Exception) is (attempts[-1].outcome is not Outcome.ANSWERED)


@settings(max_examples=150, deadline=None)
@given(DEPLOYMENTS, st.booleans())
def test_hedging_and_continuing_keep_the_laws(deployments: list[tuple[str, int, list[Step]]], whole: bool) -> None:
    """With a second host asked early and dead streams continued: still once each, all closed, all recorded."""
    r, _, attempts = asyncio.run(_walk(deployments, Tier.CODING, whole=whole, daring=True))

    visited = [a.deployment_id for a in attempts]
    assert len(visited) == len(set(visited))
    assert sorted(a.order for a in attempts) == list(range(len(attempts)))
    assert sorted(r.way.called) == sorted(r.way.closed)
    assert all(r.health.running(i) == 0 for i in visited)
    assert all(a.detail.startswith("cancelled") for a in attempts if a.outcome is Outcome.ABORTED)


Scripted = tuple[str, int, list[Step]]
CLOUDS = st.lists(st.tuples(st.sampled_from(["cloud", "dead"]), st.integers(0, 1), a_script()), min_size=1, max_size=4)
AT_HOME = st.lists(st.tuples(st.just("house"), st.just(0), st.just(answer())), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server that takes connections and says nothing, outside of the event loops of the examples."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket) -> None:
    try:
        while True:
            server.accept()[0].close()
    except OSError:
        pass  # shut down


@pytest.mark.timeout(400)
@settings(max_examples=2000, deadline=None)
@given(clouds=CLOUDS, at_home=AT_HOME, whole=st.booleans(), daring=st.booleans())
def test_reasoning_stays_with_the_clouds_whatever_fails(
    address: str, clouds: list[Scripted], at_home: list[Scripted], whole: bool, daring: bool
) -> None:
    """Thousands of fault schedules over clouds, healthy models at home beside them: none of those is ever asked."""
    names = {f"d{n}" for n in range(len(clouds))}

    r, attempts = asyncio.run(_reasoning(address, clouds, at_home, whole=whole, daring=daring))

    assert {a.deployment_id for a in attempts} <= names
    assert set(r.way.called) <= names


async def _reasoning(
    address: str, clouds: list[Scripted], at_home: list[Scripted], *, whole: bool, daring: bool
) -> tuple[Rig, list[Any]]:
    limits = {"between_tokens_s": 0.003, "hedge_after_ms": 1 if daring else None}
    reasoning = [{"id": f"d{n}", "host": host, "parallel": p} for n, (host, p, _) in enumerate(clouds)]
    coding = [{"id": f"h{n}", "host": host} for n, (host, _, _) in enumerate(at_home)]
    hosts = {"dead": {"address": "http://127.0.0.1:1"}}
    made = configuration(address, reasoning=reasoning, coding=coding, hosts=hosts, **limits)
    scripts = {f"d{n}": script for n, (_, _, script) in enumerate(clouds)}
    scripts |= {f"h{n}": script for n, (_, _, script) in enumerate(at_home)}
    r = rig(made, scripts)
    if daring:
        _continue(r)
    plan = r.plan(Tier.REASONING, first_token_s=0.005)
    try:
        if whole:
            await r.chain.complete(plan)
        else:
            async for _ in await r.chain.open(plan):
                pass
    except (RequestError, UpstreamFailure):
        pass  # who is asked is the law here, not what comes of it
    await r.chain.close()
    return r, plan.attempts


def _continue(r: Rig) -> None:
    settings = UpstreamSettings(on_stream_death="continue")
    r.chain.configuration = r.configuration.model_copy(update={"upstream": settings})


@settings(max_examples=150, deadline=None)
@given(DEPLOYMENTS, st.booleans())
def test_reasoning_never_reaches_a_local_deployment(
    deployments: list[tuple[str, int, list[Step]]], whole: bool
) -> None:
    """A plan that forbids local deployments sends nothing to one, whatever else fails."""
    r, result, _ = asyncio.run(_walk(deployments, Tier.REASONING, whole=whole))

    local = {f"d{n}" for n, (host, _, _) in enumerate(deployments) if host in ("house", "dead-house")}
    assert not local & set(r.way.called)
    assert isinstance(result, LocalNotAllowed) is bool(local)
