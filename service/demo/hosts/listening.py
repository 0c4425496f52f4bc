"""The service port of a simulated host: open, closed (down), or swallowing connections (black hole)."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from aiohttp import web

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
FILLERS = 4
"""Connections that fill an accept queue of length 0; Linux takes one or two, the rest stay in SYN-SENT."""


class ServicePort:
    """One TCP port that keeps its number through all its states.

    While nothing listens, a socket that is bound but does not listen holds the number: connecting to it is
    refused, and no other process gets it.
    """

    def __init__(self, server: web.Server, port: int) -> None:
        """Take the port; nothing listens yet.

        Raises:
            OSError: Another process has it.
        """
        self._server = server
        self._held: list[socket.socket] = [_bound(port)]
        self._listener: asyncio.Server | None = None
        self.port: int = self._held[0].getsockname()[1]

    async def open(self) -> None:
        """Listen and accept."""
        if self._listener is not None:
            return
        sock = self._taken_over()
        sock.setblocking(False)
        # Known to us before it listens: a task that is cancelled in between must not leave it behind.
        self._listener = await asyncio.get_running_loop().create_server(
            self._server, sock=sock, backlog=BACKLOG, start_serving=False
        )
        await self._listener.start_serving()

    def refuse(self) -> None:
        """Stop listening and break all connections: what a machine that is off looks like."""
        self._stop()
        self._held.append(_bound(self.port))
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    def swallow(self) -> None:
        """Leave connection attempts without any answer (Linux): what a sleeping machine looks like.

        A listening socket with backlog 0 whose accept queue is full drops every further SYN. Connections that
        are open stay open; `service.demo.hosts.exchange` keeps them silent.
        """
        self._stop()
        sock = _bound(self.port)
        sock.listen(0)
        self._held.append(sock)
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, self.port))
            self._held.append(filler)

    def close(self) -> None:
        """Give the port back."""
        self._stop()

    def _stop(self) -> None:
        """Close whatever there is now."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for sock in self._held:
            sock.close()
        self._held.clear()

    def _taken_over(self) -> socket.socket:
        """Give a bound socket to listen on: the held one, or a new one where it was used up."""
        if len(self._held) == 1:
            return self._held.pop()
        self._stop()
        return _bound(self.port)


def _bound(port: int) -> socket.socket:
    """Bind a socket to a loopback port."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, port))
    except OSError:
        with contextlib.suppress(OSError):
            sock.close()
        raise
    return sock
