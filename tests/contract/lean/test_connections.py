"""What the lean way does with connections: kept, closed, made again; proxies, certificates.

Against a server of a few lines on a real socket, which notes what it got.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.config import Deployment
from service.upstream.interface import Call, Chunk, Outcome, UpstreamFailure
from service.upstream.lean_session import ssl_context
from service.upstream.lean_way import LeanWay

EVENT = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
END = b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def sized(body: bytes, status: str = "200 OK", kind: str = "text/event-stream") -> bytes:
    """An answer whose connection can be kept."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


GOOD = sized(EVENT + END)
Reply = Callable[["Server", dict[str, Any]], bytes | None]
"""From the server and a request's body: bytes to send, or None to close at once."""


@dataclass
class Server:
    """Answers every request with ``reply``.

    Attributes:
        heads: First line and headers of each request.
        bodies: Of each request.
        connections: Number of connections taken.
        closed: Set when a client has closed one.
        stay: After an answer: keep the connection.
    """

    reply: Reply
    stay: bool = True
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length:")[2].partition("\r\n")[0] or 0)
                self.heads.append(head)
                self.bodies.append(orjson.loads(await reader.readexactly(length)))
                answer = self.reply(self, self.bodies[-1])
                if answer is None:
                    break
                writer.write(answer)
                if not self.stay:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(reply: Reply, *, stay: bool = True) -> AsyncIterator[Server]:
    """A server on loopback."""
    server = Server(reply, stay)
    async with await asyncio.start_server(server.serve, "127.0.0.1", limit=8 * 1024 * 1024) as listening:
        server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


@pytest.fixture
async def way() -> AsyncIterator[LeanWay]:
    """A lean way, closed afterwards."""
    lean = LeanWay()
    yield lean
    await lean.close()


def call(address: str, *, key: str | None = None, provider: str = "openai", **body: Any) -> Call:
    """A small request."""
    deployment = Deployment(id="d", host="h", provider=provider, model="m", context=8192)
    return Call(deployment, address, key, {"messages": [{"role": "user", "content": "hi"}], **body})


async def all_of(way: LeanWay, one: Call) -> list[Chunk]:
    """Every chunk of one request."""
    return [chunk async for batch in way.stream(one) for chunk in batch]


async def test_one_connection_serves_many_requests(way: LeanWay) -> None:
    """Answers that end properly leave their connection in the pool."""
    async with serving(lambda *_: GOOD) as server:
        for _ in range(5):
            await all_of(way, call(server.address))

        assert (server.connections, len(server.bodies)) == (1, 5)


async def test_a_pooled_connection_that_the_host_has_closed_costs_nothing(way: LeanWay) -> None:
    """A host may close an idle connection just as the next request goes out: it is sent again, on a new one."""

    def close_the_second(server: Server, _: object) -> bytes | None:
        return None if len(server.bodies) == 2 else GOOD

    async with serving(close_the_second) as server:
        await all_of(way, call(server.address))
        chunks = await all_of(way, call(server.address))

        assert len(chunks) == 2
        assert (server.connections, len(server.bodies)) == (2, 3)


async def test_a_new_connection_that_is_dropped_is_a_failure(way: LeanWay) -> None:
    """It is not tried again: that is the chain's to decide."""
    async with serving(lambda *_: None) as server:
        with pytest.raises(UpstreamFailure) as failed:
            await all_of(way, call(server.address))

        assert failed.value.outcome is Outcome.CONNECT
        assert len(server.bodies) == 1


async def test_leaving_a_stream_closes_its_connection(way: LeanWay) -> None:
    """The host sees at once that nobody listens, and may stop generating."""
    opened = sized(EVENT + END).replace(END, b"")
    async with serving(lambda *_: opened) as server:
        async with aclosing(way.stream(call(server.address))) as batches:  # type: ignore[type-var]
            await anext(batches)

        async with asyncio.timeout(2):
            await server.closed.wait()


async def test_cancelling_before_the_headers_closes_the_connection(way: LeanWay) -> None:
    """A limit in time of the chain's ends in a cancellation, here and at the host."""
    async with serving(lambda *_: b"") as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await all_of(way, call(server.address))

        async with asyncio.timeout(2):
            await server.closed.wait()


async def test_a_host_that_keeps_the_body_open_after_its_end_holds_nobody(way: LeanWay) -> None:
    """``[DONE]`` is the end, whatever the connection does."""
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999\r\n\r\n" + EVENT + END
    async with serving(lambda *_: endless) as server, asyncio.timeout(2):
        chunks = await all_of(way, call(server.address))

        await server.closed.wait()

    assert len(chunks) == 2


async def test_a_reset_after_the_finish_reason_is_no_cut(way: LeanWay) -> None:
    """The answer is whole; only the connection is not."""
    short = sized(EVENT + END).replace(b"data: [DONE]\n\n", b"")
    async with serving(lambda *_: short, stay=False) as server:
        chunks = await all_of(way, call(server.address))

    assert chunks[-1].choices[0]["finish_reason"] == "stop"


async def test_the_key_goes_to_the_host_and_nowhere_else(way: LeanWay) -> None:
    """A redirect is not followed, and the host's echo of the key is not shown."""
    echo = sized(b'{"error":{"message":"no my-secret-key"}}', "401 Unauthorized", "application/json")
    async with serving(lambda *_: echo) as server:
        with pytest.raises(UpstreamFailure) as failed:
            await all_of(way, call(server.address, key="my-secret-key"))

        assert "Authorization: Bearer my-secret-key" in server.heads[0]
        assert "my-secret-key" not in failed.value.detail


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_used(way: LeanWay, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Except for what ``no_proxy`` names."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with serving(lambda *_: GOOD) as proxy, serving(lambda *_: GOOD) as direct:
        monkeypatch.setenv(variable, proxy.address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")

        await all_of(way, call("http://far.example:8000/v1"))
        await all_of(way, call(direct.address))

        assert proxy.heads[0].startswith("POST http://far.example:8000/v1/chat/completions ")
        assert (len(proxy.heads), len(direct.heads)) == (1, 1)


async def test_a_large_body_arrives_whole(way: LeanWay) -> None:
    """Two megabytes, written in a thread and sent in pieces."""
    text = "ä" * 1024 * 1024
    async with serving(lambda *_: GOOD) as server:
        await all_of(way, call(server.address, messages=[{"role": "user", "content": text}]))

        assert server.bodies[0]["messages"][0]["content"] == text


@pytest.mark.parametrize("body", [{"seed": 2**70}, {"user": "\ud800"}])
async def test_a_body_that_is_no_json_is_the_clients_fault(way: LeanWay, body: dict[str, Any]) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(UpstreamFailure) as failed:
        await all_of(way, call("http://127.0.0.1:1", **body))

    assert failed.value.outcome is Outcome.BAD_REQUEST


@pytest.mark.parametrize("address", ["mini.local:11434", "ftp://h", "http://"])
async def test_an_address_that_is_none_is_a_failure(way: LeanWay, address: str) -> None:
    """It is named, and the chain moves on."""
    with pytest.raises(UpstreamFailure) as failed:
        await all_of(way, call(address))

    assert failed.value.outcome is Outcome.CONNECT


def test_certificates_of_the_environment_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that cannot be read is an error, not a connection without a check."""
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))

    with pytest.raises(OSError):
        ssl_context()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))

    assert ssl_context() is not None


async def test_unreadable_certificates_are_named(way: LeanWay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every request says what is wrong."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))

    with pytest.raises(UpstreamFailure, match="certificates") as failed:
        await all_of(way, call("http://127.0.0.1:1"))

    assert failed.value.outcome is Outcome.CONNECT
