"""HTTP as uvicorn reads it with httptools, and limits for headers."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
MOST_HEAD_BYTES = 262_144
"""Bytes of a request's line and headers, up to one network read more. Clients send a few thousand."""


def timed(header_s: float) -> type[asyncio.Protocol]:
    """A `TimedProtocol` with that limit, for uvicorn, which makes one object per connection."""
    return type("Protocol", (TimedProtocol,), {"header_s": header_s})


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection whose request headers take too long, or are too many.

    uvicorn has no such limits with httptools: a client that sends a byte a minute would hold its connection for ever,
    and one that never ends its headers would fill the memory. Between requests uvicorn's own keep-alive limit holds.

    Attributes:
        header_s: Seconds from the connection, or from the first byte of a later request, to the end of its headers.
    """

    header_s: float = 10.0
    _header_timer: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time of the first request."""
        super().connection_made(transport)
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time."""
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Starts the time of a later request on the same connection; counts what comes before its headers end."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(TOO_LARGE)
                return
        if self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_header_timer()
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Ends the time."""
        self._in_head = False
        self._stop_header_timer()
        super().on_headers_complete()

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self.header_s, self._too_slow)

    def _stop_header_timer(self) -> None:
        timer, self._header_timer = self._header_timer, None
        if timer is not None:
            timer.cancel()

    def _too_slow(self) -> None:
        self._header_timer = None
        self._refuse(TOO_SLOW)

    def _refuse(self, answer: bytes) -> None:
        self._stop_header_timer()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
