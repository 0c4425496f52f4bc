"""OpenAI's wire forms of an answer."""

from __future__ import annotations

import uuid

import orjson

from service.api.exchange import new_digits
from service.api.wire import Envelope, completion, error_event, event, usage_event
from service.errors import DeploymentsFailed, TooManyRequests, error_body
from service.upstream.interface import Chunk, Usage

PLAIN = Envelope("chatcmpl-1", 5, "coding-local", include_usage=False)
COUNTED = Envelope("chatcmpl-1", 5, "coding-local", include_usage=True)
CHUNK = Chunk(choices=[{"index": 0, "delta": {"content": "é"}, "finish_reason": None}])


def data_of(raw: bytes) -> dict[str, object]:
    """The JSON of one event."""
    assert raw.startswith(b"data: ")
    assert raw.endswith(b"\n\n")
    parsed: dict[str, object] = orjson.loads(raw[6:])
    return parsed


def test_a_chunk_has_the_envelope_and_usage_null_only_where_usage_was_asked_for() -> None:
    """The shape of OpenAI's chat.completion.chunk."""
    plain, counted = data_of(event(CHUNK, PLAIN)), data_of(event(CHUNK, COUNTED))

    assert plain == {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "coding-local",
        "choices": CHUNK.choices,
    }  # fmt: skip
    assert counted == {**plain, "usage": None}


def test_the_usage_chunk_has_no_choices_and_says_what_only_the_end_knows() -> None:
    """Tokens, cached and thinking ones apart, and ours beside them."""
    shown = data_of(usage_event(Usage(10, 7, reasoning_tokens=3, cached_tokens=4), COUNTED, {"attempts": 2}))

    assert shown["choices"] == []
    assert shown["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert shown["autotier"] == {"attempts": 2}


def test_a_whole_answer_names_its_deployment_as_model() -> None:
    """The body's model is the deployment that served."""
    body = orjson.loads(completion([{"index": 0}], Usage(1, 2), PLAIN, "fp_1"))

    assert (body["object"], body["model"], body["system_fingerprint"]) == ("chat.completion", "coding-local", "fp_1")


def test_errors_have_openais_shape_and_name_their_attempts() -> None:
    """message, type, param, code; attempts only where there were any."""
    failed = DeploymentsFailed("all failed", attempts=[{"deployment": "a", "outcome": "cut", "ms": 1.0}])

    assert data_of(error_event(failed)) == error_body(failed)
    assert error_body(failed)["error"]["attempts"] == [{"deployment": "a", "outcome": "cut", "ms": 1.0}]
    assert error_body(TooManyRequests("slower", param=None)) == {
        "error": {"message": "slower", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    }


def test_ids_are_version_7_uuids_in_order_of_time() -> None:
    """Digits of a decision sort by the millisecond in which it was made, and do not repeat."""
    made = [new_digits() for _ in range(500)]

    assert len(set(made)) == 500
    assert all((uuid.UUID(d).version, uuid.UUID(d).variant) == (7, uuid.RFC_4122) for d in made)
    assert [d[:12] for d in made] == sorted(d[:12] for d in made)
