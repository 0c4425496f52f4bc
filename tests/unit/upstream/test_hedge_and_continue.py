"""Hedged first tokens and continued streams over scripted deployments."""

from __future__ import annotations

import asyncio

import pytest

from classifier import Tier
from service.config import Configuration
from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.walk import Prefix, continued
from tests.unit.upstream.kit import answer, configuration, delta, fails, listening, rig, told

TWO_CLOUDS = {"near": {"address": "http://unused"}}


async def _house(address: str, *, hedge_ms: int | None = 20, death: str = "error", model: str = "m") -> Configuration:
    """Two clouds with the same model, and a tier above with one more."""
    made = configuration(
        address,
        lightweight=[{"id": "one"}, {"id": "two", "host": "other", "model": model}],
        coding=[{"id": "above"}],
        hosts={"other": {"address": address.replace("127.0.0.1", "localhost")}},
        hedge_after_ms=hedge_ms,
        between_tokens_s=0.2,
    )
    return Configuration.model_validate({**made.model_dump(), "upstream": {"on_stream_death": death}})


async def test_late_first_token_is_won_by_the_second_host() -> None:
    """The loser is cancelled, its connection closed, its slot given back, and the record says so."""
    async with listening() as address:
        scripts = {"one": [1.0, *answer("late")], "two": answer("soon")}
        r = rig(await _house(address), scripts)
        plan = r.plan()

        whole = await r.chain.complete(plan)

        assert whole.choices[0]["message"]["content"] == "soon"
        assert told(plan) == [("one", "aborted"), ("two", "answered")]
        assert "cancelled: two" in plan.attempts[0].detail
        assert sorted(r.way.closed) == ["one", "two"]
        assert r.health.running("one") == 0


@pytest.mark.parametrize(("hedge_ms", "model", "allowed"), [(None, "m", True), (20, "other", True), (20, "m", False)])
async def test_no_second_host_without_need(hedge_ms: int | None, model: str, allowed: bool) -> None:
    """Off, another model, or a private request: one host at a time."""
    async with listening() as address:
        r = rig(await _house(address, hedge_ms=hedge_ms, model=model), {"one": [0.1, *answer()], "two": answer()})
        plan = r.plan(hedge_allowed=allowed)

        await r.chain.complete(plan)

        assert r.way.called == ["one"]


async def test_hedge_that_fails_leaves_the_first_alone() -> None:
    """The second host fails at once: the first one's answer still comes."""
    async with listening() as address:
        r = rig(await _house(address), {"one": [0.1, *answer("first")], "two": fails(Outcome.SERVER_ERROR)})
        plan = r.plan()

        whole = await r.chain.complete(plan)

        assert whole.deployment.id == "one"
        assert told(plan) == [("one", "answered"), ("two", "server_error")]


async def test_client_that_leaves_ends_both() -> None:
    """Nothing runs on after a cancelled request, and both attempts are recorded as aborted."""
    async with listening() as address:
        r = rig(await _house(address), {"one": [9.0], "two": [9.0]})
        plan = r.plan()
        asking = asyncio.create_task(r.chain.open(plan))
        while len(r.way.called) < 2:
            await asyncio.sleep(0.005)

        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        assert told(plan) == [("one", "aborted"), ("two", "aborted")]
        assert sorted(r.way.closed) == ["one", "two"]


async def test_dead_stream_is_continued_by_the_tier_alone() -> None:
    """The next deployment of the tier gets the prefix; the stream names it, and no tier above is asked."""
    async with listening() as address:
        scripts = {
            "one": [[delta(role="assistant", content="Once ")], [delta(content="upon")], UpstreamFailure(Outcome.CUT)],
            "two": answer(" a time"),
            "above": answer("no"),
        }
        r = rig(await _house(address, hedge_ms=None, death="continue"), scripts)
        settings = r.configuration.tiers
        plan = r.plan(deployments=(*settings.lightweight.deployments, *settings.coding.deployments))

        stream = await r.chain.open(plan)
        chunks = [chunk async for batch in stream for chunk in batch]

        text = "".join(c.choices[0]["delta"].get("content") or "" for c in chunks if c.choices)
        assert text == "Once upon a time"
        assert [c.continued_by for c in chunks if c.continued_by] == ["two"]
        assert told(plan) == [("one", "cut"), ("two", "answered")]
        assert stream.deployment.id == "two"
        assert "two continues after 9 characters of one: cut" in plan.notes


@pytest.mark.parametrize(
    "beginning",
    [
        [delta(reasoning_content="hm")],
        [delta(content="a"), delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}])],
    ],
)
async def test_what_is_no_plain_text_is_not_continued(beginning: list[object]) -> None:
    """Thinking alone and tool calls end as they would without it."""
    async with listening() as address:
        scripts = {"one": [beginning, UpstreamFailure(Outcome.CUT)], "two": answer()}
        r = rig(await _house(address, hedge_ms=None, death="continue"), scripts)

        stream = await r.chain.open(r.plan())
        with pytest.raises(UpstreamFailure, match="cut"):
            [batch async for batch in stream]

        assert r.way.called == ["one"]


async def test_death_that_nobody_continues_is_told() -> None:
    """Where the next one fails too, the client gets the first failure and the record both."""
    async with listening() as address:
        scripts = {"one": [[delta(content="a")], UpstreamFailure(Outcome.CUT)], "two": fails(Outcome.SERVER_ERROR)}
        r = rig(await _house(address, hedge_ms=None, death="continue"), scripts)
        plan = r.plan(Tier.LIGHTWEIGHT)

        stream = await r.chain.open(plan)
        with pytest.raises(UpstreamFailure, match="cut"):
            [batch async for batch in stream]
        await stream.aclose()

        assert told(plan) == [("one", "cut"), ("two", "server_error")]


def test_prefix_is_the_assistants_last_message() -> None:
    """No instruction is added, the client's own prefix is lengthened, the limit of tokens shortened."""
    ask = {"role": "user", "content": "Count"}
    own = {"role": "assistant", "content": "One,"}

    plain = continued({"messages": [ask], "max_tokens": 10}, Prefix(" two", 4))
    prefilled = continued({"messages": [ask, own], "max_completion_tokens": 3}, Prefix(" two", 4))

    assert plain == {"messages": [ask, {"role": "assistant", "content": " two"}], "max_tokens": 6}
    assert prefilled["messages"] == [ask, {"role": "assistant", "content": "One, two"}]
    assert prefilled["max_completion_tokens"] == 1
