"""Server-sent events into chunks, however they are cut up and whatever a host does otherwise."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.upstream.interface import Chunk, Outcome
from service.upstream.lean_lines import LONGEST_LINE
from service.upstream.lean_openai import OpenAIReader


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One event with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({"model": "m", "choices": [choice], **more}) + b"\n\n"


GOOD = (
    event({"role": "assistant", "content": ""}) + event({"content": "héllo"}) + event({}, "stop") + b"data: [DONE]\n\n"
)


def read(*pieces: bytes) -> tuple[list[Chunk], OpenAIReader]:
    """All chunks of a body that comes in ``pieces``, and the reader after its end."""
    reader = OpenAIReader()
    chunks: list[Chunk] = []
    for piece in pieces:
        chunks += reader.feed(piece)
        if reader.failure:
            return chunks, reader
    return chunks + reader.end(), reader


def text(chunks: list[Chunk]) -> str:
    """All content."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.choices)


@given(st.lists(st.integers(min_value=1, max_value=len(GOOD) - 1), max_size=8))
def test_where_the_network_cuts_does_not_matter(cuts: list[int]) -> None:
    """Any division of the bytes gives the same chunks."""
    edges = [0, *sorted(set(cuts)), len(GOOD)]
    pieces = [GOOD[a:b] for a, b in itertools.pairwise(edges)]

    chunks, reader = read(*pieces)

    assert chunks == read(GOOD)[0]
    assert text(chunks) == "héllo"
    assert reader.done
    assert reader.failure is None


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Any bytes give chunks, a typed failure, or an answer that is not complete; never an exception."""
    _, reader = read(body)

    assert reader.failure is None or reader.failure.outcome in (Outcome.GARBAGE, Outcome.ERROR_EVENT, Outcome.CONTEXT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "delta",
                        "index",
                        "usage",
                        "error",
                        "content",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "finish_reason",
                        "reasoning",
                        "model",
                        "message",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_event_breaks_the_reader(value: Any) -> None:
    """Any JSON as an event, or as a whole answer, is read or refused; never an exception."""
    as_event, as_answer = read(b"data: " + orjson.dumps(value) + b"\n\n"), read(orjson.dumps(value))

    assert all(reader.failure is None or reader.failure.outcome for _, reader in (as_event, as_answer))


def test_several_events_in_one_read_are_one_batch() -> None:
    """What the network brings together stays together."""
    reader = OpenAIReader()

    batch = reader.feed(GOOD)

    assert len(batch) == 3


def test_the_chunks_before_a_broken_event_are_delivered() -> None:
    """A failure does not take away what came before it."""
    chunks, reader = read(event({"content": "a"}) + b'data: {"cho\n\n' + event({"content": "b"}))

    assert text(chunks) == "a"
    assert reader.failure is not None
    assert reader.failure.outcome is Outcome.GARBAGE


def test_an_event_may_span_several_data_lines() -> None:
    """As the specification of server-sent events has it."""
    chunks, reader = read(b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "x"}}]}\n\n')

    assert text(chunks) == "x"
    assert reader.failure is None


def test_each_choice_must_finish_where_no_done_is_sent() -> None:
    """With two choices, one finish reason is not the end."""
    two = orjson.dumps({"choices": [{"index": i, "delta": {"content": "x"}} for i in (0, 1)]})
    first = event({}, "stop")
    second = first.replace(b'"index":0', b'"index":1')

    _, half = read(b"data: " + two + b"\n\n" + first)
    _, whole = read(b"data: " + two + b"\n\n" + first + second)

    assert (half.complete, whole.complete) == (False, True)


def test_one_json_object_instead_of_a_stream_is_understood() -> None:
    """Some hosts ignore ``stream``."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = orjson.dumps(
        {
            "object": "chat.completion",
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        }
    )

    chunks, reader = read(body[:20], body[20:])

    delta = chunks[0].choices[0]["delta"]
    assert delta["tool_calls"] == [{**call, "index": 0}]
    assert chunks[0].usage is not None
    assert chunks[0].usage.completion_tokens == 4
    assert reader.complete


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"error":{"message":"overloaded","code":"x"}}', Outcome.ERROR_EVENT),
        (b'{"error":{"message":"prompt is too long"}}', Outcome.CONTEXT),
        (b'{"models":[]}', Outcome.GARBAGE),
        (b'{"choices":[', Outcome.GARBAGE),
        (b'error: {"code":500,"message":"failed"}\n\n', Outcome.ERROR_EVENT),
        (b'data: {"error_type":"x","error_message":"maximum context length is 5"}\n\n', Outcome.CONTEXT),
        (b"Welcome to the guest network\n", Outcome.GARBAGE),
        (b"data: [1, 2]\n\n", Outcome.GARBAGE),
        (b'data: {"choices":["x"]}\n\n', Outcome.GARBAGE),
    ],
)
def test_what_is_no_answer_is_named(body: bytes, outcome: Outcome) -> None:
    """Errors inside a 200 and bodies of something else."""
    chunks, reader = read(body)

    assert chunks == []
    assert reader.failure is not None
    assert reader.failure.outcome is outcome


def test_a_line_without_end_is_refused() -> None:
    """Memory is bounded."""
    chunks, reader = read(b"data: ", b"x" * (LONGEST_LINE + 1))

    assert chunks == []
    assert reader.failure is not None
    assert reader.failure.outcome is Outcome.GARBAGE


def test_thinking_by_another_name_is_reasoning_content() -> None:
    """Ollama, OpenRouter and newer vLLM call it ``reasoning``, Mistral sends parts."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "4"}]

    renamed, _ = read(event({"content": "", "reasoning": "hm"}))
    parted, _ = read(event({"content": parts}))

    assert renamed[0].choices[0]["delta"] == {"content": "", "reasoning_content": "hm"}
    assert parted[0].choices[0]["delta"] == {"content": "4", "reasoning_content": "hm"}


def test_tool_calls_get_what_clients_need() -> None:
    """Index, id and arguments as text, where a host leaves them out."""
    chunks, _ = read(event({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}))

    call = chunks[0].choices[0]["delta"]["tool_calls"][0]
    assert call["index"] == 0
    assert call["id"].startswith("call_")
    assert call["function"]["arguments"] == '{"a":1}'


def test_numbers_that_are_no_json_are_borne() -> None:
    """Python hosts write ``-Infinity`` into log probabilities."""
    chunks, reader = read(
        b'data: {"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"logprob":-Infinity}]}}]}\n\n'
    )

    assert text(chunks) == "x"
    assert reader.failure is None
