"""The official client is the contract."""

from __future__ import annotations

import json

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.house import House

HARD = "Design a microservice architecture for a real-time collaboration system"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Person(BaseModel):
    """A structured answer."""

    name: str
    age: int


@pytest.mark.parametrize("model", ["auto", "auto:eco", "auto:quality", "lightweight", "coding-tier", "reasoning"])
def test_a_plain_answer(client: openai.OpenAI, model: str) -> None:
    """Every model name answers, and the body names the deployment and has usage."""
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "What is a mutex?"}])

    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.content
    assert "simulated" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert "-" in answer.model


def test_a_stream_has_one_id_one_model_and_usage_only_if_asked(client: openai.OpenAI) -> None:
    """All chunks share id and model; the usage chunk comes last and only with include_usage."""
    asked = {"model": "auto", "messages": [{"role": "user", "content": "What is a mutex?"}], "stream": True}

    plain = list(client.chat.completions.create(**asked))  # type: ignore[call-overload]
    counted = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))  # type: ignore[call-overload]

    for chunks in (plain, counted):
        assert len({(c.id, c.model) for c in chunks}) == 1
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert all(c.usage is None and c.choices for c in plain)
    assert counted[-1].usage is not None
    assert counted[-1].choices == []
    assert all(c.usage is None for c in counted[:-1])


async def test_the_async_client_streams(house: House) -> None:
    """The asynchronous client sees the same."""
    async with openai.AsyncOpenAI(
        base_url=f"{house.base}/v1", api_key="none", max_retries=0, http_client=httpx.AsyncClient(trust_env=False)
    ) as client:
        stream = await client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "What is a mutex?"}], stream=True
        )
        text = [c.choices[0].delta.content or "" async for c in stream if c.choices]

    assert "".join(text)


@pytest.mark.parametrize("model", ["lightweight", "reasoning"])
@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_answered(client: openai.OpenAI, model: str, stream: bool) -> None:
    """A tool call comes with an id and JSON arguments over both protocols; its result is answered."""
    messages: list[dict[str, object]] = [{"role": "user", "content": "use the tool get_weather for Paris"}]
    create = client.chat.completions.create

    if stream:
        calls: dict[int, dict[str, str]] = {}
        for chunk in create(model=model, messages=messages, tools=[WEATHER], stream=True):  # type: ignore[call-overload]
            for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
                one = calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
                one["id"] = call.id or one["id"]
                one["name"] += call.function.name or ""
                one["arguments"] += call.function.arguments or ""
        called = calls[0]
    else:
        answer = create(model=model, messages=messages, tools=[WEATHER])  # type: ignore[call-overload]
        assert answer.choices[0].finish_reason == "tool_calls"
        one = answer.choices[0].message.tool_calls[0]
        called = {"id": one.id, "name": one.function.name, "arguments": one.function.arguments}
    again = create(
        model=model,
        messages=[
            *messages,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": called["id"],
                        "type": "function",
                        "function": {"name": called["name"], "arguments": called["arguments"]},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": called["id"], "content": "12 degrees"},
        ],
        tools=[WEATHER],
    )  # type: ignore[call-overload]

    assert called["name"] == "get_weather"
    assert isinstance(json.loads(called["arguments"]), dict)
    assert called["id"]
    assert again.choices[0].message.content


@pytest.mark.parametrize("model", ["lightweight", "reasoning"])
def test_structured_output_parses(client: openai.OpenAI, model: str) -> None:
    """A JSON schema is honoured by local and cloud deployments."""
    answer = client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": "Ann is 7 years old. Give name and age."}],
        response_format=Person,
    )

    assert isinstance(answer.choices[0].message.parsed, Person)


def test_json_mode(client: openai.OpenAI) -> None:
    """response_format json_object gives JSON."""
    answer = client.chat.completions.create(
        model="auto",
        messages=[{"role": "user", "content": "a JSON object, please"}],
        response_format={"type": "json_object"},
    )

    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_the_answers_limit_and_stop_are_honoured(client: openai.OpenAI) -> None:
    """max_tokens ends with length, at a local deployment too."""
    answer = client.chat.completions.create(
        model="lightweight", messages=[{"role": "user", "content": "What is a mutex?"}], max_tokens=3
    )

    assert answer.choices[0].finish_reason == "length"


def test_roles_parts_and_images(client: openai.OpenAI, house: House) -> None:
    """The developer role, content parts and an image reach a deployment that can see."""
    picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    answer = client.chat.completions.with_raw_response.create(
        model="auto",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in the picture?"},
                    {"type": "image_url", "image_url": {"url": picture}},
                ],
            },
        ],
    )

    record = house.decision(answer.headers["x-autotier-decision"])
    assert answer.parse().choices[0].message.content
    assert not record["deployment_id"].endswith("-mini")


def test_n_goes_to_a_deployment_that_can(client: openai.OpenAI) -> None:
    """Two answers are never silently one: the chain moves to a deployment that honours n."""
    answer = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "What is a mutex?"}], n=2
    )

    assert len(answer.choices) == 2


def test_errors_by_class(client: openai.OpenAI, house: House) -> None:
    """Each kind of error is the official client's own class, with our message."""
    ask = client.chat.completions.create
    user = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.NotFoundError, match="auto"):
        ask(model="gpt-4", messages=user)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="api_base") as caught:
        ask(model="auto", messages=user, extra_body={"api_base": "http://127.0.0.1:1"})  # type: ignore[arg-type]
    assert caught.value.param == "api_base"
    with pytest.raises(openai.BadRequestError, match="messages"):
        ask(model="auto", messages=[])
    house.hosts["cloud1"].set_fault("500")
    house.hosts["cloud2"].set_fault("500")
    with pytest.raises(openai.InternalServerError) as failed:
        ask(model="reasoning", messages=[{"role": "user", "content": HARD}])

    assert failed.value.status_code == 503
    assert "reasoning-cloud" in failed.value.message
    assert "reasoning-cloud-2" in failed.value.message
    assert failed.value.response.headers["x-autotier-attempts"] == "2"
    assert failed.value.response.headers["x-autotier-tier"] == "reasoning"


def test_the_models_list(client: openai.OpenAI) -> None:
    """All names that may be sent are listed, and each can be retrieved."""
    names = [model.id for model in client.models.list()]

    assert {"auto", "auto:eco", "auto:quality", "lightweight", "reasoning-tier"} <= set(names)
    assert client.models.retrieve("auto:eco").id == "auto:eco"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_headers_explain_every_answer(client: openai.OpenAI) -> None:
    """The decision is in the headers of an answer and of a stream."""
    raw = client.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": f"{HARD}, for lawyers"}]
    )

    shown = raw.headers
    assert shown["x-autotier-tier"] == "reasoning"
    assert shown["x-autotier-reason"] == "classifier"
    assert shown["x-autotier-deployment"] == "reasoning-cloud"
    assert shown["x-autotier-attempts"] == "1"
    assert shown["x-autotier-cache"] == "off"
    assert 0 < float(shown["x-autotier-confidence"]) <= 1
    assert shown["x-autotier-artifact"]
