"""The lean way upstream: hosts that speak OpenAI's or Ollama's protocol themselves, over connections that are kept.

Measured (tests/bench/lean_way.py), litellm's Router takes 9 to 14 ms of CPU for what takes 0.12 here.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from service.upstream import lean_ollama, lean_openai
from service.upstream.interface import Call, Chunk, Outcome, UpstreamFailure, WayName
from service.upstream.lean_failures import NotHTTP, cleaned, cut, from_connection, from_status, garbage
from service.upstream.lean_lines import AFTER_END_S, LineReader
from service.upstream.lean_ollama_stream import OllamaReader
from service.upstream.lean_openai import OpenAIReader
from service.upstream.lean_session import CONNECTED_ANEW, Target, open_session, ssl_context, target
from service.upstream.refused_fields import RefusedFields
from service.upstream.think_tags import tags_of

_HAS_PARSER = find_spec("httptools") is not None
"""Not on Windows: there aiohttp does it all."""

if TYPE_CHECKING or _HAS_PARSER:
    from service.upstream.lean_http import Response
    from service.upstream.lean_pool import Pool

_KEPT_OF_ERROR = 16 * 1024
_LARGE = 256 * 1024
"""Characters of messages from which the body is written in a thread: 1 MB takes about 2 ms."""

_LARGE_WRITE = 512 * 1024
"""Bytes from which a body goes to the socket in pieces, which aiohttp sees to."""


_DISCONNECTED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError)


class LeanWay:
    """Implements `service.upstream.interface.Way` for the providers ``openai`` and ``ollama``.

    Args:
        at_home: Ids of the deployments in the house, whose hosts may leave thinking in the text.
    """

    name: WayName = "lean"

    def __init__(self, at_home: Collection[str] = ()) -> None:
        self._at_home = at_home
        self._session: aiohttp.ClientSession | None = None
        self._pool: Pool | None = None
        self._targets: dict[tuple[str, str | None], Target] = {}
        self._refused = RefusedFields()

    async def stream(self, call: Call) -> AsyncIterator[list[Chunk]]:
        """See `Way.stream`. One batch per read from the network."""
        native = call.deployment.provider != "openai"
        response = await self._response(call, native=native)
        tags = tags_of(call, self._at_home)
        reader: LineReader = OllamaReader(tags) if native else OpenAIReader(tags)
        try:
            read = response.content.readany
            while not reader.done:
                try:
                    data = await read()
                except (aiohttp.ClientError, OSError, NotHTTP) as error:
                    if reader.complete:
                        return
                    raise cut(cleaned(f"{type(error).__name__}: {error}", call.key)) from None
                batch = reader.feed(data) if data else reader.end()
                if batch:
                    yield batch
                if reader.failure is not None:
                    raise reader.failure
                if not data:
                    break
            if reader.done:
                await _until_end(response)
            elif not reader.received:
                raise UpstreamFailure(Outcome.EMPTY, "a 200 without a body", status=200)
            elif not reader.complete:
                raise cut()
        finally:
            response.close()  # nothing happens where the body has ended: the connection is back in the pool

    async def close(self) -> None:
        """Closes pooled connections."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _response(self, call: Call, *, native: bool) -> aiohttp.ClientResponse | Response:
        """The host's 200, its body unread.

        Raises:
            UpstreamFailure: Anything else.
        """
        left_out = self._refused.of(call)
        body = await _encoded(call, left_out, native=native)
        try:
            where = self._target(call, lean_ollama.PATH if native else lean_openai.PATH)
        except ValueError as error:
            raise UpstreamFailure(Outcome.CONNECT, str(error)) from None
        response = await self._sent(where, body, call)
        if response.status == 200:
            kind = response.content_type
            if "html" in kind:
                response.close()
                raise garbage(f"content type {kind}")
            return response
        failure = from_status(response.status, response.headers, await _beginning(response), key=call.key)
        if self._refused.learn(call, left_out, failure):
            return await self._response(call, native=native)
        raise failure

    async def _sent(self, where: Target, body: bytes, call: Call) -> aiohttp.ClientResponse | Response:
        """Sends over a connection of ours where it can, else over one of aiohttp's."""
        if where.origin is None or len(body) >= _LARGE_WRITE or not _HAS_PARSER:
            return await self._sent_by_session(where, body, call)
        try:
            return await self._opened_pool().post(where.origin, b"%s%d\r\n\r\n%s" % (where.head, len(body), body))
        except (OSError, NotHTTP) as error:
            raise from_connection(error, key=call.key) from None

    async def _sent_by_session(self, where: Target, body: bytes, call: Call) -> aiohttp.ClientResponse:
        """Sends, and again where a pooled connection turns out to be closed by the host meanwhile.

        aiohttp does the latter for GET only. It ends: each try takes one connection out of the pool.
        """
        session = self._opened()
        while True:
            made: list[bool] = []
            token = CONNECTED_ANEW.set(made)
            try:
                return await session.post(
                    where.url,
                    data=body if len(body) < _LARGE_WRITE else io.BytesIO(body),
                    headers=where.headers,
                    proxy=where.proxy,
                    allow_redirects=False,
                )
            except _DISCONNECTED as error:
                if made:
                    raise from_connection(error, key=call.key) from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise from_connection(error, key=call.key) from None
            finally:
                CONNECTED_ANEW.reset(token)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = open_session(_certificates())
        return self._session

    def _opened_pool(self) -> Pool:
        if self._pool is None:
            self._pool = Pool(_certificates())
        return self._pool

    def _target(self, call: Call, path: str) -> Target:
        known = self._targets.get((call.address, call.key))
        if known is None:
            known = self._targets[call.address, call.key] = target(call.address + path, call.key)
        return known


def _certificates() -> ssl.SSLContext | None:
    try:
        return ssl_context()
    except OSError as error:
        raise UpstreamFailure(Outcome.CONNECT, f"certificates named in the environment: {error}") from None


async def _encoded(call: Call, left_out: frozenset[str], *, native: bool) -> bytes:
    """The body in JSON.

    Raises:
        UpstreamFailure: ``BAD_REQUEST``, it cannot be expressed.
    """
    body: Mapping[str, Any] = lean_ollama.body_of(call, left_out) if native else lean_openai.body_of(call, left_out)
    try:
        if _size(call.body.get("messages") or ()) > _LARGE:
            return await asyncio.to_thread(orjson.dumps, body)
        return orjson.dumps(body)
    except TypeError as error:  # half a surrogate pair, an integer beyond 64 bits
        raise UpstreamFailure(Outcome.BAD_REQUEST, f"the body cannot be written as JSON: {error}") from None


def _size(messages: Any) -> int:
    """Characters of the messages, about."""
    size = 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            size += len(content)
        elif isinstance(content, list):
            for part in content:
                image = part.get("image_url") if isinstance(part, dict) else None
                url = image.get("url") if isinstance(image, dict) else None
                size += len(url) if isinstance(url, str) else 1000
    return size


async def _beginning(response: aiohttp.ClientResponse | Response) -> bytes:
    """The first bytes of an answer that is no 200; the rest is not waited for."""
    body = b""
    try:
        while len(body) < _KEPT_OF_ERROR:
            data = await response.content.readany()
            if not data:
                break
            body += data
    except (aiohttp.ClientError, OSError, NotHTTP):
        pass  # what came will do
    finally:
        response.close()
    return body[:_KEPT_OF_ERROR]


async def _until_end(response: aiohttp.ClientResponse | Response) -> None:
    """Reads up to the end of the body, which as a rule is there already or comes at once."""
    if response.content.at_eof():
        return
    try:
        async with asyncio.timeout(AFTER_END_S):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError, NotHTTP):
        pass  # the answer is whole; the connection is closed instead of kept
