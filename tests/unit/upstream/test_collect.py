"""Deltas merged into whole answers."""

from __future__ import annotations

from service.upstream.collect import Collector, Tally, has_answer, has_token
from service.upstream.interface import Chunk, Usage
from tests.unit.upstream.kit import delta


def collected(*chunks: Chunk) -> list[dict[str, object]]:
    """The choices of some chunks."""
    collector = Collector()
    for chunk in chunks:
        collector.add(chunk)
    return collector.choices()


def test_text_and_thinking_stay_apart() -> None:
    """Text and thinking are joined each by themselves."""
    choices = collected(
        delta(role="assistant"),
        delta(reasoning_content="a"),
        delta(reasoning_content="b"),
        delta(content="c"),
        delta("stop"),
    )

    assert choices == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "c", "refusal": None, "reasoning_content": "ab"},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ]


def test_streamed_arguments_are_merged_by_index() -> None:
    """Two calls whose arguments arrive in turns come out whole and in order."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{"}}
    choices = collected(
        delta(tool_calls=[first]),
        delta(tool_calls=[second]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
        delta(tool_calls=[{"index": 1, "function": {"arguments": "}"}}, {"index": 0, "function": {"arguments": "1}"}}]),
        delta("tool_calls"),
    )

    message = choices[0]["message"]
    assert message["content"] is None  # type: ignore[index]
    assert message["tool_calls"] == [  # type: ignore[index]
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_calls_without_an_index_are_told_apart_by_id() -> None:
    """Hosts that leave the index out still get two calls, not one."""
    one = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    two = {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}

    calls = collected(delta(tool_calls=[one]), delta(tool_calls=[two]))[0]["message"]["tool_calls"]  # type: ignore[index]

    assert [call["function"]["name"] for call in calls] == ["f", "g"]


def test_choices_and_logprobs_are_kept_apart_by_index() -> None:
    """With n above 1 each choice has its own text, end and logprobs."""
    logprobs = {"content": [{"token": "b"}]}
    chunks = [
        Chunk([{"index": 1, "delta": {"content": "b"}, "finish_reason": None, "logprobs": logprobs}]),
        Chunk([{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]),
        Chunk([{"index": 1, "delta": {}, "finish_reason": "length"}]),
        Chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    ]

    choices = collected(*chunks)

    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in choices] == [  # type: ignore[index]
        (0, "a", "stop"),
        (1, "b", "length"),
    ]
    assert choices[1]["logprobs"] == {"content": [{"token": "b"}]}


def test_refusal_is_an_answer_and_thinking_is_only_a_token() -> None:
    """What begins an answer and what does not."""
    refusal, thinking, role = delta(refusal="no"), delta(reasoning_content="hm"), delta(role="assistant", content="")

    assert has_answer(refusal)
    assert has_token(thinking)
    assert not has_answer(thinking)
    assert not has_token(role)


def test_tokens_are_estimated_where_the_host_counts_none() -> None:
    """Four characters a token without usage, the host's count with it."""
    tally = Tally()
    tally.add(delta(content="123456789"))
    estimated = tally.completion_tokens
    tally.add(Chunk(usage=Usage(1, 2)))

    assert estimated == 3
    assert tally.completion_tokens == 2
