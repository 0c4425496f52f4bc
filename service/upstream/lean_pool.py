"""Connections to hosts, kept for the next request: plain HTTP/1.1 and TLS, without proxies.

Names and several addresses of one are dealt with as aiohttp does (RFC 8305, "Happy Eyeballs", by its own library).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

import aiohappyeyeballs

from service.upstream.lean_failures import Disconnected
from service.upstream.lean_http import Connection, Response
from service.upstream.lean_session import IDLE_S, MOST_CONNECTIONS, MOST_PER_HOST, NAMES_S, Origin

HANDSHAKE_S = 10.0
"""For TLS: a host that answers a connection, but not its handshake, speaks something else."""

OTHER_ADDRESS_S = 0.25
"""After which the next address of a name is tried too (RFC 8305, 5)."""


class _Host:
    """What is kept of one origin."""

    __slots__ = ("addresses", "asked_s", "idle", "origin", "places")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: list[Connection] = []
        self.places = asyncio.Semaphore(MOST_PER_HOST)
        self.addresses: Sequence[aiohappyeyeballs.AddrInfoType] = []
        self.asked_s = 0.0


class Pool:
    """Connections by host. One event loop.

    Args:
        context: Certificates; None: those of the system.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._hosts: dict[Origin, _Host] = {}
        self._busy: dict[Connection, _Host] = {}
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)
        self._sweeping: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def post(self, origin: Origin, data: bytes) -> Response:
        """Sends a request, and again where a kept connection turns out to be closed by the host meanwhile.

        It ends: each try takes one connection out of the pool.

        Args:
            origin: Whom to.
            data: The request as it goes over the wire.

        Returns:
            The answer, status and headers there.

        Raises:
            OSError: No connection, or it was closed.
            NotHTTP: The answer is none.
        """
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = _Host(origin)
        while True:
            await self._take_place(host)
            connection = _kept(host)
            is_new = connection is None
            if connection is None:
                try:
                    connection = await self._connected(host)
                except BaseException:
                    self._give_back(host)
                    raise
            self._busy[connection] = host
            response = connection.send(data)
            try:
                await response.begun()
                return response
            except Disconnected as error:
                if is_new or not error.unanswered:
                    raise
            except BaseException:
                response.close()
                raise

    def close(self) -> None:
        """Closes all connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in [*self._busy, *(one for host in self._hosts.values() for one in host.idle)]:
            connection.give_up()
        self._hosts.clear()

    async def _take_place(self, host: _Host) -> None:
        await self._places.acquire()
        try:
            await host.places.acquire()
        except BaseException:
            self._places.release()
            raise

    def _give_back(self, host: _Host) -> None:
        self._places.release()
        host.places.release()

    def _released(self, connection: Connection, usable: bool) -> None:
        host = self._busy.pop(connection)
        self._give_back(host)
        if not usable:
            return
        connection.idle_since_s = self._loop.time()
        host.idle.append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Closes what has not been used for a while."""
        before_s = self._loop.time() - IDLE_S
        for host in self._hosts.values():
            for connection in host.idle:
                if connection.idle_since_s <= before_s:
                    connection.abort()
            host.idle = [one for one in host.idle if one.is_usable]
        is_idle = any(host.idle for host in self._hosts.values())
        self._sweeping = self._loop.call_later(IDLE_S / 2, self._sweep) if is_idle else None

    async def _connected(self, host: _Host) -> Connection:
        origin = host.origin
        found = await aiohappyeyeballs.start_connection(
            await self._addresses(host), happy_eyeballs_delay=OTHER_ADDRESS_S
        )
        try:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._released),
                sock=found,
                ssl=self._secure() if origin.secure else None,
                server_hostname=origin.host if origin.secure else None,
                ssl_handshake_timeout=HANDSHAKE_S if origin.secure else None,
            )
        except BaseException:
            found.close()
            raise
        return connection

    async def _addresses(self, host: _Host) -> Sequence[aiohappyeyeballs.AddrInfoType]:
        if not host.addresses or self._loop.time() - host.asked_s > NAMES_S:
            host.addresses, host.asked_s = await self._asked(*host.origin[:2]), self._loop.time()
        return host.addresses

    async def _asked(self, name: str, port: int) -> Sequence[aiohappyeyeballs.AddrInfoType]:
        try:  # an address is no name: no thread that asks a resolver
            return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await self._loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)

    def _secure(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


def _kept(host: _Host) -> Connection | None:
    while host.idle:
        connection = host.idle.pop()
        if connection.is_usable:
            return connection
    return None
