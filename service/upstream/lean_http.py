"""One HTTP/1.1 connection of the lean way: ready-made bytes out, an answer read as it comes in.

A general client takes 0.1 to 0.2 ms of CPU more a request, for what none of our hosts needs: cookies, redirects, forms,
limits in time of its own (``python -m tests.bench.lean_way``). This one knows one kind of request. What it does not do
(proxies, large bodies) goes through aiohttp (`service.upstream.lean_way`).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import cast

import httptools
from multidict import CIMultiDict

from service.upstream.lean_failures import Disconnected, NotHTTP

MOST_HEAD_BYTES = 256 * 1024
"""Of an answer's status line and headers."""

MOST_WAITING_BYTES = 256 * 1024
"""Of a body that nobody reads; then the host has to wait."""

MOST_INFLATED = 16 * 1024 * 1024
"""Bytes that one piece of a compressed body may become: hosts are asked not to compress, some do all the same."""

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Response:
    """One answer, read as it comes.

    Attributes:
        status: HTTP status.
    """

    __slots__ = ("_connection", "_ended", "_error", "_headers", "_inflate", "_pieces", "_waiter", "_waiting", "status")

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self._connection = connection
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._inflate: zlib._Decompress | None = None

    @property
    def headers(self) -> CIMultiDict[str]:
        """As the host sent them; of those that came twice the first."""
        return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers.items())

    @property
    def content_type(self) -> str:
        """Of the body, in lower case; "" where the host does not say."""
        return self._headers.get(b"content-type", b"").decode("latin-1").lower()

    @property
    def content(self) -> Response:
        """The body, to be read (as aiohttp has it)."""
        return self

    def at_eof(self) -> bool:
        """Whether the body has ended and everything of it was read."""
        return self._ended and not self._pieces

    async def begun(self) -> None:
        """Returns when status and headers are there.

        Raises:
            Disconnected: The host closed the connection instead.
            NotHTTP: It sent something else.
        """
        if not self.status:
            await self._news()
        if not self.status and self._error is not None:
            raise self._error

    async def readany(self) -> bytes:
        """What has come of the body since the last call, at least a byte; nothing at its end.

        Raises:
            Disconnected: It will never be whole. What came before is given first.
            NotHTTP: As `begun`.
        """
        if not self._pieces and not self._ended and self._error is None:
            await self._news()
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if self._waiting > MOST_WAITING_BYTES:
                self._connection.resume()
            self._waiting = 0
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._error is not None:
            raise self._error
        return b""

    def close(self) -> None:
        """Closes the connection unless the body has ended: then somebody else may have it already."""
        if not self._ended:
            self._ended = True
            self._connection.abort()

    async def _news(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the connection finds.

    def head(self, status: int) -> bool:
        """The headers are complete. Returns whether the body says itself where it ends."""
        names = self._headers
        if names.get(b"content-encoding", b"identity").lower() in (b"gzip", b"deflate", b"x-gzip"):
            self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self.status = status
        self._wake()
        return b"content-length" in names or b"transfer-encoding" in names or status in (204, 304)

    def add(self, data: bytes) -> bool:
        """A piece of the body. Returns whether the host may go on at once."""
        if self._inflate is not None:
            try:
                data = self._inflate.decompress(data, MOST_INFLATED)
            except zlib.error as error:
                self.fail(NotHTTP(f"a body that is not compressed as it says: {error}"))
                return True
            if self._inflate.unconsumed_tail:
                self.fail(NotHTTP("a piece of a compressed body that becomes more than 16 MB"))
                return True
        if data:
            self._pieces.append(data)
            self._waiting += len(data)
            self._wake()
        return self._waiting <= MOST_WAITING_BYTES

    def end(self) -> None:
        """The body has ended."""
        self._ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """It will not end."""
        if not self._ended and self._error is None:
            self._error = error
            self._wake()


class Connection(asyncio.Protocol):
    """One connection; one request at a time.

    Args:
        released: Called once per request: it can take another one (True), or is gone (False).

    Attributes:
        idle_since_s: When it became free, in seconds of the loop's clock.
    """

    def __init__(self, released: Callable[[Connection, bool], None]) -> None:
        self.idle_since_s = 0.0
        self._released = released
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._head_bytes = 0
        self._until_close = False
        self._is_stray = False
        self._parser = httptools.HttpResponseParser(self)
        # As aiohttp bears it: what strict readers refuse is sent by hosts that people run.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent: free, and not known to be closed."""
        return self._response is None and self._transport is not None and not self._transport.is_closing()

    def send(self, data: bytes) -> Response:
        """Sends one request, whose answer is then to be read or closed."""
        assert self._transport is not None
        response = self._response = Response(self)
        self._head_bytes, self._until_close = 0, False
        self._transport.write(data)
        return response

    def abort(self) -> None:
        """Hangs up at once."""
        if self._transport is not None:
            self._transport.abort()
        self._over(usable=False)

    def give_up(self) -> None:
        """Hangs up at once, and says so to whoever reads."""
        self._fail(Disconnected("the service closed the connection", unanswered=False))

    def resume(self) -> None:
        """The body is read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _over(self, *, usable: bool) -> None:
        response, self._response = self._response, None
        if response is not None:
            self._released(self, usable)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio says that the connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """asyncio brings bytes."""
        response = self._response
        if response is None:
            self.abort()  # an answer that nobody has asked for
            return
        if not response.status:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._fail(NotHTTP("headers that do not end"))
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(NotHTTP(f"{type(error).__name__}: {error}"))
        if self._is_stray:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio says that the connection is gone."""
        response = self._response
        if response is None:
            return
        if self._until_close and exc is None:
            response.end()
        else:
            words = "the host closed the connection" if exc is None else f"{type(exc).__name__}"
            response.fail(Disconnected(words, unanswered=self._head_bytes == 0))
        self._over(usable=False)

    def _fail(self, error: Exception) -> None:
        response = self._response
        if response is not None:
            response.fail(error)
        self.abort()

    # httptools

    def on_message_begin(self) -> None:
        """httptools found the beginning of an answer: one that nobody has asked for could be taken for the next."""
        self._is_stray = self._response is None

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools found a header."""
        if self._response is not None:
            self._response._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """httptools found the end of the headers."""
        response, status = self._response, self._parser.get_status_code()
        if response is None:
            return
        if status < 200:  # an interim answer; the one that counts follows
            response._headers.clear()
            return
        self._until_close = not response.head(status)

    def on_body(self, data: bytes) -> None:
        """httptools found a piece of the body."""
        if self._response is not None and not self._response.add(data) and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """httptools found the end of the answer."""
        response = self._response
        if response is None or not response.status:  # the end of an interim answer
            return
        keeps = self._parser.should_keep_alive() and self._transport is not None and not self._transport.is_closing()
        response.end()
        if response._waiting > MOST_WAITING_BYTES:
            self.resume()
        self._over(usable=keeps)
        if not keeps and self._transport is not None:
            self._transport.close()
