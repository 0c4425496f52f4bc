"""The lean way's HTTP: every framing that hosts use, and what is none."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator

import pytest

from service.upstream import lean_http, lean_pool
from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.lean_way import LeanWay
from tests.contract.lean.test_connections import END, EVENT, GOOD, Server, all_of, call, serving, sized

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@pytest.fixture
async def way() -> AsyncIterator[LeanWay]:
    """A lean way, closed afterwards."""
    lean = LeanWay()
    yield lean
    await lean.close()


def chunked(*pieces: bytes) -> bytes:
    """A body in chunks, with its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def packed(body: bytes) -> bytes:
    """A compressed answer."""
    data = gzip.compress(body)
    return HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(EVENT[:20], EVENT[20:], END),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD,
        packed(EVENT + END),
        GOOD.replace(b"\r\n", b"\n", 3),
    ],
    ids=["chunked", "interim answers", "compressed", "lines without a carriage return"],
)
async def test_every_framing_is_read_and_the_connection_kept(way: LeanWay, answer: bytes) -> None:
    """Two requests over one connection, each with its two chunks."""
    async with serving(lambda *_: answer) as server:
        found = [len(await all_of(way, call(server.address))) for _ in range(2)]

        assert (found, server.connections) == ([2, 2], 1)


async def test_a_body_may_end_with_its_connection(way: LeanWay) -> None:
    """HTTP/1.0 and simple servers say no length."""
    async with serving(lambda *_: HEAD + b"\r\n" + EVENT + END, stay=False) as server:
        assert len(await all_of(way, call(server.address))) == 2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(EVENT)[:-5], Outcome.CUT),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", Outcome.CUT),
        (HEAD + b"Content-Length: 999\r\n\r\n" + EVENT, Outcome.CUT),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nno gzip !", Outcome.CUT),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Outcome.GARBAGE),
        (HEAD + b"X: " + b"y" * (lean_http.MOST_HEAD_BYTES + 1), Outcome.GARBAGE),
        (HEAD[:30], Outcome.CONNECT),
    ],
    ids=["cut chunks", "broken chunks", "too short", "not compressed", "another protocol", "endless headers", "half"],
)
async def test_an_answer_that_is_not_whole_is_a_failure(way: LeanWay, answer: bytes, outcome: Outcome) -> None:
    """It is told by its kind, and nothing of the connection is used again."""
    async with serving(lambda *_: answer, stay=False) as server:
        with pytest.raises(UpstreamFailure) as failed:
            await all_of(way, call(server.address))

        assert failed.value.outcome is outcome
        assert len(server.bodies) == 1


async def test_what_was_half_answered_is_not_sent_again(way: LeanWay) -> None:
    """Only a kept connection that closes before the first byte of an answer says that nobody has read the request."""

    def half_the_second(server: Server, _: object) -> bytes:
        server.stay = len(server.bodies) < 2
        return GOOD if server.stay else HEAD[:30]

    async with serving(half_the_second) as server:
        await all_of(way, call(server.address))

        with pytest.raises(UpstreamFailure) as failed:
            await all_of(way, call(server.address))

        assert failed.value.outcome is Outcome.CONNECT
        assert len(server.bodies) == 2


async def test_an_answer_that_nobody_asked_for_closes_the_connection(way: LeanWay) -> None:
    """Else it would be taken for the next request's."""
    async with serving(lambda server, _: GOOD + sized(b"stray") if len(server.bodies) == 1 else GOOD) as server:
        await all_of(way, call(server.address))
        await asyncio.sleep(0.05)

        assert len(await all_of(way, call(server.address))) == 2
        assert server.connections == 2


async def test_a_flood_waits_for_its_reader(way: LeanWay) -> None:
    """A host may not fill the memory with what nobody reads; all of it arrives in the end."""
    many = 40_000
    async with serving(lambda *_: sized(EVENT * many + END)) as server:
        seen = 0
        async for batch in way.stream(call(server.address)):
            seen += sum(len(chunk.choices[0]["delta"].get("content", "")) for chunk in batch)
            await asyncio.sleep(0)

        assert seen == many


async def test_requests_beyond_the_limit_wait_for_a_place(way: LeanWay, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more connections than that to one host."""
    monkeypatch.setattr(lean_pool, "MOST_PER_HOST", 3)
    async with serving(lambda *_: GOOD) as server:
        answers = await asyncio.gather(*(all_of(way, call(server.address)) for _ in range(12)))

        assert [len(chunks) for chunks in answers] == [2] * 12
        assert server.connections <= 3


async def test_kept_connections_are_closed_after_a_while(way: LeanWay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is no longer asked holds no descriptor of ours."""
    monkeypatch.setattr(lean_pool, "IDLE_S", 0.05)
    async with serving(lambda *_: GOOD) as server:
        await all_of(way, call(server.address))

        async with asyncio.timeout(5):
            await server.closed.wait()


async def test_closing_the_way_ends_what_is_read(way: LeanWay) -> None:
    """Nobody waits for a connection that is gone."""
    opened = sized(EVENT + END).replace(END, b"")
    async with serving(lambda *_: opened) as server, asyncio.timeout(5):
        batches = way.stream(call(server.address))
        await anext(batches)

        await way.close()

        with pytest.raises(UpstreamFailure) as failed:
            await anext(batches)
        assert failed.value.outcome is Outcome.CUT


async def test_a_host_without_tls_behind_https_is_a_failed_connection(way: LeanWay) -> None:
    """Its words name no address."""
    async with serving(lambda *_: GOOD) as server:
        with pytest.raises(UpstreamFailure) as failed:
            await all_of(way, call(server.address.replace("http:", "https:")))

    assert failed.value.outcome is Outcome.CONNECT
    assert "127.0.0.1" not in failed.value.detail
    assert issubclass(ssl.SSLError, OSError)


async def test_a_refused_connection_names_no_address(way: LeanWay) -> None:
    """Clients see the words of an attempt."""
    with pytest.raises(UpstreamFailure) as failed:
        await all_of(way, call("http://127.0.0.1:9"))

    assert failed.value.outcome is Outcome.CONNECT
    assert "127.0.0.1" not in failed.value.detail
    assert "refused" in failed.value.detail
