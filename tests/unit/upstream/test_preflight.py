"""The pre-flight over real sockets, and names that resolve late, elsewhere or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from service.config import Limits
from service.upstream import preflight as module
from service.upstream.preflight import Endpoint, Preflight, Unreachable
from tests.unit.upstream.kit import closed_port, listening


@pytest.fixture
async def preflight() -> AsyncIterator[Preflight]:
    """With a short limit for /api/ps."""
    made = Preflight(Limits(connect_ms=200, host_status_ms=100))
    yield made
    await made.close()


async def test_listening_host_is_reached(preflight: Preflight) -> None:
    """A host that takes the connection is reached, and not connected to again within a second."""
    async with listening() as address:
        endpoint = Endpoint.of(address, ollama=False)

        await preflight.check(endpoint)

    await preflight.check(endpoint)  # nobody listens any more: only the memory can say so


async def test_refused_connection_is_unreachable(preflight: Preflight) -> None:
    """Nobody listens: said at once, without the address."""
    endpoint = Endpoint.of(await closed_port(), ollama=False)

    with pytest.raises(Unreachable, match="connection failed: connection refused"):
        await preflight.check(endpoint)


async def test_unknown_name_is_unreachable(preflight: Preflight) -> None:
    """A name that does not resolve is a failed pre-flight in words."""
    endpoint = Endpoint.of("http://no-such-host.invalid:11434", ollama=False)

    with pytest.raises(Unreachable, match=r"cannot be resolved|no connection within"):
        await preflight.check(endpoint)


async def test_slow_name_counts_inside_the_limit(preflight: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that blocks does not hold the request beyond the limit."""
    monkeypatch.setattr(module, "_look_up", slow_look_up(1.0))
    endpoint = Endpoint.of("http://slow.local:11434", ollama=False)
    started = time.monotonic()

    with pytest.raises(Unreachable, match="no connection within 200 ms"):
        await preflight.check(endpoint)

    assert time.monotonic() - started < 0.9  # not a timing: the resolver takes a second


async def test_last_good_address_is_used_while_the_resolver_hangs(
    preflight: Preflight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolved before is reached at its last address."""
    async with listening() as address:
        endpoint = Endpoint.of(address.replace("127.0.0.1", "mini.local"), ollama=False)
        monkeypatch.setattr(module, "_look_up", lambda _: ["127.0.0.1"])
        await preflight.check(endpoint)
        preflight.forget_connection(endpoint)
        monkeypatch.setattr(module, "_look_up", slow_look_up(1.0))

        await preflight.check(endpoint)


async def test_changed_address_is_found(preflight: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that points elsewhere now is followed, the dead address notwithstanding."""
    async with listening() as address:
        endpoint = Endpoint.of(address.replace("127.0.0.1", "mini.local"), ollama=False)
        monkeypatch.setattr(module, "_look_up", lambda _: ["::1", "127.0.0.1"])

        await preflight.check(endpoint)
        preflight.forget_connection(endpoint)
        await preflight.check(endpoint)


async def test_ollama_host_says_what_it_has_loaded(preflight: Preflight) -> None:
    """The answer of /api/ps is remembered with the sizes."""
    async with answering({"models": [{"model": "qwen3:8b", "size": 6}]}) as address:
        endpoint = Endpoint.of(address, ollama=True)

        await preflight.check(endpoint)

    status = preflight.status(endpoint)
    assert status is not None
    assert status.has_loaded("qwen3:8b") is True
    assert status.has_loaded("qwen3:14b") is False


async def test_silent_status_is_a_failed_preflight(preflight: Preflight) -> None:
    """A host that takes the connection and leaves /api/ps unanswered is down."""
    async with answering(None) as address:
        with pytest.raises(Unreachable, match="no answer to /api/ps in 100 ms"):
            await preflight.check(Endpoint.of(address, ollama=True))


async def test_foreign_status_leaves_loaded_unknown(preflight: Preflight) -> None:
    """A host without /api/ps is reached; what it has loaded is unknown, not nothing."""
    async with answering({"detail": "Not Found"}) as address:
        endpoint = Endpoint.of(address, ollama=True)

        await preflight.check(endpoint)

    status = preflight.status(endpoint)
    assert status is not None
    assert status.has_loaded("qwen3:8b") is None


async def test_callers_at_the_same_time_share_one_check(preflight: Preflight) -> None:
    """Many requests ask a host once, and one that leaves does not spoil it for the others."""
    asked: list[str] = []
    async with answering({"models": []}, asked) as address:
        endpoint = Endpoint.of(address, ollama=True)
        checks = [asyncio.create_task(preflight.check(endpoint)) for _ in range(5)]
        await asyncio.sleep(0)

        checks[0].cancel()
        results = await asyncio.gather(*checks, return_exceptions=True)

    assert results[1:] == [None] * 4
    assert asked == ["/api/ps"]


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
async def test_proxy_in_between_is_what_is_reached(
    preflight: Preflight, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Only the proxy knows the host: it takes the connection, or is named as what does not."""
    without_proxies(monkeypatch)
    endpoint = Endpoint.of("http://cloud.invalid/v1", ollama=False)
    async with listening() as proxy:
        monkeypatch.setenv(variable, proxy)

        await preflight.check(endpoint)

    assert preflight.seen(endpoint)
    monkeypatch.setenv(variable, await closed_port())
    with pytest.raises(Unreachable, match="connection to the proxy failed: connection refused"):
        await preflight.check(endpoint, afresh=True)


async def test_host_that_no_proxy_names_is_reached_itself(
    preflight: Preflight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead proxy does not stand before it."""
    without_proxies(monkeypatch)
    monkeypatch.setenv("all_proxy", await closed_port())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with listening() as address:
        await preflight.check(Endpoint.of(address, ollama=False))


@pytest.mark.parametrize(
    ("proxy", "said"), [("socks5://127.0.0.1:1080", "a socks5 proxy; use one of http"), ("http://[", "not a URL")]
)
async def test_proxy_that_no_way_can_use_is_named(
    preflight: Preflight, monkeypatch: pytest.MonkeyPatch, proxy: str, said: str
) -> None:
    """SOCKS is spoken by neither way upstream; said before any request fails in stranger words."""
    without_proxies(monkeypatch)
    monkeypatch.setenv("all_proxy", proxy)

    with pytest.raises(Unreachable, match=said):
        await preflight.check(Endpoint.of("http://cloud.invalid/v1", ollama=False))


async def test_silent_host_does_not_count_as_seen(preflight: Preflight) -> None:
    """A connection alone is not enough of an Ollama, neither while it is waited for nor afterwards."""
    async with answering(None) as address:
        endpoint = Endpoint.of(address, ollama=True)
        check = asyncio.create_task(preflight.check(endpoint))
        while not check.done():
            assert not preflight.seen(endpoint)
            await asyncio.sleep(0.005)

    assert isinstance(check.exception(), Unreachable)
    assert not preflight.seen(endpoint)


def test_address_without_a_host_is_refused() -> None:
    """A base URL that is none says how to write one."""
    with pytest.raises(ValueError, match="write it like http"):
        Endpoint.of("mini.local", ollama=True)


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment that the tests run in."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def slow_look_up(seconds: float) -> Callable[[str], list[str]]:
    """A resolver that blocks its thread."""

    def look_up(_: str) -> list[str]:
        time.sleep(seconds)
        return ["127.0.0.1"]

    return look_up


class answering:  # noqa: N801  # reads as what it is in ``async with``
    """A host whose /api/ps gives ``body``; None: nothing for two seconds."""

    def __init__(self, body: object, asked: list[str] | None = None) -> None:
        self._body, self._asked = body, asked if asked is not None else []
        self._stop = asyncio.Event()

    async def __aenter__(self) -> str:
        application = web.Application()
        application.router.add_get("/api/ps", self._status)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._runner.cleanup()

    async def _status(self, request: web.Request) -> web.Response:
        self._asked.append(request.path)
        if self._body is None:
            await self._stop.wait()
        return web.json_response(self._body)
