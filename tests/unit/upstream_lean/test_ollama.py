"""OpenAI's request in Ollama's words, and its lines back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config import Deployment
from service.upstream.interface import Call, Outcome, UpstreamFailure
from service.upstream.lean_ollama import body_of, messages_of
from service.upstream.lean_ollama_stream import OllamaReader

ASK = [{"role": "user", "content": "hi"}]


def made(body: dict[str, Any] | None = None, **deployment: Any) -> dict[str, Any]:
    """What is sent for a body."""
    keys = {"id": "d", "host": "h", "provider": "ollama", "model": "qwen3:8b", "context": 8192, **deployment}
    return body_of(Call(Deployment.model_validate(keys), "http://h", None, {"messages": ASK, **(body or {})}))


def test_the_configurations_options_stay_beside_the_requests() -> None:
    """Options of ``add`` do not wipe temperature or the context, and do not set the context."""
    options = made({"temperature": 0.1}, add={"options": {"num_batch": 64, "num_ctx": 99}})["options"]

    assert options == {"num_batch": 64, "num_ctx": 8192, "temperature": 0.1}


def test_default_penalties_are_left_out() -> None:
    """OpenAI's default 0 would take the place of the model's own; another value goes on."""
    options = made({"frequency_penalty": 0, "presence_penalty": 0.5})["options"]

    assert "frequency_penalty" not in options
    assert options["presence_penalty"] == 0.5


@pytest.mark.parametrize(
    ("effort", "model", "configured", "think"),
    [
        ("none", "qwen3:8b", None, False),
        ("minimal", "qwen3:8b", None, False),
        ("low", "qwen3:8b", None, True),
        ("high", "qwen3:8b", False, False),
        ("high", "gpt-oss:20b", None, "high"),
        (None, "qwen3:8b", True, True),
        (None, "qwen3:8b", None, None),
    ],
)
def test_effort_becomes_think(
    effort: str | None, model: str, configured: bool | None, think: bool | str | None
) -> None:
    """The configuration's word goes before the client's; only gpt-oss has levels."""
    body = made({"reasoning_effort": effort} if effort else {}, model=model, think=configured)

    assert body.get("think") == think


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/x.png"}}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{broken"}}]}]},
        {"response_format": {"type": "json_schema"}},
        {"guided_json": {}},
    ],
)
def test_what_the_protocol_cannot_say_is_refused(body: dict[str, Any]) -> None:
    """Nothing is left out in silence."""
    with pytest.raises(UpstreamFailure) as refused:
        made(body)

    assert refused.value.outcome is Outcome.BAD_REQUEST


def test_what_the_configuration_names_goes_on() -> None:
    """Options among the options, other fields at the top."""
    body = made({"top_k": 5, "shift": True}, extra_fields=("top_k", "shift"))

    assert body["options"]["top_k"] == 5
    assert body["shift"] is True


def test_a_tool_result_names_its_tool() -> None:
    """Found by the id of the call; older forms name it themselves."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    messages = messages_of(
        [
            {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "function", "name": "g", "content": "c"},
        ]
    )

    assert messages == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"function": {"name": "f", "arguments": {}}, "id": "c1"}],
        },
        {"role": "tool", "content": "a\nb", "tool_name": "f", "tool_call_id": "c1"},
        {"role": "tool", "content": "c", "tool_name": "g"},
    ]


def line(message: dict[str, Any], **more: Any) -> bytes:
    """One line of an answer."""
    return orjson.dumps({"model": "qwen3:8b", "message": message, "done": False, **more}) + b"\n"


def test_calls_are_numbered_over_the_whole_answer() -> None:
    """Each call has its own index, a lasting id and arguments as text; the finish reason is OpenAI's."""
    reader = OllamaReader()
    one = {"function": {"name": "f", "arguments": {"a": 1}}}

    chunks = reader.feed(line({"tool_calls": [one]}) + line({"tool_calls": [one]}))
    chunks += reader.feed(line({"content": ""}, done=True, done_reason="stop", eval_count=4))

    calls = [call for chunk in chunks for call in chunk.choices[0]["delta"].get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 1]
    assert calls[0]["id"] != calls[1]["id"]
    assert calls[0]["function"]["arguments"] == '{"a":1}'
    assert chunks[-1].choices[0]["finish_reason"] == "tool_calls"


def test_an_answer_is_whole_with_its_last_line_only() -> None:
    """A clean end before ``done`` is a cut."""
    reader = OllamaReader()

    reader.feed(line({"content": "a"}))
    before = reader.complete
    reader.feed(orjson.dumps({"message": {"content": ""}, "done": True}))
    reader.end()

    assert (before, reader.complete) == (False, True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "message",
                        "content",
                        "thinking",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "done",
                        "done_reason",
                        "eval_count",
                        "error",
                        "model",
                        "logprobs",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_line_breaks_the_reader(value: Any) -> None:
    """Any JSON as a line is read or refused; never an exception."""
    reader = OllamaReader()

    reader.feed(orjson.dumps(value) + b"\n")

    assert reader.failure is None or reader.failure.outcome in (Outcome.GARBAGE, Outcome.ERROR_EVENT, Outcome.CONTEXT)
