"""The chain over scripted deployments: order, limits, what counts as failed, what the client is told."""

from __future__ import annotations

import asyncio

import pytest

from classifier import Tier
from service.errors import ContextLengthExceeded, DeadlineExceeded, DeploymentsFailed, UpstreamRefused
from service.upstream.interface import Chunk, Outcome, UpstreamFailure, Usage
from service.upstream.plan import LocalNotAllowed
from tests.unit.upstream.kit import answer, closed_port, configuration, delta, fails, listening, rig, told

TWO = [{"id": "one"}, {"id": "two"}]


async def test_first_deployment_that_answers_serves() -> None:
    """A good answer from the first deployment leaves the second alone."""
    async with listening() as address:
        r = rig(configuration(address, lightweight=TWO), {"one": answer("hi"), "two": answer()})
        plan = r.plan()

        whole = await r.chain.complete(plan)

        assert whole.choices[0]["message"]["content"] == "hi"
        assert whole.usage == Usage(7, 3)
        assert told(plan) == [("one", "answered")]


@pytest.mark.parametrize(
    "outcome",
    [Outcome.SERVER_ERROR, Outcome.GARBAGE, Outcome.UNAUTHORIZED, Outcome.MODEL_MISSING, Outcome.CONTEXT, Outcome.CUT],
)
async def test_failure_before_the_first_token_moves_on(outcome: Outcome) -> None:
    """Whatever fails before the first token, the next deployment serves and both attempts are recorded."""
    async with listening() as address:
        r = rig(configuration(address, lightweight=TWO), {"one": fails(outcome), "two": answer()})
        plan = r.plan()

        serving = await r.chain.open(plan)
        batches = [batch async for batch in serving]

        assert told(plan) == [("one", str(outcome)), ("two", "answered")]
        assert batches[0][0].choices[0]["delta"] == {"role": "assistant", "content": ""}


async def test_clients_own_fault_stops_the_chain() -> None:
    """A refused request is not tried on the next, perhaps paid, deployment."""
    async with listening() as address:
        scripts = {"one": fails(Outcome.BAD_REQUEST, status=422, code="bad"), "two": answer()}
        r = rig(configuration(address, lightweight=TWO), scripts)

        with pytest.raises(UpstreamRefused) as caught:
            await r.chain.complete(r.plan())

        assert (caught.value.status, caught.value.code) == (422, "bad")
        assert r.way.called == ["one"]
        assert r.health.cooldown(r.configuration.tiers.lightweight.deployments[0]) is None


@pytest.mark.parametrize("chunks", [[], [delta(role="assistant")], [delta("stop", content="")]])
async def test_empty_answer_is_a_failed_attempt(chunks: list[Chunk]) -> None:
    """An end without text, tool call or refusal is never an answer."""
    async with listening() as address:
        r = rig(configuration(address, lightweight=TWO), {"one": [chunks], "two": answer()})
        plan = r.plan()

        await r.chain.open(plan)

        assert told(plan)[0] == ("one", "empty")


async def test_thinking_alone_is_empty_for_a_whole_answer_but_cools_nothing() -> None:
    """A thinking that used the answer up is a failed attempt, and no reason to rest the deployment."""
    async with listening() as address:
        scripts = {"one": [[delta(reasoning_content="hm")], [delta("length")]], "two": answer()}
        r = rig(configuration(address, lightweight=TWO), scripts)
        plan = r.plan()

        whole = await r.chain.complete(plan)

        assert whole.deployment.id == "two"
        assert told(plan) == [("one", "empty"), ("two", "answered")]
        assert r.health.cooldown(r.configuration.tiers.lightweight.deployments[0]) is None


async def test_death_after_the_first_token_raises_in_a_stream() -> None:
    """After the first token nothing is hidden: the reader gets the typed failure."""
    async with listening() as address:
        scripts = {"one": [[delta(content="a")], UpstreamFailure(Outcome.CUT, "gone")], "two": answer()}
        r = rig(configuration(address, lightweight=TWO), scripts)
        plan = r.plan()

        serving = await r.chain.open(plan)
        with pytest.raises(UpstreamFailure, match="cut"):
            [batch async for batch in serving]

        assert told(plan) == [("one", "cut")]
        assert r.way.closed == ["one"]


async def test_death_after_the_first_token_moves_on_for_a_whole_answer() -> None:
    """A client that did not ask for a stream has seen nothing: the chain goes on."""
    async with listening() as address:
        scripts = {"one": [[delta(content="a")], UpstreamFailure(Outcome.CUT, "gone")], "two": answer("b")}
        r = rig(configuration(address, lightweight=TWO), scripts)
        plan = r.plan()

        whole = await r.chain.complete(plan)

        assert whole.choices[0]["message"]["content"] == "b"
        assert told(plan) == [("one", "cut"), ("two", "answered")]


async def test_all_failed_names_every_attempt() -> None:
    """The 503 names each deployment and what happened, and knows when to come back."""
    async with listening() as address:
        one, two = fails(Outcome.RATE_LIMITED, retry_after_s=60.0), fails(Outcome.RATE_LIMITED, retry_after_s=7.0)
        r = rig(configuration(address, lightweight=TWO), {"one": one, "two": two})

        with pytest.raises(DeploymentsFailed) as caught:
            await r.chain.open(r.plan())

        assert [a["deployment"] for a in caught.value.attempts] == ["one", "two"]
        assert "one rate limited" in caught.value.message
        assert "two rate limited" in caught.value.message
        assert caught.value.retry_after_s == 7


async def test_too_long_for_all_is_a_context_error() -> None:
    """When every deployment says that the prompt is too long, the client is told so with a 400."""
    async with listening() as address:
        r = rig(configuration(address, lightweight=TWO), {"one": fails(Outcome.CONTEXT), "two": fails(Outcome.CONTEXT)})

        with pytest.raises(ContextLengthExceeded):
            await r.chain.open(r.plan())


async def test_failed_deployment_rests_and_is_passed_over() -> None:
    """One failure is enough: the next request passes the deployment over and says why."""
    async with listening() as address:
        r = rig(configuration(address, lightweight=TWO), {"one": fails(Outcome.SERVER_ERROR), "two": answer()})
        await r.chain.complete(r.plan())
        plan = r.plan()

        await r.chain.complete(plan)

        assert told(plan) == [("one", "cooling_down"), ("two", "answered")]
        assert "server_error" in plan.attempts[0].detail
        assert r.way.called == ["one", "two", "two"]


async def test_refused_host_is_remembered() -> None:
    """A failed pre-flight is an attempt of its own, and is believed by the next request."""
    async with listening() as address:
        dead = {"dead": {"address": await closed_port(), "local": True}}
        deployments = [{"id": "one", "host": "dead"}, {"id": "two"}]
        r = rig(configuration(address, lightweight=deployments, hosts=dead), {"two": answer()})
        first, second = r.plan(), r.plan()

        await r.chain.complete(first)
        await r.chain.complete(second)

        assert told(first) == [("one", "preflight_failed"), ("two", "answered")]
        assert told(second) == [("one", "remembered_down"), ("two", "answered")]
        assert "127.0.0.1" not in first.attempts[0].detail


async def test_tier_limit_ends_in_a_deadline_error() -> None:
    """A cloud gets what is left of the tier's limit; after it there is a 504, not another attempt."""
    async with listening() as address:
        r = rig(configuration(address, lightweight=TWO), {"one": [1.0], "two": answer()})

        with pytest.raises(DeadlineExceeded) as caught:
            await r.chain.open(r.plan(first_token_s=0.05))

        assert [a["outcome"] for a in caught.value.attempts] == ["first_token_timeout"]


async def test_local_attempt_has_a_limit_of_its_own() -> None:
    """A silent local model does not use up the tier's limit: the cloud still gets its turn."""
    async with listening() as address:
        deployments = [{"id": "one", "host": "house"}, {"id": "two"}]
        settings = configuration(address, lightweight=deployments, cold_attempt_s=0.05, loaded_attempt_s=0.05)
        r = rig(settings, {"one": [1.0], "two": answer()})
        plan = r.plan()

        await r.chain.open(plan)

        assert told(plan)[0] == ("one", "first_token_timeout")
        assert r.way.closed == ["one"]


async def test_cold_attempt_extends_the_tiers_limit_once_per_host() -> None:
    """Two cold models on one host give the rest of the chain its time back once."""
    async with listening() as address:
        deployments = [{"id": "one", "host": "house"}, {"id": "two", "host": "house"}, {"id": "three"}]
        settings = configuration(address, lightweight=deployments, cold_attempt_s=0.1, cold_extra_s=0.1)
        r = rig(settings, {"one": [9.0], "two": [9.0], "three": [9.0]})
        plan = r.plan(first_token_s=0.15)

        with pytest.raises(DeadlineExceeded):
            await r.chain.open(plan)

        assert [a.deployment_id for a in plan.attempts] == ["one", "two", "three"]
        assert plan.attempts[2].total_ms < 95  # 250 ms in all, 200 of them used


async def test_silence_between_tokens_is_a_failure() -> None:
    """A stream that stands still ends with a typed failure and a closed connection."""
    async with listening() as address:
        settings = configuration(address, lightweight=[{"id": "one"}], between_tokens_s=0.05)
        r = rig(settings, {"one": [[delta(content="a")], 5.0]})
        plan = r.plan()

        serving = await r.chain.open(plan)
        with pytest.raises(UpstreamFailure) as caught:
            [batch async for batch in serving]

        assert caught.value.outcome is Outcome.TOKEN_TIMEOUT
        assert r.way.closed == ["one"]


async def test_cap_ends_an_endless_answer() -> None:
    """An answer that never ends is ended, in a stream by a failure, as a whole by a 504."""
    async with listening() as address:
        endless = [step for _ in range(200) for step in ([delta(content="a")], 0.01)]
        r = rig(configuration(address, lightweight=[{"id": "one"}], answer_cap_s=0.1), {"one": endless})

        serving = await r.chain.open(r.plan())
        with pytest.raises(UpstreamFailure) as caught:
            [batch async for batch in serving]
        with pytest.raises(DeadlineExceeded):
            await r.chain.complete(r.plan())

        assert caught.value.outcome is Outcome.CAP


async def test_wrong_model_fails_locally_and_warns_in_the_cloud() -> None:
    """Another model than the one asked for is no answer of a local host, and a warning for a cloud."""
    async with listening() as address:
        deployments = [{"id": "one", "host": "house"}, {"id": "two"}]
        scripts = {"one": answer(model="other"), "two": answer(model="other")}
        r = rig(configuration(address, lightweight=deployments), scripts)
        plan = r.plan()

        whole = await r.chain.complete(plan)

        assert told(plan) == [("one", "wrong_model"), ("two", "answered")]
        assert whole.attempt.warning == "asked for 'm', the host served 'other'"


async def test_truncated_prompt_is_a_failed_attempt() -> None:
    """A local host that counted far fewer tokens than were sent has dropped a part of the prompt."""
    async with listening() as address:
        deployments = [{"id": "one", "host": "house"}, {"id": "two"}]
        scripts = {"one": answer(prompt=400), "two": answer(prompt=990)}
        r = rig(configuration(address, lightweight=deployments), scripts)
        plan = r.plan(prompt_tokens=1000)

        await r.chain.complete(plan)

        assert told(plan) == [("one", "truncated"), ("two", "answered")]
        assert r.health.cooldown(r.configuration.tiers.lightweight.deployments[0]) is None


async def test_full_slot_passes_on_without_queueing() -> None:
    """A deployment whose slots are taken is passed over, and free again once the stream is closed."""
    async with listening() as address:
        deployments = [{"id": "one", "parallel": 1}, {"id": "two"}]
        r = rig(configuration(address, lightweight=deployments), {"one": answer(), "two": answer()})
        first, second, third = r.plan(), r.plan(), r.plan()

        serving = await r.chain.open(first)
        await r.chain.complete(second)
        await serving.aclose()
        await r.chain.complete(third)

        assert told(first) == [("one", "aborted")]
        assert told(second) == [("one", "no_free_slot"), ("two", "answered")]
        assert told(third) == [("one", "answered")]


async def test_client_that_leaves_is_recorded_and_closes_the_upstream() -> None:
    """Cancelling before the first token leaves an aborted attempt, a closed connection and a free slot."""
    async with listening() as address:
        r = rig(configuration(address, lightweight=[{"id": "one", "parallel": 1}]), {"one": [9.0]})
        plan = r.plan()
        task = asyncio.create_task(r.chain.complete(plan))
        while not r.way.called:
            await asyncio.sleep(0.001)

        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert told(plan) == [("one", "aborted")]
        assert plan.attempts[0].total_ms > 0
        assert r.way.closed == ["one"]
        assert r.health.running("one") == 0


async def test_local_deployment_in_a_plan_that_forbids_it_is_an_internal_error() -> None:
    """The reasoning tier's guard fires before anything is sent."""
    async with listening() as address:
        settings = configuration(address, coding=[{"id": "one", "host": "house"}])
        r = rig(settings, {"one": answer()})
        plan = r.plan(Tier.REASONING, deployments=settings.tiers.coding.deployments)

        with pytest.raises(LocalNotAllowed, match="one"):
            await r.chain.open(plan)

        assert r.way.called == []


async def test_readiness_tells_tiers_that_would_send_at_once() -> None:
    """A tier whose host nobody has reached, or whose only deployment rests, is not; empty tiers are not listed."""
    async with listening() as address:
        settings = configuration(address, lightweight=[{"id": "one"}], coding=[{"id": "two"}])
        r = rig(settings, {"one": fails(Outcome.SERVER_ERROR), "two": answer()})

        unseen = r.chain.readiness()
        await r.fleet.reach(r.fleet.endpoint(settings.tiers.lightweight.deployments[0]))
        before = r.chain.readiness()
        with pytest.raises(DeploymentsFailed):
            await r.chain.open(r.plan())

        assert unseen == {Tier.LIGHTWEIGHT: False, Tier.CODING: False}
        assert before == {Tier.LIGHTWEIGHT: True, Tier.CODING: True}
        assert r.chain.readiness() == {Tier.LIGHTWEIGHT: False, Tier.CODING: True}


async def test_electricity_is_a_price() -> None:
    """A host with watts and a price for them: its answers cost what they take in time, on top of prices for tokens."""
    async with listening() as address:
        house = {"house": {"address": address, "local": True, "watts": 3.6e6, "price_per_kwh": 10.0}}
        one = [{"id": "one", "host": "house"}]
        r = rig(configuration(address, lightweight=one, hosts=house), {"one": answer("hi")})
        plan = r.plan()

        await r.chain.complete(plan)

        assert plan.attempts[0].cost_usd == pytest.approx(10.0 * plan.attempts[0].total_ms / 1000)
