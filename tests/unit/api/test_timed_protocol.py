"""The protocol's short ways, beside uvicorn's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from service.api.timed_protocol import TimedProtocol, timed
from service.api.whole import WholeAnswer

REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
CLOSING = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
PLAIN = {"x-autotier-tier": "coding", "x-autotier-cache": "off"}


class Written(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.calls = 0
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.data += bytes(data)
        self.calls += 1

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def connected(app: ASGIApp, *, header_s: float = 10.0, idle_s: float = 5.0) -> tuple[TimedProtocol, Written]:
    """A protocol over ``app`` that has its connection."""
    config = uvicorn.Config(
        cast(Any, app), lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False
    )
    config.timeout_keep_alive = cast(int, idle_s)
    protocol = cast(Any, timed(header_s))(config=config, server_state=ServerState(), app_state={})
    transport = Written()
    protocol.connection_made(transport)
    return protocol, transport


async def answered(app: ASGIApp, *requests: bytes) -> Written:
    """What is written for ``requests`` that come at once."""
    protocol, transport = connected(app)
    protocol.data_received(b"".join(requests))
    for _ in range(20):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    return transport


def general(app: ASGIApp) -> ASGIApp:
    """The same application for a server without our extension."""

    async def without(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {}}, receive, send)

    return without


async def test_an_answer_at_once_is_the_one_of_two_messages() -> None:
    """The same bytes, in one call."""
    app = WholeAnswer(b'{"a":1}', PLAIN)

    short, long = await answered(app, REQUEST), await answered(general(app), REQUEST)

    assert short.data == long.data
    assert short.data.startswith(b"HTTP/1.1 200 OK\r\nx-autotier-tier: coding\r\n")
    assert (short.calls, long.calls) == (1, 2)


@pytest.mark.parametrize(
    ("headers", "requests"),
    [
        ({"x-autotier-deployment": "caf\xe9"}, (REQUEST,)),
        ({"x-autotier-deployment": "a\r\nset-cookie: b"}, (REQUEST,)),
        ({"x-autotier-deployment": "a\x00b"}, (REQUEST,)),
        ({"x-autotier-deployment": "a\tb"}, (REQUEST,)),
        (PLAIN, (CLOSING,)),
        (PLAIN, (REQUEST, REQUEST)),
    ],
)
async def test_what_is_unusual_goes_the_general_way(headers: dict[str, str], requests: tuple[bytes, ...]) -> None:
    """Bytes, checks and the end of the connection are uvicorn's."""
    app = WholeAnswer(b"{}", headers)

    short, long = await answered(app, *requests), await answered(general(app), *requests)

    assert (short.data, short.closed) == (long.data, long.closed)
    assert b"\nset-cookie" not in short.data


async def test_a_connection_that_stands_still_is_closed_and_a_used_one_is_not() -> None:
    """The limit counts from the last answer, and not while one is made."""
    going = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await going.wait()
        await WholeAnswer(b"{}", PLAIN)(scope, receive, send)

    protocol, transport = connected(slow, idle_s=0.1)
    going.set()
    protocol.data_received(REQUEST)
    await asyncio.sleep(0.05)
    going.clear()
    protocol.data_received(REQUEST)
    await asyncio.sleep(0.15)
    assert not transport.closed  # the first answer's limit is over, but the second request is at work
    going.set()
    await asyncio.sleep(0.05)
    assert not transport.closed
    await asyncio.sleep(0.15)

    assert transport.closed
    assert transport.data.count(b"200 OK") == 2


async def test_a_later_request_whose_headers_stop_is_a_408() -> None:
    """The time of headers that did not come whole begins with their first byte; whole ones set no timer."""
    protocol, transport = connected(WholeAnswer(b"{}", PLAIN), header_s=0.05)
    protocol.data_received(REQUEST)
    await asyncio.sleep(0.1)
    assert not transport.closed
    protocol.data_received(REQUEST[:20])
    await asyncio.sleep(0.1)

    assert transport.closed
    assert transport.data.partition(b"\r\n\r\n{}")[2].startswith(b"HTTP/1.1 408")


async def test_empty_lines_before_a_request_count_as_its_headers() -> None:
    """They end uvicorn's limit for connections that stand still, so ours has to begin."""
    protocol, transport = connected(WholeAnswer(b"{}", PLAIN), header_s=0.05)
    protocol.data_received(REQUEST)
    await asyncio.sleep(0.01)
    protocol.data_received(b"\r\n")
    await asyncio.sleep(0.1)

    assert transport.closed
