"""The official OpenAI client against the simulated cloud, and against Ollama's imitation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from service.demo.hosts import SimulatedHost

KEY = "sk-simulated-1234"
HELLO: Any = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Hello there"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture
async def client(cloud: SimulatedHost) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client without retries."""
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(
        api_key=KEY, base_url=cloud.openai_base, max_retries=0, timeout=2, http_client=http
    ) as made:
        yield made


@pytest.fixture
async def local(ollama: SimulatedHost) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client at Ollama's imitation."""
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(
        api_key="ollama", base_url=ollama.openai_base, max_retries=0, timeout=2, http_client=http
    ) as made:
        yield made


async def test_a_completion(client: openai.AsyncOpenAI) -> None:
    """Text, usage, and the dated name of the snapshot that answers for the alias."""
    got = await client.chat.completions.create(model="gpt-4.1", messages=HELLO)

    assert (got.choices[0].message.content or "").startswith("[simulated cloud1 gpt-4.1]")
    assert (got.model, got.choices[0].finish_reason) == ("gpt-4.1-2025-04-14", "stop")
    assert got.usage is not None
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
    assert got.usage.completion_tokens == 24


async def test_a_stream_has_a_role_then_text_then_a_finish(client: openai.AsyncOpenAI) -> None:
    """One id, no usage unless asked for, and the text of the answer without a stream."""
    whole = await client.chat.completions.create(model="gpt-4.1", messages=HELLO)

    chunks = [
        chunk async for chunk in await client.chat.completions.create(model="gpt-4.1", messages=HELLO, stream=True)
    ]

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_comes_last_where_asked_for(client: openai.AsyncOpenAI) -> None:
    """A chunk without choices before [DONE]; the others carry usage null."""
    stream = await client.chat.completions.create(
        model="gpt-4.1", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )

    chunks = [chunk async for chunk in stream]

    assert (chunks[-1].choices, chunks[-2].usage) == ([], None)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 24


async def test_the_raw_stream_ends_with_done(cloud: SimulatedHost, http: httpx.AsyncClient) -> None:
    """The bytes are server-sent events."""
    body = {"model": "gpt-4.1", "messages": HELLO, "stream": True}

    got = await http.post(
        cloud.openai_base + "/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}
    )

    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert got.text.endswith("data: [DONE]\n\n")
    assert all(event.startswith("data: ") for event in got.text.rstrip("\n").split("\n\n"))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_ends_with_length(client: openai.AsyncOpenAI, field: str) -> None:
    """Both names of the limit."""
    limit: Any = {field: 5}

    got = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, **limit)

    assert got.choices[0].finish_reason == "length"
    assert got.usage is not None
    assert got.usage.completion_tokens == 5


async def test_stop_seed_and_several_choices(client: openai.AsyncOpenAI) -> None:
    """stop is not part of the text; n gives different answers; seed repeats them."""
    stopped = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, stop=" You")
    several = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, n=3, seed=5)
    again = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, n=3, seed=5)

    texts = [choice.message.content for choice in several.choices]
    assert stopped.choices[0].message.content == "[simulated cloud1 gpt-4.1]"
    assert len(set(texts)) == 3
    assert texts == [choice.message.content for choice in again.choices]


async def test_several_choices_stream_side_by_side(client: openai.AsyncOpenAI) -> None:
    """Each chunk names its choice, each choice finishes."""
    stream = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, n=2, stream=True)

    choices = [chunk.choices[0] async for chunk in stream]

    assert {choice.index for choice in choices} == {0, 1}
    assert sorted(choice.index for choice in choices if choice.finish_reason) == [0, 1]


async def test_log_probabilities(client: openai.AsyncOpenAI) -> None:
    """One entry per token with the alternatives asked for, in both forms."""
    fields: Any = {"model": "gpt-4.1", "messages": HELLO, "logprobs": True, "top_logprobs": 2}

    got = await client.chat.completions.create(**fields)
    chunks = [chunk async for chunk in await client.chat.completions.create(**fields, stream=True)]

    logprobs = got.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 24
    assert len(logprobs.content[0].top_logprobs) == 2
    assert sum(1 for chunk in chunks if chunk.choices[0].logprobs) == 24


async def test_a_tool_call(client: openai.AsyncOpenAI) -> None:
    """Arguments are a JSON string that fits the parameters; content is null."""
    ask: Any = [{"role": "user", "content": "Use the tool."}]

    got = await client.chat.completions.create(model="gpt-4.1", messages=ask, tools=[WEATHER])

    choice = got.choices[0]
    assert choice.message.tool_calls is not None
    call: Any = choice.message.tool_calls[0]
    assert (choice.finish_reason, choice.message.content, call.function.name) == ("tool_calls", None, "get_weather")
    assert json.loads(call.function.arguments)["days"] >= 1


async def test_a_streamed_tool_call_comes_in_pieces(client: openai.AsyncOpenAI) -> None:
    """Name and id first, then the arguments in deltas that join to JSON."""
    ask: Any = [{"role": "user", "content": "get_weather for Kiel"}]
    stream = await client.chat.completions.create(model="gpt-4.1", messages=ask, tools=[WEATHER], stream=True)

    deltas = [call async for chunk in stream for call in (chunk.choices[0].delta.tool_calls or [])]

    assert deltas[0].id
    assert deltas[0].function is not None
    assert deltas[0].function.name == "get_weather"
    assert len(deltas) > 2
    assert set(json.loads("".join((call.function and call.function.arguments) or "" for call in deltas))) == {
        "city",
        "days",
    }


async def test_tool_choice_is_obeyed(client: openai.AsyncOpenAI) -> None:
    """A named tool is called without being mentioned, none is not called though mentioned."""
    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    ask: Any = [{"role": "user", "content": "get_weather"}]

    forced = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, tools=[WEATHER], tool_choice=named)
    none = await client.chat.completions.create(model="gpt-4.1", messages=ask, tools=[WEATHER], tool_choice="none")

    assert forced.choices[0].message.tool_calls
    assert not none.choices[0].message.tool_calls


class Step(BaseModel):
    """One step of a plan."""

    title: str
    minutes: int


class Plan(BaseModel):
    """What the structured answer has to be."""

    name: str
    steps: list[Step]


async def test_structured_output_is_parsed_by_the_client(client: openai.AsyncOpenAI) -> None:
    """The client's own parser accepts the answer."""
    got = await client.chat.completions.parse(model="gpt-4.1", messages=HELLO, response_format=Plan)

    assert isinstance(got.choices[0].message.parsed, Plan)


async def test_json_mode(client: openai.AsyncOpenAI) -> None:
    """json_object gives an object."""
    got = await client.chat.completions.create(model="gpt-4.1", messages=HELLO, response_format={"type": "json_object"})

    assert json.loads(got.choices[0].message.content or "")["simulated"] is True


async def test_reasoning_models_bill_hidden_tokens(client: openai.AsyncOpenAI) -> None:
    """The o-series counts reasoning tokens that nobody sees."""
    got = await client.chat.completions.create(model="o3-mini", messages=HELLO)

    assert got.model == "o3-mini-2025-01-31"
    assert got.usage is not None
    assert got.usage.completion_tokens_details is not None
    assert got.usage.completion_tokens_details.reasoning_tokens == 6


async def test_embeddings(client: openai.AsyncOpenAI) -> None:
    """The client asks for base64 and unpacks it; dimensions are respected."""
    got = await client.embeddings.create(model="text-embedding-3-small", input=["a cat", "a dog"])
    short = await client.embeddings.create(model="text-embedding-3-small", input="a cat", dimensions=64)

    assert [len(one.embedding) for one in got.data] == [1536, 1536]
    assert len(short.data[0].embedding) == 64
    assert got.usage.prompt_tokens == 4


async def test_models(client: openai.AsyncOpenAI) -> None:
    """Listed and by name."""
    listed = await client.models.list()

    assert "gpt-4.1" in [model.id for model in listed.data]
    assert (await client.models.retrieve("o3-mini")).id == "o3-mini"


async def test_headers_of_the_cloud(client: openai.AsyncOpenAI) -> None:
    """A request id and the rate limits come with each answer."""
    raw = await client.chat.completions.with_raw_response.create(model="gpt-4.1", messages=HELLO)

    assert raw.headers["x-request-id"].startswith("req_")
    assert "x-ratelimit-remaining-requests" in raw.headers


async def test_errors_by_class(client: openai.AsyncOpenAI, cloud: SimulatedHost) -> None:
    """The client raises the class that OpenAI's status means, with its code."""
    long: Any = [{"role": "user", "content": "word " * 10000}]

    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="gpt-5", messages=HELLO)
    with pytest.raises(openai.BadRequestError) as empty:
        await client.chat.completions.create(model="gpt-4.1", messages=[])
    cloud.set_fault("context:tokens=8192")
    with pytest.raises(openai.BadRequestError) as too_long:
        await client.chat.completions.create(model="gpt-4.1", messages=long)

    codes = [error.value.code for error in (missing, empty, too_long)]
    assert codes == ["model_not_found", "empty_array", "context_length_exceeded"]


async def test_a_wrong_key_is_refused(cloud: SimulatedHost, client: openai.AsyncOpenAI) -> None:
    """401 with the code, and the log does not hold the key."""
    wrong = client.with_options(api_key="sk-wrong-key-5678")

    with pytest.raises(openai.AuthenticationError) as refused:
        await wrong.chat.completions.create(model="gpt-4.1", messages=HELLO)

    entry = cloud.log().requests[-1]
    assert refused.value.code == "invalid_api_key"
    assert entry.authorization_present
    assert "sk-wrong" not in repr(entry)


async def test_ollamas_imitation_answers_the_same_client(local: openai.AsyncOpenAI) -> None:
    """Name as asked, thinking in a field of its own, embeddings, models."""
    got = await local.chat.completions.create(model="qwen3:8b", messages=HELLO)
    quick = await local.chat.completions.create(model="qwen3:8b", messages=HELLO, reasoning_effort="none")
    vectors = await local.embeddings.create(model="nomic-embed-text", input="a cat")

    assert (got.model, got.system_fingerprint) == ("qwen3:8b", "fp_ollama")
    assert getattr(got.choices[0].message, "reasoning", None)
    assert not getattr(quick.choices[0].message, "reasoning", None)
    assert len(vectors.data[0].embedding) == 768
    assert "qwen3:8b" in [model.id for model in (await local.models.list()).data]


async def test_ollamas_imitation_truncates_at_its_default_context(local: openai.AsyncOpenAI) -> None:
    """num_ctx is ignored there: 4,096 tokens, in silence."""
    long: Any = [{"role": "user", "content": "word " * 10000}]

    got = await local.chat.completions.create(
        model="qwen3:8b", messages=long, extra_body={"options": {"num_ctx": 32768}}
    )

    assert got.usage is not None
    assert got.usage.prompt_tokens == 4096


async def test_ollamas_imitation_does_not_know_a_model(local: openai.AsyncOpenAI) -> None:
    """404 in OpenAI's form with Ollama's words."""
    with pytest.raises(openai.NotFoundError, match=r"model .gpt-4\.1. not found"):
        await local.chat.completions.create(model="gpt-4.1", messages=HELLO)
