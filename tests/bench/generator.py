"""The load generator: one keep-alive HTTP/1.1 connection, as little of its own as can be.

A client library would cost more than the services that are measured. This one writes ready-made bytes and lets
httptools find the end of the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast

import httptools
import orjson

EVENT = b"data: "
DONE = b"data: [DONE]"


class Disconnected(ConnectionError):
    """The service closed the connection before the end of its answer."""


@dataclass(slots=True)
class Reply:
    """One answer.

    Attributes:
        status: HTTP status.
        headers: Lower-cased names.
        body: As it came, chunks joined.
        first_ms: From the first byte sent to the first byte of the body, in ms.
        total_ms: From the first byte sent to the end of the answer, in ms.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    first_ms: float = 0.0
    total_ms: float = 0.0

    @property
    def events(self) -> int:
        """Server-sent events in the body, ``[DONE]`` not counted."""
        return self.body.count(EVENT) - self.body.count(DONE)


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._reply = Reply()
        self._done: asyncio.Future[Reply] | None = None
        self._started = 0.0

    @classmethod
    async def to(cls, port: int) -> Self:
        """Connects to a port of this machine."""
        _, protocol = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return protocol

    async def ask(self, raw: bytes, *, limit_s: float = 60.0) -> Reply:
        """Sends one request and waits for the end of its answer.

        Args:
            raw: Head and body, see `request_bytes`.
            limit_s: Longest wait.

        Raises:
            Disconnected: The service hung up.
            TimeoutError: No end within ``limit_s``.
        """
        assert self._transport is not None
        if self._transport.is_closing():
            raise Disconnected("closed")
        loop = asyncio.get_running_loop()
        self._reply = Reply()
        self._parser = httptools.HttpResponseParser(self)
        done: asyncio.Future[Reply] = loop.create_future()
        self._done = done
        timer = loop.call_later(limit_s, self._too_late)
        self._started = time.perf_counter()
        self._transport.write(raw)
        try:
            return await done
        finally:
            timer.cancel()

    def close(self) -> None:
        """Hangs up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _too_late(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(TimeoutError())
        self.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio says that the connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """asyncio brings bytes."""
        if self._parser is not None:
            self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio says that the connection is gone."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(Disconnected(str(exc or "closed")))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools found a header."""
        self._reply.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """httptools found a part of the body."""
        if not self._reply.body:
            self._reply.first_ms = (time.perf_counter() - self._started) * 1000
        self._reply.body += data

    def on_message_complete(self) -> None:
        """httptools found the end."""
        reply = self._reply
        reply.total_ms = (time.perf_counter() - self._started) * 1000
        assert self._parser is not None
        reply.status = self._parser.get_status_code()
        if self._done is not None and not self._done.done():
            self._done.set_result(reply)


def request_bytes(path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """One request ready for the wire: a POST of JSON, or a GET without a body."""
    payload = b"" if body is None else orjson.dumps(body)
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload
