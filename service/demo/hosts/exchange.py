"""One request inside a simulated host, and how an answer goes out: paced, and broken where a fault says so."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from service.demo.hosts.catalog import DEFAULT_OLLAMA_CONTEXT
from service.demo.hosts.faults import Fault, FaultName, FaultState
from service.demo.hosts.memory import Memory
from service.demo.hosts.received import Entry, Log
from service.demo.hosts.spec import HostSpec

BEFORE_RESET_S = 0.02
"""Time for a client to read what was sent before the reset; a reset overtakes unread bytes."""

_MID_STREAM = frozenset(
    {
        FaultName.HANG_MID_STREAM,
        FaultName.RESET_MID_STREAM,
        FaultName.CUT,
        FaultName.BROKEN_LINE,
        FaultName.IN_BAND_ERROR,
    }
)

CAPTIVE_PORTAL = (
    b"<!DOCTYPE html>\n<html><head><title>Welcome to the guest network</title></head>\n"
    b'<body><h1>Please accept the terms of use</h1><form method="post"><button>Accept</button></form>'
    b"</body></html>\n"
)


@dataclass(slots=True)
class Host:
    """The state of one host: what it is, what it holds in memory, its fault, and its log."""

    spec: HostSpec
    memory: Memory
    faults: FaultState = field(default_factory=FaultState)
    log: Log = field(default_factory=Log)

    @property
    def default_context(self) -> int:
        """Context that Ollama serves without ``num_ctx``, in tokens."""
        return self.spec.context or DEFAULT_OLLAMA_CONTEXT


@dataclass(slots=True)
class Exchange:
    """One request: the host, the HTTP request, its log entry, the fault it meets, its JSON body."""

    host: Host
    request: web.BaseRequest
    entry: Entry
    fault: Fault
    body: Mapping[str, object] = field(default_factory=dict)
    dropped: bool = False

    @property
    def spec(self) -> HostSpec:
        """What the host is."""
        return self.host.spec

    async def hang(self) -> None:
        """Stay silent until the client leaves or the fault changes; then the connection is dropped."""
        await self.host.faults.until_changed()
        await self.drop(reset=True)

    async def drop(self, *, reset: bool) -> None:
        """Close the connection at once, with a reset (RST) or an ordinary end (FIN), and end this task."""
        self.dropped = True
        transport = self.request.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if reset and sock is not None:
                # l_onoff 1, l_linger 0: close() sends RST (socket(7)).
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        # aiohttp cancels the handler once the transport is gone.
        await asyncio.Event().wait()


@dataclass(slots=True)
class Outgoing:
    """One answer on the wire.

    Attributes:
        content_type: Of a stream.
        headers: Further headers, of both forms.
        head: What a stream sends with the first token.
        frames: One frame per token, made as they are sent.
        tail: Makes the last frames, after all tokens.
        whole: Makes the body of the form without a stream.
        tokens: Number of tokens, for the time that the form without a stream takes.
        hidden: Tokens generated before the first one that is sent.
        broken: A frame that a client cannot read.
        error: A frame that says that the generation failed.
        whole_error: The same for the form without a stream: status and body.
    """

    content_type: str
    headers: Mapping[str, str]
    head: bytes
    frames: Iterator[bytes]
    tail: Callable[[], bytes]
    whole: Callable[[], bytes]
    tokens: int
    hidden: int
    broken: bytes
    error: bytes
    whole_error: tuple[int, bytes]


async def send(exchange: Exchange, out: Outgoing, *, stream: bool) -> web.StreamResponse:
    """Send an answer, in the time that the host takes for it."""
    wait = (exchange.spec.first_token_ms + exchange.spec.token_ms * out.hidden) / 1000
    if exchange.fault.name is FaultName.SLOW_FIRST_TOKEN:
        wait += exchange.fault.s
    if wait > 0:
        await asyncio.sleep(wait)
    if exchange.host.faults.frozen:
        await exchange.hang()
    return await (_send_stream(exchange, out) if stream else _send_whole(exchange, out))


async def _send_stream(exchange: Exchange, out: Outgoing) -> web.StreamResponse:
    """Send an answer frame by frame."""
    response = web.StreamResponse(headers={"Content-Type": out.content_type, **out.headers})
    entry = exchange.entry
    entry.status = 200
    mid_stream = exchange.fault.name in _MID_STREAM
    entry.first_byte_at = time.time()
    await response.prepare(exchange.request)
    if not mid_stream and exchange.spec.token_ms == 0:
        entry.tokens = out.tokens
        await response.write(out.head + b"".join(out.frames))
        await response.write_eof(out.tail())
        return response
    pending = out.head
    fired = False
    loop = asyncio.get_running_loop()
    step = exchange.spec.token_ms / 1000
    due = loop.time()
    for frame in out.frames:
        if mid_stream and not fired and entry.tokens == exchange.fault.after:
            fired = True
            if await _break_stream(exchange, out, response):
                return response
        if entry.tokens:
            due += step
            delay = due - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
        if exchange.host.faults.frozen:
            await exchange.hang()
        await response.write(pending + frame if pending else frame)
        pending = b""
        entry.tokens += 1
    if mid_stream and not fired and await _break_stream(exchange, out, response):
        return response
    await response.write_eof(pending + out.tail())
    return response


async def _break_stream(exchange: Exchange, out: Outgoing, response: web.StreamResponse) -> bool:
    """Do what the fault says in the middle of a stream; say whether the stream is over."""
    match exchange.fault.name:
        case FaultName.HANG_MID_STREAM:
            await exchange.hang()
        case FaultName.RESET_MID_STREAM:
            await asyncio.sleep(BEFORE_RESET_S)
            await exchange.drop(reset=True)
        case FaultName.CUT:
            await response.write_eof()
        case FaultName.IN_BAND_ERROR:
            await response.write_eof(out.error)
        case _:
            await response.write(out.broken)
            return False
    return True


async def _send_whole(exchange: Exchange, out: Outgoing) -> web.StreamResponse:
    """Send an answer as one body, after the time of all its tokens; faults mid-stream hit half of the body."""
    wait = exchange.spec.token_ms * out.tokens / 1000
    if wait > 0:
        await asyncio.sleep(wait)
    if exchange.host.faults.frozen:
        await exchange.hang()
    entry = exchange.entry
    entry.tokens = out.tokens
    entry.first_byte_at = time.time()
    body = out.whole()
    half = body[: len(body) // 2]
    status = 200
    match exchange.fault.name:
        case FaultName.CUT:
            body = half
        case FaultName.BROKEN_LINE:
            body = half + b"\x00{" + body[len(half) :]
        case FaultName.IN_BAND_ERROR:
            status, body = out.whole_error
        case FaultName.HANG_MID_STREAM | FaultName.RESET_MID_STREAM:
            await _half_body(exchange, out, half, len(body))
    entry.status = status
    return web.Response(body=body, status=status, headers={"Content-Type": "application/json", **out.headers})


async def _half_body(exchange: Exchange, out: Outgoing, half: bytes, length: int) -> None:
    """Announce a body, send half of it, then hang or reset."""
    exchange.entry.status = 200
    response = web.StreamResponse(headers={"Content-Type": "application/json", **out.headers})
    response.content_length = length
    await response.prepare(exchange.request)
    await response.write(half)
    if exchange.fault.name is FaultName.HANG_MID_STREAM:
        await exchange.hang()
    await asyncio.sleep(BEFORE_RESET_S)
    await exchange.drop(reset=True)


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Make a JSON response of bytes."""
    return web.Response(body=body, status=status, headers={"Content-Type": "application/json", **(headers or {})})
