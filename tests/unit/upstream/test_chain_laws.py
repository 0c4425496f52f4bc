"""Laws of the chain over random fault schedules."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import Tier
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
    deployments: list[tuple[str, int, list[Step]]], tier: Tier, *, whole: bool
) -> tuple[Rig, Any, list[Any]]:
    async with listening() as address:
        dead = await closed_port()
        hosts = {"dead": {"address": dead}, "dead-house": {"address": dead, "local": True}}
        group = [{"id": f"d{n}", "host": host, "parallel": p} for n, (host, p, _) in enumerate(deployments)]
        limits = {"cold_attempt_s": 0.02, "loaded_attempt_s": 0.02, "between_tokens_s": 0.02, "cold_extra_s": 0.0}
        # The group stands in coding, where local deployments may: a plan for reasoning must refuse them by itself.
        r = rig(
            configuration(address, coding=group, hosts=hosts, **limits),
            {f"d{n}": script for n, (_, _, script) in enumerate(deployments)},
        )
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
def test_reasoning_never_reaches_a_local_deployment(
    deployments: list[tuple[str, int, list[Step]]], whole: bool
) -> None:
    """A plan that forbids local deployments sends nothing to one, whatever else fails."""
    r, result, _ = asyncio.run(_walk(deployments, Tier.REASONING, whole=whole))

    local = {f"d{n}" for n, (host, _, _) in enumerate(deployments) if host in ("house", "dead-house")}
    assert not local & set(r.way.called)
    assert isinstance(result, LocalNotAllowed) is bool(local)
