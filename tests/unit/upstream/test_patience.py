"""A late event loop takes no host for away: limits count only time in which the loop was on time."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.config import Limits
from service.upstream.patience import within
from service.upstream.preflight import Endpoint, Preflight, Unreachable
from tests.unit.upstream.kit import closed_port


@asynccontextmanager
async def late_loop(stall_s: float) -> AsyncIterator[None]:
    """Something blocks the loop again and again, for ``stall_s`` at each of its turns."""

    async def block() -> None:
        while True:
            time.sleep(stall_s)  # what this is about
            await asyncio.sleep(0)

    blocking = asyncio.create_task(block())
    try:
        yield
    finally:
        blocking.cancel()
        await asyncio.gather(blocking, return_exceptions=True)


@contextmanager
def ollama() -> Iterator[str]:
    """A host in threads of its own, which answers /api/ps at once however late our loop is."""

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"models": []}')

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def black_hole() -> Iterator[str]:
    """A port that leaves connection attempts without any answer: a full queue of backlog 0 (Linux)."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            for filler in fillers:
                filler.close()


@pytest.fixture
async def preflight() -> AsyncIterator[Preflight]:
    """With the limits as shipped, but one for /api/ps that the stalls go beyond."""
    made = Preflight(Limits(host_status_ms=300, host_status_remember_s=60))
    yield made
    await made.close()


@pytest.mark.parametrize("stall_s", [0.06, 0.18])
async def test_a_host_that_answers_is_not_away_while_the_loop_is_late(preflight: Preflight, stall_s: float) -> None:
    """Connection and /api/ps take some turns of a loop, each of which takes a good part of the limit."""
    with ollama() as address:
        endpoint = Endpoint.of(address, ollama=True)
        async with late_loop(stall_s):
            await preflight.check(endpoint)

    assert preflight.seen(endpoint)
    assert preflight.status(endpoint) is not None


async def test_a_refused_connection_is_said_while_the_loop_is_late(preflight: Preflight) -> None:
    """It is no timeout."""
    endpoint = Endpoint.of(await closed_port(), ollama=False)

    async with late_loop(0.05):
        with pytest.raises(Unreachable, match="connection refused"):
            await preflight.check(endpoint)


@pytest.mark.parametrize("stall_s", [None, 0.1])
async def test_a_black_hole_is_given_up_whether_the_loop_is_late_or_not(
    preflight: Preflight, stall_s: float | None
) -> None:
    """The number of steps is bounded, so the patience is."""
    with black_hole() as address:
        endpoint = Endpoint.of(address, ollama=False)
        with pytest.raises(Unreachable, match="no connection within 300 ms"):
            async with asyncio.timeout(10), late_loop(stall_s or 0.0):
                await preflight.check(endpoint)


async def long_work(ended: asyncio.Event) -> None:
    """Says when it is over, one way or the other."""
    try:
        await asyncio.sleep(30)
    finally:
        ended.set()


async def test_work_that_is_too_slow_is_ended_and_its_result_not_waited_for() -> None:
    """Cancelled, with what it holds given back."""
    ended = asyncio.Event()

    with pytest.raises(TimeoutError):
        await within(0.12, long_work(ended))

    assert ended.is_set()


async def test_a_caller_that_leaves_ends_the_work() -> None:
    """Nothing goes on behind the back of who asked for it."""
    ended = asyncio.Event()

    waiting = asyncio.create_task(within(5.0, long_work(ended)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert ended.is_set()


async def test_results_and_errors_come_through() -> None:
    """As they are."""

    async def fails() -> None:
        raise OSError("no route")

    async def works() -> int:
        return 7

    assert await within(1.0, works()) == 7
    with pytest.raises(OSError, match="no route"):
        await within(1.0, fails())
