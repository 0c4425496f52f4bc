"""uvicorn with what it lacks: a limit for headers, a shutdown that tells running streams why, reload on SIGHUP."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from service.api.parts import Running
from service.errors import AutotierError
from service.large_pages import use_large_pages

log = logging.getLogger("autotier")

AFTER_CUT_S = 3.0
"""For the last words of streams that were cut; then uvicorn cancels what is left."""

SWITCH_S = 0.001
SETTLED_S = 2.0
"""After the start: what is in memory then stays."""

COLLECT_AFTER = (50_000, 20, 20)
"""Thresholds of ``gc``: a request makes some hundred objects and leaves no cycles, so that rounds find little."""


class Server(uvicorn.Server):
    """Serves an application of ``service.api.app``.

    SIGTERM and SIGINT: not ready at once, listening ends after ``server.drain_s``, running answers have
    ``server.shutdown_s``, then each is told why it ends. A second SIGINT ends at once. SIGHUP: reload, except where it
    says that the terminal was closed.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._reloading: asyncio.Task[None] | None = None
        self._had_terminal = _has_terminal()

    @property
    def _running(self) -> Running:
        return cast(Running, self._app.state.running)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Also listens to SIGHUP, and takes what is there for good out of the garbage collector's rounds."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        loop = asyncio.get_running_loop()
        loop.call_later(SETTLED_S, loop.run_in_executor, None, use_large_pages)
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)
            # Workers begin with it blocked: one that came meanwhile comes now (service.cli.workers).
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See the class."""
        gateway = self._running.parts.gateway
        drain, settings = gateway.overload.drain, gateway.configuration.server
        drain.begin()
        await self._wait(settings.drain_s)
        self.config.timeout_graceful_shutdown = cast(int, settings.shutdown_s + AFTER_CUT_S)
        cutting = asyncio.get_running_loop().call_later(settings.shutdown_s, self._cut, drain)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until and not self.force_exit:  # noqa: ASYNC110  # a signal handler sets it, as in uvicorn
            await asyncio.sleep(0.1)

    def _cut(self, drain: Any) -> None:
        number = drain.cut()
        if number:
            log.warning("%d running answers are cut: the time for the shutdown is over", number)

    def _hang_up(self) -> None:
        if self._had_terminal and not _has_terminal():
            self.handle_exit(signal.SIGTERM, None)  # nobody would know of the service any more
        elif self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        try:
            await self._running.reload()
        except AutotierError as error:
            log.error("not reloaded, the configuration before goes on: %s", error)
        except Exception:  # a background task: the service goes on, and says so
            log.exception("not reloaded, the configuration before goes on")


def serve(app: FastAPI, host: str, port: int, header_s: float, sockets: list[socket.socket] | None = None) -> None:
    """Serves until a signal. Exits with uvicorn's status if it cannot start.

    Args:
        app: Of ``service.api.app``.
        host: Address to bind.
        port: Port to bind.
        header_s: Seconds that a request's headers may take.
        sockets: What is bound already; host and port are for messages then.

    Raises:
        AutotierError: The service cannot be opened.
    """
    from service.api.timed_protocol import timed

    config = uvicorn.Config(
        app, host=host, port=port, http=timed(header_s), log_level="warning", access_log=False, server_header=False,
        date_header=False, proxy_headers=False,
    )  # fmt: skip
    # A failure of ours has its one line; uvicorn would write the whole trace before it.
    logging.getLogger("uvicorn.error").addFilter(lambda record: app.state.failed is None)
    # What is done in threads (long prompts, records) lets the event loop go on after this long, not after 5 ms.
    sys.setswitchinterval(SWITCH_S)
    server = Server(config, app)
    try:
        server.run(sockets)
    except KeyboardInterrupt:
        pass  # the second one, after the shutdown
    except SystemExit:
        if app.state.failed is None:
            raise
        raise app.state.failed from None
    if not server.started:
        sys.exit(3)


def _has_terminal() -> bool:
    """Whether the process has a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
