"""What a host's words and numbers mean."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest

from service.upstream.interface import Outcome
from service.upstream.lean_failures import cleaned, error_event, from_status, retry_after_s

TOO_LONG = (
    "This model's maximum context length is 128000 tokens. However, you requested 130000 tokens.",
    "This endpoint's maximum context length is 8192 tokens. However, you requested about 9000 tokens",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
    "request (14429 tokens) exceeds the available context size (8192 tokens), try increasing it",
    "Trying to keep the first 5012 tokens when context the overflows.",
    "the input length exceeds the context length",
    "prompt too long; exceeded max context length by 12 tokens",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
    "Requested tokens (2285) exceed context window of 2048",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
)


@pytest.mark.parametrize("words", TOO_LONG)
def test_every_hosts_words_for_a_long_prompt_are_known(words: str) -> None:
    """A 400 and an error inside a 200 that say so are the context's doing, not the client's."""
    body = orjson.dumps({"error": {"message": words, "type": "invalid_request_error"}})

    refused, event = from_status(400, {}, body), error_event({"message": words})

    assert (refused.outcome, event.outcome) == (Outcome.CONTEXT, Outcome.CONTEXT)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, b'{"error":{"message":"Invalid value: \'x\'","code":"invalid_value"}}', Outcome.BAD_REQUEST),
        (400, b'{"error":{"message":"max_tokens is too large: 99999"}}', Outcome.BAD_REQUEST),
        (400, b'{"error":"\\"llama3.2\\" does not support thinking"}', Outcome.BAD_REQUEST),
        (400, b'{"error":{"message":"anthropic/x is not a valid model ID","code":400}}', Outcome.MODEL_MISSING),
        (404, b'{"error":{"message":"No endpoints found for any/model.","code":404}}', Outcome.MODEL_MISSING),
        (404, b'{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)"}}', Outcome.GARBAGE),
        (404, b"404 page not found", Outcome.GARBAGE),
        (404, b'{"error":{"message":"Conversation 7 is gone"}}', Outcome.BAD_REQUEST),
        (401, b"", Outcome.UNAUTHORIZED),
        (403, b'{"error":{"message":"Your input was flagged","code":403}}', Outcome.BAD_REQUEST),
        (403, b'{"error":{"message":"Country not supported"}}', Outcome.UNAUTHORIZED),
        (408, b"", Outcome.SERVER_ERROR),
        (413, b"<html>Request Entity Too Large</html>", Outcome.CONTEXT),
        (422, b'{"error":{"message":"temperature: too high"}}', Outcome.BAD_REQUEST),
        (429, b"", Outcome.RATE_LIMITED),
        (500, b'{"error":"llama runner process has terminated"}', Outcome.SERVER_ERROR),
        (503, b"<html></html>", Outcome.SERVER_ERROR),
        (204, b"", Outcome.GARBAGE),
    ],
)
def test_a_status_and_its_words_give_an_outcome(status: int, body: bytes, outcome: Outcome) -> None:
    """Client's fault, operator's fault and host's fault are told apart."""
    failure = from_status(status, {}, body)

    assert failure.outcome is outcome
    assert failure.status == status


def test_the_hosts_message_and_code_are_kept() -> None:
    """The operator reads what the host said."""
    failure = from_status(400, {}, b'{"error":{"message":"Bad seed","code":"invalid_value"}}')

    assert (failure.detail, failure.code) == ("Bad seed", "invalid_value")


def test_keys_are_taken_out_of_the_hosts_words() -> None:
    """Neither the key that was sent nor what looks like one is shown."""
    body = b'{"error":{"message":"Incorrect key my-secret, use sk-abc123XYZ or Bearer eyJhbGci"}}'

    failure = from_status(401, {}, body, key="my-secret")

    assert not any(secret in failure.detail for secret in ("my-secret", "abc123XYZ", "eyJhbGci"))
    assert cleaned("line\nbreaks  go") == "line breaks go"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-reset-tokens": "6ms"}, 90.0),
        (
            {
                "x-ratelimit-reset-requests": "1h",
                "x-ratelimit-remaining-requests": "12",
                "x-ratelimit-reset-tokens": "250ms",
                "x-ratelimit-remaining-tokens": "0",
            },
            0.25,
        ),
        ({}, None),
    ],
)
def test_the_wait_that_a_host_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Spans in every form in use; of several limits the one that is used up counts."""
    assert retry_after_s(headers) == seconds


def test_a_wait_until_a_point_in_time_is_read() -> None:
    """A date, and OpenRouter's milliseconds since 1970."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    millis = str(int((time.time() + 60) * 1000))

    waits = retry_after_s({"Retry-After": date}), retry_after_s({"x-ratelimit-reset": millis})

    assert all(wait is not None and 50 < wait <= 60 for wait in waits)
