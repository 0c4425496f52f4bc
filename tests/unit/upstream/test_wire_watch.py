"""What is made of a response under litellm, and of its exceptions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest

from service.upstream.interface import Chunk, Outcome, UpstreamFailure
from service.upstream.lean_openai import PATH, OpenAIReader
from service.upstream.router_failures import from_exception
from service.upstream.wire_watch import WATCH, WireWatch, on_response

EVENTS = (
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
)


class Body(httpx.AsyncByteStream):
    """Pieces, then possibly an error; notes whether it was closed."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


def response(
    body: httpx.AsyncByteStream, *, status: int = 200, kind: str = "text/event-stream", path: str = "/v1" + PATH
) -> httpx.Response:
    """As the hook gets it."""
    headers = {"content-type": kind, "retry-after": "7"}
    return httpx.Response(status, headers=headers, stream=body, request=httpx.Request("POST", f"http://h{path}"))


async def hooked(given: httpx.Response, key: str | None = None) -> WireWatch:
    """The watch of a call that was answered so."""
    watch = WireWatch(PATH, key)
    token = WATCH.set(watch)
    try:
        await on_response(given)
    finally:
        WATCH.reset(token)
    return watch


async def chunks(watch: WireWatch) -> list[Chunk]:
    """All of its answer."""
    return [chunk async for batch in watch.read(OpenAIReader()) for chunk in batch]


async def test_the_answer_is_ours_and_litellm_has_another() -> None:
    """Nothing of the body passes through litellm, which finds a whole answer all the same."""
    given = response(Body(EVENTS))

    watch = await hooked(given)

    assert (await given.aread()).endswith(b"data: [DONE]\n\n")
    assert [c.choices[0]["delta"].get("content") for c in await chunks(watch)] == ["a", None]


async def test_an_address_of_another_protocol_stays_litellms() -> None:
    """Its body is not touched."""
    given = response(Body(b"what only litellm can read"), path="/v1/messages")

    watch = await hooked(given)

    assert watch.answer is None
    assert await given.aread() == b"what only litellm can read"


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (Body(), Outcome.EMPTY),
        (Body(EVENTS[:90]), Outcome.CUT),
        (Body(EVENTS[:60], error=httpx.ReadError("reset")), Outcome.CUT),
        (Body(b"not events\n"), Outcome.GARBAGE),
    ],
)
async def test_what_is_no_whole_answer(body: Body, outcome: Outcome) -> None:
    """It is a failure, and the connection is closed."""
    watch = await hooked(response(body))

    with pytest.raises(UpstreamFailure) as failed:
        await chunks(watch)

    assert failed.value.outcome is outcome
    assert body.closed


async def test_a_reset_after_the_finish_reason_is_no_cut() -> None:
    """The answer is whole; only the connection is not."""
    watch = await hooked(response(Body(EVENTS, error=httpx.ReadError("reset"))))

    assert len(await chunks(watch)) == 2


async def test_what_follows_the_end_is_read_so_that_the_connection_can_be_kept() -> None:
    """A body that is not read to its end costs a new connection."""
    body = Body(EVENTS + b"data: [DONE]\n\n", b"\n")

    await chunks(await hooked(response(body)))

    assert body.taken == 2


async def test_page_is_garbage_by_its_type() -> None:
    """HTML is told by the header before a byte of it is read."""
    body = Body(b"<!DOCTYPE html>")

    with pytest.raises(UpstreamFailure) as failed:
        await hooked(response(body, kind="text/html"))

    assert (failed.value.outcome, body.taken) == (Outcome.GARBAGE, 0)


async def test_an_endless_error_is_not_waited_for() -> None:
    """Its beginning says what is wrong."""
    body = Body(*[b"x" * 8192] * 8)

    with pytest.raises(UpstreamFailure):
        await hooked(response(body, status=500))

    assert body.taken == 2


async def test_status_speaks_before_the_exception() -> None:
    """What the host said counts, not what litellm makes of it; the key is taken out of it."""
    body = Body(b'{"error":{"message":"slow down, my-secret","code":"rate_limit_exceeded"}}')
    watch = WireWatch(PATH, "my-secret")
    with pytest.raises(UpstreamFailure):
        await watch.begin(response(body, status=429))

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
    failure = from_exception(error, WireWatch(PATH, None), key=None)

    assert failure.outcome is outcome
    assert "advice" not in failure.detail


def test_what_lies_under_the_exception_is_told_as_over_the_lean_way() -> None:
    """litellm's own words name the host's address, and clients may see them."""
    error = APIConnectionError("litellm.APIConnectionError: Cannot connect to host mini.local:11434")
    error.__cause__ = aiohttp.ServerDisconnectedError()

    failure = from_exception(error, WireWatch(PATH, None), key=None)

    assert (failure.outcome, failure.detail) == (Outcome.CONNECT, "ServerDisconnectedError: Server disconnected")
