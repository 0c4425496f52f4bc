"""Ollama's native API as the simulated host speaks it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import jsonschema
import pytest

from service.demo.hosts import SimulatedHost

HELLO = [{"role": "user", "content": "Hello there"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def chat(**fields: Any) -> dict[str, Any]:
    """Give the body of a chat without thinking and without a stream."""
    return {"model": "qwen3:8b", "messages": HELLO, "think": False, "stream": False, **fields}


async def post(http: httpx.AsyncClient, host: SimulatedHost, path: str, body: dict[str, Any]) -> Any:
    """Post and give the JSON of a 200."""
    answer = await http.post(host.address + path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def lines(http: httpx.AsyncClient, host: SimulatedHost, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Stream a chat and give its lines."""
    async with http.stream("POST", host.address + "/api/chat", json=body) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) async for line in answer.aiter_lines()]


async def test_a_chat_streams_by_default(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """One line per token, then one with the statistics, and only that one is done."""
    body = chat()
    del body["stream"]

    got = await lines(http, ollama, body)

    text = "".join(line["message"]["content"] for line in got)
    last = got[-1]
    assert text.startswith('[simulated mini qwen3:8b] You asked: "Hello there"')
    assert [line["done"] for line in got] == [False] * (len(got) - 1) + [True]
    assert last["done_reason"] == "stop"
    assert last["eval_count"] == len(got) - 1 == 24
    assert last["prompt_eval_count"] > 0
    assert last["total_duration"] >= last["eval_duration"] > 0
    assert {"load_duration", "prompt_eval_duration"} <= last.keys()


async def test_a_chat_without_a_stream_is_one_object(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """The same text as the stream, in one body."""
    got = await post(http, ollama, "/api/chat", chat())

    streamed = "".join(line["message"]["content"] for line in await lines(http, ollama, chat(stream=True)))
    assert got["message"] == {"role": "assistant", "content": streamed}
    assert (got["model"], got["done"], got["done_reason"]) == ("qwen3:8b", True, "stop")


async def test_num_predict_ends_with_length_and_stop_with_stop(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """Both limits of the options are respected and named."""
    short = await post(http, ollama, "/api/chat", chat(options={"num_predict": 3}))
    stopped = await post(http, ollama, "/api/chat", chat(options={"stop": [" You"]}))

    assert (short["eval_count"], short["done_reason"]) == (3, "length")
    assert (stopped["message"]["content"], stopped["done_reason"]) == ("[simulated mini qwen3:8b]", "stop")


async def test_seed_changes_the_answer(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """The same seed gives the same words."""
    texts = [
        (await post(http, ollama, "/api/chat", chat(options={"seed": seed})))["message"]["content"]
        for seed in (1, 1, 2)
    ]

    assert texts[0] == texts[1] != texts[2]


async def test_a_thinking_model_thinks_unless_told_not_to(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """Unset and true think, false does not; the thinking comes first in a stream."""
    unset = chat()
    del unset["think"]

    got = await post(http, ollama, "/api/chat", unset)
    streamed = await lines(http, ollama, chat(think=True, stream=True))

    assert got["message"]["thinking"]
    assert "thinking" not in (await post(http, ollama, "/api/chat", chat()))["message"]
    assert [("thinking" in line["message"]) for line in streamed[:7]] == [True] * 6 + [False]


async def test_a_model_that_cannot_refuses_thinking_and_tools(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """With the texts that Ollama has for it."""
    thinking = await http.post(ollama.address + "/api/chat", json=chat(model="qwen3-coder:30b", think=True))
    tools = await http.post(ollama.address + "/api/chat", json=chat(model="gemma3:4b", tools=[WEATHER]))

    assert (thinking.status_code, thinking.json()["error"]) == (400, '"qwen3-coder:30b" does not support thinking')
    assert (tools.status_code, "does not support tools" in tools.json()["error"]) == (400, True)


async def test_a_tool_is_called_with_arguments_as_an_object(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """In a stream the calls are a line of their own."""
    body = chat(messages=[{"role": "user", "content": "Call get_weather for Kiel"}], tools=[WEATHER])

    got = await post(http, ollama, "/api/chat", body)
    streamed = await lines(http, ollama, {**body, "stream": True})

    call = got["message"]["tool_calls"][0]["function"]
    assert (call["name"], list(call["arguments"])) == ("get_weather", ["city"])
    assert streamed[0]["message"]["tool_calls"][0]["function"]["arguments"] == call["arguments"]
    assert (got["done_reason"], streamed[-1]["done"]) == ("stop", True)


@pytest.mark.parametrize(
    "form", ["json", {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}]
)
async def test_a_format_gives_fitting_json(ollama: SimulatedHost, http: httpx.AsyncClient, form: Any) -> None:
    """Both "json" and a schema."""
    got = await post(http, ollama, "/api/chat", chat(format=form))

    jsonschema.validate(json.loads(got["message"]["content"]), form if isinstance(form, dict) else {"type": "object"})


async def test_a_long_prompt_is_cut_in_silence_by_default(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """A 200 whose prompt count gives it away."""
    messages = [{"role": "user", "content": "word " * 3000}]

    got = await post(http, ollama, "/api/chat", chat(messages=messages, options={"num_ctx": 1024}))

    assert got["prompt_eval_count"] == 1024


async def test_truncate_false_refuses_a_long_prompt(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """400 also where a stream was asked for; one that fits is answered."""
    body = chat(messages=[{"role": "user", "content": "word " * 3000}], options={"num_ctx": 1024}, truncate=False)

    refused = await http.post(ollama.address + "/api/chat", json={**body, "stream": True})
    fits = await http.post(ollama.address + "/api/chat", json={**body, "options": {"num_ctx": 8192}})

    assert (refused.status_code, refused.json()) == (400, {"error": "the input length exceeds the context length"})
    assert fits.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b'{"model": "other:1b", "messages": []}', 404, "model 'other:1b' not found"),
        (b'{"messages": []}', 400, "model is required"),
        (b"{nope", 400, "invalid character"),
        (b"[]", 400, "cannot unmarshal"),
        (b'{"model": "qwen3:8b", "messages": "hi"}', 400, "cannot unmarshal"),
        (b'{"model": "qwen3:8b", "messages": [{"role":"user","content":"x"}], "format": 3}', 400, "invalid format"),
        (b'{"model": "qwen3:8b", "keep_alive": "soon"}', 400, "invalid duration"),
    ],
)
async def test_a_bad_request_gets_ollamas_error(
    ollama: SimulatedHost, http: httpx.AsyncClient, body: bytes, status: int, error: str
) -> None:
    """A status and {"error": text}."""
    got = await http.post(ollama.address + "/api/chat", content=body)

    assert got.status_code == status
    assert error in got.json()["error"]


async def test_a_model_is_named_with_or_without_its_default_tag(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """nomic-embed-text and nomic-embed-text:latest are one."""
    for model in ("nomic-embed-text", "nomic-embed-text:latest"):
        assert (await post(http, ollama, "/api/embed", {"model": model, "input": "x"}))["model"] == model


async def test_listings_have_ollamas_form(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """tags lists what is pulled, ps what is loaded with its context and memory, show the architecture."""
    tags = (await http.get(ollama.address + "/api/tags")).json()["models"]
    loaded = (await http.get(ollama.address + "/api/ps")).json()["models"]
    shown = await post(http, ollama, "/api/show", {"model": "qwen3:8b"})

    assert [one["name"] for one in tags] == ["qwen3:8b", "qwen3-coder:30b", "gemma3:4b", "nomic-embed-text:latest"]
    assert {"size", "digest", "details", "modified_at"} <= tags[0].keys()
    assert [one["name"] for one in loaded] == ["qwen3:8b"]
    assert loaded[0]["size"] == loaded[0]["size_vram"] == 6_000_000_000
    assert {"expires_at", "context_length"} <= loaded[0].keys()
    assert shown["model_info"]["qwen3.context_length"] == 40_960
    assert shown["model_info"]["qwen3.attention.head_count_kv"] == 8
    assert "thinking" in shown["capabilities"]


async def test_the_root_and_version_pages(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """By which people and installers see that Ollama runs; other paths are not there."""
    root = await http.get(ollama.address)
    version = (await http.get(ollama.address + "/api/version")).json()
    missing = await http.get(ollama.address + "/nothing")
    unsimulated = await http.post(ollama.address + "/api/pull", json={"model": "x"})

    assert root.text == "Ollama is running"
    assert version["version"]
    assert (missing.status_code, unsimulated.status_code) == (404, 501)


async def test_a_cold_model_costs_its_load_time(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """load_duration says what the load took; then ps lists the model with the context that was asked for."""
    got = await post(http, ollama, "/api/chat", chat(model="qwen3-coder:30b", options={"num_ctx": 16384}))

    log = ollama.log()
    loaded = (await http.get(ollama.address + "/api/ps")).json()["models"]
    assert got["load_duration"] >= 50_000_000
    assert (log.loads, log.swaps, log.loaded) == (1, 1, ("qwen3-coder:30b",))
    assert [(one["name"], one["context_length"]) for one in loaded] == [("qwen3-coder:30b", 16384)]


async def test_empty_requests_load_and_unload(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """The way to warm a model and to free its memory."""
    freed = await post(http, ollama, "/api/generate", {"model": "qwen3:8b", "keep_alive": 0})
    after = ollama.log().loaded
    loaded = await post(http, ollama, "/api/generate", {"model": "qwen3:8b", "keep_alive": "10m"})
    by_chat = await post(http, ollama, "/api/chat", {"model": "qwen3:8b", "messages": []})

    assert (freed["done_reason"], after) == ("unload", ())
    assert (loaded["done_reason"], by_chat["done_reason"]) == ("load", "load")
    assert ollama.log().loads == 1


async def test_keep_alive_for_ever_is_shown(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """A negative keep_alive gives an expiry centuries away."""
    await post(http, ollama, "/api/generate", {"model": "qwen3:8b", "keep_alive": -1})

    shown = (await http.get(ollama.address + "/api/ps")).json()["models"][0]

    assert shown["expires_at"] > "2200"


async def test_generate_answers_a_prompt(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """The text is in response rather than in a message."""
    body = {"model": "qwen3:8b", "prompt": "Hi", "stream": False, "think": False}

    got = await post(http, ollama, "/api/generate", body)

    assert got["response"].startswith("[simulated mini qwen3:8b]")


async def test_embeddings_in_both_forms(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """A batch with counts, and the older single one; both the same vector of length 768."""
    batch = await post(http, ollama, "/api/embed", {"model": "nomic-embed-text", "input": ["a cat", "a dog"]})
    single = await post(http, ollama, "/api/embeddings", {"model": "nomic-embed-text", "prompt": "a cat"})

    assert [len(vector) for vector in batch["embeddings"]] == [768, 768]
    assert batch["prompt_eval_count"] == 4
    assert single["embedding"] == batch["embeddings"][0]


async def test_an_over_long_embedding_is_refused_on_request(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """truncate false is respected there too."""
    body = {"model": "nomic-embed-text", "input": "word " * 5000, "truncate": False}

    got = await http.post(ollama.address + "/api/embed", json=body)

    assert got.status_code == 400


async def test_images_are_counted(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """An attached image shows in the answer and in the prompt count."""
    plain = await post(http, ollama, "/api/chat", chat())
    seen = await post(http, ollama, "/api/chat", chat(messages=[{**HELLO[0], "images": ["aGVsbG8="]}]))

    assert "1 image" in seen["message"]["content"]
    assert seen["prompt_eval_count"] > plain["prompt_eval_count"] + 50


async def test_one_generation_at_a_time(ollama: SimulatedHost, http: httpx.AsyncClient) -> None:
    """A second request waits for the slot, and the log says how long."""
    body = chat(options={"num_predict": 24})

    await asyncio.gather(post(http, ollama, "/api/chat", body), post(http, ollama, "/api/chat", body))

    first, second = sorted(ollama.log().requests, key=lambda one: one.queued_s)
    assert second.first_byte_at is not None
    assert first.finished_at is not None
    assert second.first_byte_at > first.finished_at - 0.01
    assert second.queued_s > first.queued_s
