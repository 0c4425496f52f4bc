"""HTTP as uvicorn reads it with httptools, limits for headers, and fewer steps for the requests that are nearly all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.whole import AT_ONCE
from service.in_time import TICK_S

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

    A timer costs more than most steps of a request: one is set for headers that did not come whole, and one for each
    time that a connection has stood still, not for each request.

    Attributes:
        header_s: Seconds from the connection, or from the first byte of a later request, to the end of its headers.
    """

    header_s: float = 10.0
    _header_timer: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0
    _head_ended = False
    _idle_until = math.inf
    _extensions: dict[str, dict[object, object]]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time of the first request."""
        super().connection_made(transport)
        self._extensions = {AT_ONCE: {"answer": self.answer_at_once}}
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the times."""
        self._extensions.clear()  # they lead back here
        self._stop_header_timer()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what comes before headers end; starts the time of a later request whose headers did not come whole."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(TOO_LARGE)
                return
        self._head_ended = False
        super().data_received(data)
        if self._head_ended or self._header_timer is not None:
            return
        if self.cycle is None or self.cycle.response_complete:
            self._start_header_timer()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()
        self.scope["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        """Ends the time."""
        self._in_head, self._head_ended = False, True
        self._stop_header_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's; the timer of a connection that stands still goes on from one answer to the next."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_until = self.loop.time() + self.timeout_keep_alive
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_at(self._idle_until, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Closes a connection that has stood still for so long; comes again where it has not."""
        self.timeout_keep_alive_task = None
        if self._idle_until <= self.loop.time() + TICK_S:
            super().timeout_keep_alive_handler()
        elif self._idle_until < math.inf:
            self.timeout_keep_alive_task = self.loop.call_at(self._idle_until, self.timeout_keep_alive_handler)

    def answer_at_once(self, scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
        """Writes a whole answer of status 200 in JSON, as two messages of ASGI would.

        Args:
            scope: The request's.
            headers: Further ones, names in lower case.
            body: The whole of it.

        Returns:
            False: nothing was done, because something about the connection or the headers is unusual.
        """
        cycle, values = self.cycle, "".join(headers.values())
        if (
            cycle.scope is not scope  # a later request is here already
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or cycle.default_headers
            or self.flow.write_paused
            or not (values.isascii() and values.isprintable())
        ):
            return False
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"HTTP/1.1 200 OK\r\n{lines}content-length: {len(body)}\r\ncontent-type: application/json\r\n\r\n"
        self.transport.writelines((head.encode(), body))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        self.on_response_complete()
        return True

    def _unset_keepalive_if_required(self) -> None:
        self._idle_until = math.inf

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
