"""What the watch makes of bytes, in whatever pieces they come."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.upstream.interface import Outcome, Usage
from service.upstream.router_failures import ended_early, from_exception, from_watch
from service.upstream.wire_watch import WireWatch

NDJSON = (
    b'{"model":"m","message":{"role":"assistant","content":"a"},"done":false}\n'
    b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"prompt_eval_count":5,"eval_count":2}\n'
)
SSE = (
    b": a comment\n\n"
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
    b"data: [DONE]\n\n"
)


def watched(
    protocol: Literal["ndjson", "sse"], *pieces: bytes, status: int = 200, kind: str = "application/json"
) -> WireWatch:
    """A watch that has seen a whole answer."""
    watch = WireWatch(protocol)
    watch.begin(httpx.Response(status, headers={"content-type": kind, "retry-after": "7"}))
    for piece in pieces:
        watch.feed(piece)
    watch.end()
    return watch


@given(st.sampled_from([("ndjson", NDJSON), ("sse", SSE)]), st.lists(st.integers(0, 400), max_size=8))
def test_pieces_do_not_matter(answer: tuple[Literal["ndjson", "sse"], bytes], cuts: list[int]) -> None:
    """Wherever the network cuts, the same is seen."""
    protocol, body = answer
    places = sorted({0, len(body), *(c for c in cuts if c < len(body))})

    watch = watched(protocol, *(body[a:b] for a, b in pairwise(places)))

    assert watch.done
    assert watch.served_model == "m"
    assert watch.usage == Usage(5, 2, 0, 4 if protocol == "sse" else 0)
    assert ended_early(watch, key=None) is None


@pytest.mark.parametrize(
    ("protocol", "body", "outcome"),
    [
        ("ndjson", b"", Outcome.EMPTY),
        ("ndjson", NDJSON.splitlines(keepends=True)[0], Outcome.CUT),
        ("ndjson", b'{"mod\n' + NDJSON, Outcome.GARBAGE),
        ("ndjson", b'{"error":"boom"}\n', Outcome.ERROR_EVENT),
        ("ndjson", b'{"error":"the input length exceeds the context length"}\n', Outcome.CONTEXT),
        ("ndjson", b"<!DOCTYPE html><p>log in", Outcome.GARBAGE),
        ("sse", SSE[:100], Outcome.GARBAGE),
        ("sse", SSE.split(b"data: [DONE]")[0], Outcome.CUT),
        ("sse", b'data: {"error":{"message":"boom"}}\n\n', Outcome.ERROR_EVENT),
        ("sse", b'{"error":{"message":"boom"}}', Outcome.ERROR_EVENT),
    ],
)
def test_what_is_no_whole_answer(protocol: Literal["ndjson", "sse"], body: bytes, outcome: Outcome) -> None:
    """Each way in which a 200 can be none."""
    failure = ended_early(watched(protocol, body), key=None)

    assert failure is not None
    assert failure.outcome is outcome


def test_finish_reason_is_an_end_for_hosts_without_done() -> None:
    """Some hosts never send [DONE]."""
    body = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'

    assert ended_early(watched("sse", body), key=None) is None


def test_page_is_garbage_by_its_type() -> None:
    """HTML is told by the header before a byte of it is read."""
    failure = from_watch(watched("ndjson", kind="text/html"), key=None)

    assert failure is not None
    assert failure.outcome is Outcome.GARBAGE


def test_status_speaks_before_the_exception() -> None:
    """What the host said counts, not what litellm makes of it; the key is taken out of it."""
    body = b'{"error":{"message":"slow down, my-secret","code":"rate_limit_exceeded"}}'
    watch = watched("sse", body, status=429)

    failure = from_exception(RuntimeError("litellm.Whatever"), watch, key="my-secret")

    assert failure.outcome is Outcome.RATE_LIMITED
    assert (failure.status, failure.code, failure.retry_after_s) == (429, "rate_limit_exceeded", 7.0)
    assert failure.detail == "slow down, ***"


class APIConnectionError(Exception):
    """Named as litellm's."""


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (APIConnectionError("litellm.APIConnectionError: Cannot connect\nadvice"), Outcome.CONNECT),
        (RuntimeError("what?"), Outcome.SERVER_ERROR),
    ],
)
def test_exception_speaks_where_nothing_was_seen(error: Exception, outcome: Outcome) -> None:
    """For providers that are not watched, and connections that were never made."""
    failure = from_exception(error, WireWatch("sse"), key=None)

    assert failure.outcome is outcome
    assert "advice" not in failure.detail
