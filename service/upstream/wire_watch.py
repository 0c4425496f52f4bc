"""Sees what a host really sent below litellm, because litellm hides failures, and takes answers that we can read.

Measured (pinned for the release in use by tests/contract/upstream): an empty 200 and an HTML 200 come back as
successful answers, a broken NDJSON line is skipped in silence, an error inside a 200 becomes a 400, usage and model
name are made up; an answer in one JSON object loses its text. A response hook on the one HTTP client that we give to
litellm looks at status and headers. An answer in OpenAI's or Ollama's protocol is taken from under litellm, for the
lean way's readers; litellm, which looks at the first event before it gives a stream out, is left with a stand-in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import ContextVar

import aiohttp
import httpx

from service.upstream import lean_ollama, lean_openai
from service.upstream.interface import Chunk, Outcome, UpstreamFailure
from service.upstream.lean_failures import cleaned, cut, from_status, garbage
from service.upstream.lean_lines import AFTER_END_S, LineReader

_KEPT_OF_ERROR = 16 * 1024
_BROKEN = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)

_STAND_INS = {
    lean_openai.PATH: b'data: {"id":"-","object":"chat.completion.chunk","created":0,"model":"-","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"-"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    lean_ollama.PATH: b'{"model":"-","created_at":"2025-01-01T00:00:00Z","message":{"role":"assistant","content":"-"},'
    b'"done":true,"done_reason":"stop","prompt_eval_count":1,"eval_count":1}\n',
}
"""By the end of the address: an answer that litellm finds nothing wrong with."""


class WireWatch:
    """What came of one call.

    Args:
        path: Where an address of the protocol that we can read ends, `_STAND_INS` has it.
        key: The host's key in clear, to take it out of the host's words.

    Attributes:
        status: HTTP status, None until the headers came.
        failure: What an answer that is none means; None where it is one.
        answer: A 200 in our protocol, its body unread.
    """

    __slots__ = ("_key", "_path", "answer", "failure", "status")

    def __init__(self, path: str, key: str | None) -> None:
        self._path = path
        self._key = key
        self.status: int | None = None
        self.failure: UpstreamFailure | None = None
        self.answer: httpx.Response | None = None

    async def begin(self, response: httpx.Response) -> None:
        """Takes the headers in.

        Raises:
            UpstreamFailure: It is no answer; also in ``failure``, since litellm makes an error of its own of it.
        """
        self.status = response.status_code
        kind = response.headers.get("content-type", "")
        if response.status_code != 200:
            body = await _beginning(response)
            self.failure = from_status(response.status_code, response.headers, body, key=self._key)
        elif "html" in kind:
            self.failure = garbage(f"content type {kind}")
        elif response.url.path.endswith(self._path):
            self._take(response)
        if self.failure is not None:
            raise self.failure

    def _take(self, response: httpx.Response) -> None:
        self.answer = httpx.Response(200, headers=response.headers, stream=response.stream, request=response.request)
        for name in ("content-encoding", "content-length", "transfer-encoding"):
            response.headers.pop(name, None)
        response.stream = _StandIn(_STAND_INS[self._path])

    async def read(self, reader: LineReader) -> AsyncGenerator[list[Chunk], None]:
        """The answer's chunks. One batch per read from the network; closing it closes the connection.

        Raises:
            UpstreamFailure: As `Way.stream`.
        """
        assert self.answer is not None
        body = self.answer.aiter_bytes()
        try:
            try:
                async for data in body:
                    batch = reader.feed(data)
                    if batch:
                        yield batch
                    if reader.failure is not None:
                        raise reader.failure
                    if reader.done:
                        await _until_end(body)
                        return
            except _BROKEN as error:
                if reader.complete:
                    return
                raise cut(cleaned(f"{type(error).__name__}: {error}", self._key)) from None
            batch = reader.end()
            if batch:
                yield batch
            failure = reader.failure or _missing(reader)
            if failure is not None:
                raise failure
        finally:
            await self.close()

    async def close(self) -> None:
        """Closes the connection, unless its answer is at its end: then it can be used again."""
        if self.answer is not None:
            await self.answer.aclose()


def _missing(reader: LineReader) -> UpstreamFailure | None:
    """Why a body that has ended is no whole answer, or None where it is one."""
    if reader.complete:
        return None
    return cut() if reader.received else UpstreamFailure(Outcome.EMPTY, "a 200 without a body", status=200)


class _StandIn(httpx.AsyncByteStream):
    """A body that is there."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


async def _until_end(body: AsyncIterator[bytes]) -> None:
    """Reads up to the end of the body, which as a rule is there already or comes at once."""
    try:
        async with asyncio.timeout(AFTER_END_S):
            async for _ in body:
                pass
    except (TimeoutError, *_BROKEN):
        pass  # the answer is whole; the connection is closed instead of kept


async def _beginning(response: httpx.Response) -> bytes:
    """The first bytes of an answer that is no 200; the rest is not waited for."""
    body = b""
    try:
        async for data in response.aiter_bytes():
            body += data
            if len(body) >= _KEPT_OF_ERROR:
                break
    except _BROKEN:
        pass  # what came will do
    return body[:_KEPT_OF_ERROR]


WATCH: ContextVar[WireWatch | None] = ContextVar("autotier_wire_watch", default=None)
"""Set around a call into litellm; the client's hook finds it in the context of the task that sends."""


async def on_response(response: httpx.Response) -> None:
    """Response hook of httpx: shows a watched call's response to its watch."""
    watch = WATCH.get()
    if watch is not None:
        await watch.begin(response)
