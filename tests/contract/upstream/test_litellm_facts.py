"""What we rely on in the pinned litellm, and what we work around: a release that changes it fails here."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.config import Configuration
from service.demo.hosts import SimulatedHost
from service.upstream.interface import Call, Chunk, Outcome, UpstreamFailure
from service.upstream.lean_ollama import body_of
from service.upstream.router_way import RouterWay

ROOT = Path(__file__).parents[3]
MESSAGES = [{"role": "user", "content": "What is a closure?"}]


def call(configuration: Configuration, ident: str, body: Mapping[str, Any] | None = None) -> Call:
    """A call for one deployment by its id."""
    deployment = next(d for _, d in configuration.deployments() if d.id == ident)
    asked = {"messages": MESSAGES, "max_tokens": 20, **(body or {})}
    return Call(deployment, configuration.address_of(deployment), configuration.key_of(deployment), asked)


async def chunks(way: RouterWay, made: Call) -> list[Chunk]:
    """All chunks of one call."""
    return [chunk async for batch in way.stream(made) for chunk in batch]


def python(code: str) -> str:
    """What a fresh interpreter prints for ``code``, with connections refused and reported."""
    guard = (
        "import socket\n"
        "def refused(*_): raise AssertionError('a connection was tried')\n"
        "socket.socket.connect = socket.socket.connect_ex = refused\n"
        "socket.getaddrinfo = refused\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LITELLM")}
    ran = subprocess.run(
        [sys.executable, "-c", guard + code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def test_importing_the_chain_imports_no_litellm() -> None:
    """Start-up and ``--help`` do not pay for litellm."""
    said = python("import sys, service.upstream.assemble\nprint('litellm' in sys.modules, 'openai' in sys.modules)")

    assert said.split() == ["False", "False"]


def test_litellm_is_built_without_the_network_and_without_a_word() -> None:
    """Import and Router ask neither for a cost map nor for localhost:11434, and print nothing."""
    said = python(
        "from service.config.seed import seed_configuration\n"
        "from service.upstream.router_way import _import_and_build\n"
        "_import_and_build(seed_configuration())\n"
    )

    assert said == ""


@pytest.mark.parametrize("fault", ["500", "503", "429", "404", "401", "400"])
@pytest.mark.parametrize("ident", ["local", "paid"])
async def test_one_call_is_one_request(
    way: RouterWay, configuration: Configuration, mini: SimulatedHost, cloud: SimulatedHost, ident: str, fault: str
) -> None:
    """No retry and no fallback below us, whatever the host answers, and no cooldown afterwards."""
    host, path = (mini, "/api/chat") if ident == "local" else (cloud, "/v1/chat/completions")
    await host.aset_fault(f"{fault}:count=1")

    with pytest.raises(UpstreamFailure):
        await chunks(way, call(configuration, ident))
    one = len((await host.alog()).on(path))
    await chunks(way, call(configuration, ident))

    assert one == 1
    assert len((await host.alog()).on(path)) == 2


async def test_refused_connection_is_a_failed_connect(way: RouterWay, configuration: Configuration) -> None:
    """A port where nobody listens is neither a timeout nor an error of the server."""
    with pytest.raises(UpstreamFailure) as caught:
        await chunks(way, call(configuration, "gone"))

    assert caught.value.outcome is Outcome.CONNECT


async def test_openai_body_arrives_as_it_was_given(
    way: RouterWay, configuration: Configuration, cloud: SimulatedHost
) -> None:
    """Every field travels untouched; those that steer litellm are only fields to it."""
    body = {
        "temperature": 0,
        "frequency_penalty": 0,
        "seed": 3,
        "stop": ["\n\n"],
        "user": "somebody",
        "metadata": {"a": "b"},
        "tool_choice": "auto",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
        "reasoning_effort": "low",
    }

    await chunks(way, call(configuration, "paid", body))

    sent = (await cloud.alog()).on("/v1/chat/completions")[-1].body
    expected = {"messages": MESSAGES, "max_tokens": 20, **body, "model": "gpt-4.1", "stream": True}
    assert sent == {**expected, "stream_options": {"include_usage": True}}


async def test_fields_that_steer_litellm_steer_nothing(
    way: RouterWay, configuration: Configuration, cloud: SimulatedHost
) -> None:
    """``mock_response`` and ``api_base`` in a body reach the host as fields and make litellm do nothing.

    Routing refuses them by name; this is the second wall.
    """
    body = {"mock_response": "forged", "api_base": "http://127.0.0.1:9", "fallbacks": ["gone"], "num_retries": 3}
    await cloud.aset_fault("500:count=1")

    with pytest.raises(UpstreamFailure) as caught:
        await chunks(way, call(configuration, "paid", body))

    assert caught.value.outcome is Outcome.SERVER_ERROR
    received = (await cloud.alog()).on("/v1/chat/completions")
    assert len(received) == 1
    assert received[0].body["mock_response"] == "forged"


async def test_ollama_body_is_the_lean_ways(way: RouterWay, configuration: Configuration, mini: SimulatedHost) -> None:
    """Both ways ask an Ollama host for the same, ``truncate``, ``think`` and ``keep_alive`` beside the options."""
    made = call(configuration, "local", {"temperature": 0.3, "seed": 3, "stop": "x", "frequency_penalty": 0})

    await chunks(way, made)

    sent = (await mini.alog()).on("/api/chat")[-1].body
    assert sent == body_of(made)
    assert sent["options"]["num_ctx"] == 4096
    assert (sent["truncate"], sent["think"], sent["keep_alive"]) == (False, False, "30m")


@pytest.mark.parametrize("ident", ["local", "paid"])
async def test_usage_and_model_are_the_hosts(way: RouterWay, configuration: Configuration, ident: str) -> None:
    """litellm makes both up where it likes; ours come from the wire."""
    made = await chunks(way, call(configuration, ident))

    usages = [c.usage for c in made if c.usage is not None]
    served = [c.served_model for c in made if c.served_model is not None]
    assert len(usages) == 1
    assert usages[0].prompt_tokens > 0
    assert served == ["qwen3:8b" if ident == "local" else "gpt-4.1-2025-04-14"]


@pytest.mark.parametrize("fault", ["garbage", "empty-200"])
async def test_litellm_still_calls_a_page_an_answer(
    way: RouterWay, configuration: Configuration, mini: SimulatedHost, fault: str
) -> None:
    """The reason for the watch: litellm by itself ends such a stream without an error (fixed there: simplify here)."""
    await mini.aset_fault(fault)
    litellm = await way._loaded()
    raw = await litellm.router.acompletion(model="local", messages=MESSAGES, stream=True, client=litellm.client)

    said = [chunk.choices[0].delta.content async for chunk in raw]

    assert not any(said)
    with pytest.raises(UpstreamFailure):
        await chunks(way, call(configuration, "local"))


@pytest.mark.parametrize("ident", ["local", "paid"])
async def test_prompts_and_keys_stay_out_of_the_log(
    way: RouterWay,
    configuration: Configuration,
    mini: SimulatedHost,
    cloud: SimulatedHost,
    caplog: pytest.LogCaptureFixture,
    ident: str,
) -> None:
    """At no level does a call leave its prompt or its key in a log, good or bad."""
    caplog.set_level(logging.DEBUG)
    body = {"messages": [{"role": "user", "content": "zanzibar-in-the-prompt"}]}
    await chunks(way, call(configuration, ident, body))
    await (mini if ident == "local" else cloud).aset_fault("500")

    with pytest.raises(UpstreamFailure):
        await chunks(way, call(configuration, ident, body))

    assert "zanzibar" not in caplog.text
    assert "sk-simulated" not in caplog.text


async def test_second_router_of_a_process_works(configuration: Configuration) -> None:
    """A reload builds a new Router; nothing of the closed one is left in litellm's caches."""
    for _ in range(2):
        way = RouterWay(configuration)
        made = await chunks(way, call(configuration, "paid"))
        await way.close()

        assert any(c.choices and c.choices[0]["delta"].get("content") for c in made)
