"""Whether a host (or the proxy before it) can be reached: name, TCP connection, and for Ollama what it has loaded.

Name resolution counts inside the limit: a ``.local`` name can block in the resolver for seconds, in a thread that
nobody can stop. It is asked in threads of its own, once per name at a time; the last good address is used meanwhile.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

from service.config import Limits
from service.upstream.health import Clock
from service.upstream.host_status import HostStatus, StatusClient, StatusUnavailable
from service.upstream.lean_session import proxy_for
from service.upstream.patience import within

FRESH_CONNECTION_S = 1.0
"""A host that answered within the last second is not connected to again, so that steady traffic pays nothing."""

IN_USE_S = 60.0
"""A host that answered within the last minute is kept an eye on, so that no request waits for ``/api/ps``."""

_MOST_ADDRESSES = 4


class Unreachable(Exception):
    """A failed pre-flight; the message says at which step."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host as the pre-flight sees it.

    Attributes:
        name: Key of the verdict: scheme, name and port, so that deployments share it.
        base: Base URL, for ``/api/ps``.
        ollama: Speaks Ollama's protocol, so that its loaded models can be asked for.
        key: Bearer key in clear for ``/api/ps`` behind a proxy, or None.
    """

    name: str
    host: str
    port: int
    base: str
    ollama: bool
    key: str | None = None

    @classmethod
    def of(cls, address: str, *, ollama: bool, key: str | None = None) -> Endpoint:
        """From a base URL.

        Raises:
            ValueError: The address has no host or a port that is none.
        """
        parts = urlsplit(address)
        if not parts.hostname:
            raise ValueError(f"{address!r} is not a base URL: write it like http://mini.local:11434")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        name = f"{parts.scheme}://{parts.hostname}:{port}"
        return cls(name, parts.hostname, port, address.rstrip("/"), ollama, key)


class Preflight:
    """Checks hosts within the limits of the configuration and remembers what was good.

    Failed checks are remembered by `Health`, not here.

    Args:
        limits: ``connect_ms``, ``host_status_ms`` and ``host_status_remember_s`` are used.
        clock: Seconds, monotonic.
        status: Asks Ollama hosts; None makes one.
    """

    def __init__(self, limits: Limits, *, clock: Clock = time.monotonic, status: StatusClient | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._status = status or StatusClient()
        self._connected_s: dict[str, float] = {}
        self._answered_s: dict[str, float] = {}
        self._known: dict[str, HostStatus] = {}
        self._addresses: dict[str, list[str]] = {}
        self._resolving: dict[str, asyncio.Future[list[str]]] = {}
        self._checking: dict[str, asyncio.Task[None]] = {}
        self._resolver = ThreadPoolExecutor(max_workers=8, thread_name_prefix="autotier-resolve")

    def answered(self, endpoint: Endpoint) -> None:
        """A request to ``endpoint`` has just brought an answer: as good as a connection."""
        self._connected_s[endpoint.name] = self._answered_s[endpoint.name] = self._clock()

    def seen(self, endpoint: Endpoint) -> bool:
        """Whether ``endpoint`` was reached before and has not failed since."""
        return endpoint.name in self._connected_s

    def wants_refresh(self, endpoint: Endpoint, *, always: bool = False) -> bool:
        """Whether what ``endpoint`` has loaded is about to be forgotten, and it is in use (or ``always``)."""
        return endpoint.ollama and (always or self.in_use(endpoint)) and self._is_old(endpoint)

    def in_use(self, endpoint: Endpoint) -> bool:
        """Whether a request to ``endpoint`` brought an answer within the last minute."""
        answered = self._answered_s.get(endpoint.name)
        return answered is not None and self._clock() - answered < IN_USE_S

    def forget_status(self, endpoint: Endpoint) -> None:
        """What is loaded there has changed: ask again next time."""
        self._known.pop(endpoint.name, None)

    def forget_connection(self, endpoint: Endpoint) -> None:
        """The host has just failed: connect again next time."""
        self._connected_s.pop(endpoint.name, None)
        self._known.pop(endpoint.name, None)

    def status(self, endpoint: Endpoint) -> HostStatus | None:
        """What the host said that it has loaded, if that is still believed."""
        known = self._known.get(endpoint.name)
        if known is None or self._clock() - known.asked_s > self._limits.host_status_remember_s:
            return None
        return known

    async def check(self, endpoint: Endpoint, *, afresh: bool = False) -> None:
        """Reaches ``endpoint``; callers at the same time share one check.

        Args:
            endpoint: Which host.
            afresh: Ask also what is still believed; for the prober.

        Raises:
            Unreachable: No connection within the limit, or an Ollama host left ``/api/ps`` unanswered.
        """
        if not afresh and self._is_fresh(endpoint):
            return
        task = self._checking.get(endpoint.name)
        if task is None:
            task = asyncio.create_task(self._check(endpoint, afresh=afresh))
            self._checking[endpoint.name] = task
            task.add_done_callback(lambda done: self._checked(endpoint.name, done))
        await asyncio.shield(task)  # one caller that leaves does not end the check of the others

    async def close(self) -> None:
        """Ends checks and connections. Resolver threads that hang are left to end by themselves."""
        for task in list(self._checking.values()):
            task.cancel()
        self._resolver.shutdown(wait=False, cancel_futures=True)
        await self._status.close()

    def _is_fresh(self, endpoint: Endpoint) -> bool:
        if endpoint.ollama and self.status(endpoint) is None:
            return False
        connected = self._connected_s.get(endpoint.name)
        return connected is not None and self._clock() - connected < FRESH_CONNECTION_S

    def _checked(self, name: str, task: asyncio.Task[None]) -> None:
        self._checking.pop(name, None)
        if not task.cancelled():
            task.exception()  # seen: each caller gets it through its own await

    async def _check(self, endpoint: Endpoint, *, afresh: bool) -> None:
        host, port, to = _first_hop(endpoint)
        limit = self._limits.connect_ms / 1000
        started = self._clock()
        try:
            await within(limit, self._connect(host, port, limit))
        except TimeoutError:
            raise Unreachable(f"no connection{to} within {self._limits.connect_ms} ms") from None
        except OSError as error:
            raise Unreachable(f"connection{to} failed: {_reason(error)}") from None
        if endpoint.ollama and (afresh or self._is_old(endpoint)):
            await self._ask_status(endpoint)
        self._connected_s[endpoint.name] = started

    def _is_old(self, endpoint: Endpoint) -> bool:
        known = self._known.get(endpoint.name)
        return known is None or self._clock() - known.asked_s > self._limits.host_status_remember_s / 2

    async def _ask_status(self, endpoint: Endpoint) -> None:
        asked = self._clock()
        try:
            asking = self._status.status(endpoint.base, endpoint.key, asked_s=asked)
            status = await within(self._limits.host_status_ms / 1000, asking)
        except TimeoutError:
            raise Unreachable(f"connected, but no answer to /api/ps in {self._limits.host_status_ms} ms") from None
        except StatusUnavailable as error:
            raise Unreachable(str(error)) from None
        self._known[endpoint.name] = status

    async def _connect(self, host: str, port: int, limit: float) -> None:
        addresses = await self._resolve(host, limit)
        tries = {asyncio.create_task(_touch(a, port)) for a in addresses[:_MOST_ADDRESSES]}
        try:
            error: OSError | None = None
            for next_done in asyncio.as_completed(tries):
                try:
                    good = await next_done
                except OSError as failed:
                    error = failed
                    continue
                self._addresses[host] = [good, *(a for a in addresses if a != good)]
                return
            raise error or OSError("the name has no address")
        finally:
            for task in tries:
                task.cancel()
            await asyncio.gather(*tries, return_exceptions=True)

    async def _resolve(self, host: str, limit: float) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass  # a name
        pending = self._resolving.get(host)
        if pending is None:
            loop = asyncio.get_running_loop()
            pending = loop.run_in_executor(self._resolver, _look_up, host)
            self._resolving[host] = pending
            pending.add_done_callback(lambda done: self._resolved(host, done))
        last_good = self._addresses.get(host)
        try:
            async with asyncio.timeout(limit / 2 if last_good else None):
                return await asyncio.shield(pending)
        except (TimeoutError, OSError):
            if not last_good:
                raise
            return last_good

    def _resolved(self, host: str, done: asyncio.Future[list[str]]) -> None:
        self._resolving.pop(host, None)
        if not done.cancelled():
            done.exception()  # seen: whoever waited got it


def _look_up(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _touch(address: str, port: int) -> str:
    _, writer = await asyncio.open_connection(address, port)
    writer.close()
    return address


def _reason(error: OSError) -> str:
    """Words of an error without the address: clients may see them."""
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


def _first_hop(endpoint: Endpoint) -> tuple[str, int, str]:
    """Name and port to connect to, and how failures call it: of a proxy in between, which decides what can be reached.

    Raises:
        Unreachable: The proxy is none that either way upstream can use.
    """
    try:
        proxy = proxy_for(URL(endpoint.base))
    except ValueError:
        raise Unreachable("the proxy named in the environment is not a URL") from None
    if proxy is None:
        return endpoint.host, endpoint.port, ""
    if proxy.scheme not in ("http", "https") or not proxy.host or not proxy.port:
        raise Unreachable(f"the environment names a {proxy.scheme} proxy; use one of http or https")
    return proxy.host, proxy.port, " to the proxy"
