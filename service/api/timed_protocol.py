"""HTTP as uvicorn reads it with httptools, and a limit for headers."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def timed(header_s: float) -> type[asyncio.Protocol]:
    """A `TimedProtocol` with that limit, for uvicorn, which makes one object per connection."""
    return type("Protocol", (TimedProtocol,), {"header_s": header_s})


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection whose request headers take too long: uvicorn has no such limit, and a client that sends a
    byte a minute would hold its connection for ever. Between requests uvicorn's own keep-alive limit holds.

    Attributes:
        header_s: Seconds from the connection, or from the first byte of a later request, to the end of its headers.
    """

    header_s: float = 10.0
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time of the first request."""
        super().connection_made(transport)
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time."""
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Starts the time of a later request on the same connection."""
        if self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_header_timer()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Ends the time."""
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
        if not self.transport.is_closing():
            self.transport.write(TOO_SLOW)
            self.transport.close()
