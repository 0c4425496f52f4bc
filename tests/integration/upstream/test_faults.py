"""Every fault of a host at the head of the chain, over both ways: typed, recorded, and answered by the next."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from classifier import Tier
from service.demo.hosts import SimulatedHost
from service.errors import ContextLengthExceeded, DeadlineExceeded, DeploymentsFailed, RequestError, UpstreamRefused
from service.upstream.assemble import assemble
from service.upstream.chain import Chain
from service.upstream.interface import UpstreamFailure
from tests.integration.upstream.house import house, plan, told

LONG = {"messages": [{"role": "user", "content": "word " * 600}]}

BEFORE_THE_FIRST_TOKEN = {
    "down": "preflight_failed",
    "black-hole": "preflight_failed",
    "hang": "preflight_failed",
    "headers-then-hang": "first_token_timeout",
    "slow-first-token:s=3": "first_token_timeout",
    "empty-200": "empty",
    "garbage": "garbage",
    "401": "unauthorized",
    "404": "model_missing",
    "429:retry_after=5": "rate_limited",
    "500": "server_error",
    "503": "server_error",
    "context": "context",
    "wrong-model": "wrong_model",
}
AFTER_IT = {
    "hang-mid-stream": "token_timeout",
    "reset-mid-stream": "cut",
    "cut": "cut",
    "broken-line": "garbage",
    "in-band-error": "error_event",
    "truncate": "truncated",
}
CLOUD = {
    "down": DeploymentsFailed,
    "hang": DeadlineExceeded,
    "headers-then-hang": DeadlineExceeded,
    "empty-200": DeploymentsFailed,
    "garbage": DeploymentsFailed,
    "400": UpstreamRefused,
    "401": DeploymentsFailed,
    "404": DeploymentsFailed,
    "429:retry_after=5": DeploymentsFailed,
    "500": DeploymentsFailed,
    "context": ContextLengthExceeded,
    "cut": DeploymentsFailed,
    "reset-mid-stream": DeploymentsFailed,
    "broken-line": DeploymentsFailed,
    "in-band-error": DeploymentsFailed,
}


@pytest.fixture(params=["auto", "router"])
async def chain(
    request: pytest.FixtureRequest, mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> AsyncIterator[Chain]:
    """A chain with short limits, without a prober, over each of the two ways."""
    limits = {"loaded_attempt_s": 1.0, "between_tokens_s": 0.5, "host_status_ms": 200}
    made = assemble(house(mini, macbook, cloud, way=request.param, **limits))
    for deployment in made.configuration.tiers.lightweight.deployments:
        await made.prepare(deployment)
    yield made
    await made.close()


@pytest.mark.parametrize("fault", [*BEFORE_THE_FIRST_TOKEN, *AFTER_IT])
async def test_whole_answer_comes_from_the_next(chain: Chain, mini: SimulatedHost, fault: str) -> None:
    """A client that did not ask for a stream gets a whole answer, whatever the Mini does."""
    await mini.aset_fault(fault)
    made = plan(chain.configuration, body=LONG, prompt_tokens=600)

    answer = await chain.complete(made)

    expected = {**BEFORE_THE_FIRST_TOKEN, **AFTER_IT}[fault]
    assert told(made) == [("light-mini", expected), ("coding-local", "answered")]
    assert answer.choices[0]["message"]["content"]
    assert chain.health.running("light-mini") == 0


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_TOKEN)
async def test_stream_comes_from_the_next(chain: Chain, mini: SimulatedHost, fault: str) -> None:
    """Before the first token a stream moves on just as well."""
    await mini.aset_fault(fault)
    made = plan(chain.configuration, body=LONG, prompt_tokens=600)

    serving = await chain.open(made)
    batches = [batch async for batch in serving]

    assert told(made) == [("light-mini", BEFORE_THE_FIRST_TOKEN[fault]), ("coding-local", "answered")]
    assert batches


@pytest.mark.parametrize("fault", AFTER_IT)
async def test_stream_that_dies_says_so(chain: Chain, mini: SimulatedHost, fault: str) -> None:
    """After the first token the reader gets the typed failure, and nobody else is asked.

    Where the end arrives together with the first token, nothing has reached the client: then the next answers.
    """
    await mini.aset_fault(fault)
    made = plan(chain.configuration, body=LONG, prompt_tokens=600)

    serving = await chain.open(made)
    died = None
    try:
        [batch async for batch in serving]
    except UpstreamFailure as failure:
        died = failure

    head, *others = told(made)
    assert head == ("light-mini", AFTER_IT[fault])
    assert others == ([] if died is not None else [("coding-local", "answered")])
    assert died is None or str(died.outcome) == AFTER_IT[fault]


async def test_clients_own_fault_costs_nothing(chain: Chain, mini: SimulatedHost, cloud: SimulatedHost) -> None:
    """A request that the Mini calls wrong is not tried on the paid cloud."""
    await mini.aset_fault("400")
    made = plan(chain.configuration)

    with pytest.raises(UpstreamRefused):
        await chain.complete(made)

    assert told(made) == [("light-mini", "bad_request")]
    assert (await cloud.alog()).on("/v1/chat/completions") == []


@pytest.mark.parametrize("fault", CLOUD)
async def test_error_of_a_chain_that_is_used_up(
    chain: Chain, mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost, fault: str
) -> None:
    """Each fault of the last deployment is told to the client by its own kind of error, attempts named."""
    await cloud.aset_fault(fault)
    made = plan(chain.configuration, Tier.REASONING, first_token_s=0.5)

    with pytest.raises(RequestError) as caught:
        await chain.complete(made)

    assert type(caught.value) is CLOUD[fault]
    assert [a["deployment"] for a in caught.value.attempts] == ["reasoning-cloud"]
    assert "reasoning-cloud" in caught.value.message
    if fault.startswith("429"):
        assert caught.value.retry_after_s == 5
    for host in (mini, macbook):
        assert (await host.alog()).on("/api/chat") == []


async def test_other_model_of_a_cloud_is_a_warning(chain: Chain, cloud: SimulatedHost) -> None:
    """A cloud that serves another model than the one asked for answers, and the record warns."""
    await cloud.aset_fault("wrong-model")
    made = plan(chain.configuration, Tier.REASONING)

    answer = await chain.complete(made)

    assert answer.attempt.warning is not None
    assert "gpt-4.1" in answer.attempt.warning
