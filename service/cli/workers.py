"""``autotier serve --workers N``: processes that share one listening socket, kept at their number by a parent.

uvicorn's own supervisor serves with uvicorn's own server; ours says why streams end and reloads on SIGHUP.
"""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING

from service.config import Configuration
from service.config.load import load
from service.errors import AutotierError, ConfigurationError

if TYPE_CHECKING:
    from service.api.parts import Running

log = logging.getLogger("autotier")

FAILED_TO_START = 3
"""Exit status of a worker that cannot begin (uvicorn's). Where none ever began, another one could not either."""
REST_S = 1.0
"""Between the end of a worker and its successor; longer where a successor cannot begin beside those that serve."""
LONG_REST_S = 5.0
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to begin.

    Attributes:
        configuration: Checked by the parent.
        source: Its file, for messages.
        file: Read again by a reload; None: what is found here.
        host: Address that is bound.
        log_level: As of ``--log-level``.
    """

    configuration: Configuration
    source: str
    file: Path | None
    host: str
    log_level: str


def check_workers(configuration: Configuration, source: str, number: int) -> None:
    """Refuses workers that would each count limits, holds and spend for themselves.

    Raises:
        ConfigurationError: More than one worker without a Redis.
    """
    if number > 1 and configuration.state.redis_url is None:
        raise ConfigurationError(
            source,
            "state.redis_url",
            f"{number} workers would each have limits, cooldowns and conversations of their own",
            "give the address of a Redis, or start one worker",
        )


def listen(host: str, port: int) -> socket.socket:
    """The socket that all workers accept from.

    Raises:
        ConfigurationError: The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        key, fix = _REFUSED.get(error.errno or 0, ("server.host", "write an address of this machine, or 127.0.0.1"))
        problem = f"{host} port {port} cannot be bound: {error.strerror or error}"
        raise ConfigurationError("serve", key, problem, fix) from error


_REFUSED = {
    errno.EADDRINUSE: ("server.port", "stop what listens there (another autotier?), or serve --port with another one"),
    errno.EACCES: ("server.port", "take one above 1023, or give the process the right"),
}


class Workers:
    """The parent of the workers.

    Args:
        job: What each of them does.
        number: How many there shall be.
        listening: Their socket.
    """

    def __init__(self, job: Job, number: int, listening: socket.socket) -> None:
        self._job = job
        self._number = number
        self._listening = listening
        self._context = multiprocessing.get_context("spawn")
        # Held open by this process alone: its end tells the workers that they are orphans.
        self._orphan, self._alive = self._context.Pipe(duplex=False)
        self._running: list[SpawnProcess] = []
        self._began = self._context.Event()
        self._ending = False

    def run(self) -> int:
        """Runs until a signal ends it.

        Returns:
            The exit status: 0, or that of workers that cannot start.
        """
        wake, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._tell(signal.SIGHUP))
        for _ in range(self._number):
            self._start()
        while self._running:
            wait([wake, *(process.sentinel for process in self._running)])
            wake.setblocking(False)
            try:
                wake.recv(4096)
            except BlockingIOError:
                pass  # a worker has ended
            status = self._replace_dead()
            if status:
                return status
        return 0

    def _start(self) -> None:
        process = self._context.Process(target=_work, args=(self._job, self._listening, self._orphan, self._began))
        # A SIGHUP must not end a worker that is still beginning: it waits until the worker listens to it.
        reload = {signal.SIGHUP} if hasattr(signal, "SIGHUP") else set()
        signal.pthread_sigmask(signal.SIG_BLOCK, reload)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, reload)
        self._running.append(process)

    def _replace_dead(self) -> int:
        """Starts successors; returns an exit status where that is of no use."""
        for process in [p for p in self._running if not p.is_alive()]:
            self._running.remove(process)
            if self._ending:
                continue
            failed = process.exitcode == FAILED_TO_START
            if failed and not self._began.is_set():
                log.error("a worker cannot start: all of them end")
                self._end()
                for other in self._running:
                    other.join()
                return FAILED_TO_START
            log.error("worker %s ended with status %s: another one starts", process.pid, process.exitcode)
            time.sleep(LONG_REST_S if failed else REST_S)
            if not self._ending:  # a signal may have come meanwhile
                self._start()
        return 0

    def _end(self) -> None:
        self._ending = True
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._running:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)


def _work(job: Job, listening: socket.socket, orphan: Connection, began: Event) -> None:
    """The life of one worker."""
    from service.api.app import create_app
    from service.api.server import serve
    from service.bootstrap import opener
    from service.cli.heap import steady_heap
    from service.cli.serve import read_again, set_up_log

    steady_heap()
    set_up_log(job.log_level)
    threading.Thread(target=_end_with, args=(orphan,), daemon=True, name="autotier-orphan").start()
    configuration = _present(job)
    open_service = opener(configuration, job.source, job.host, lambda: read_again(job.file))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Running]:
        async with open_service() as service:
            began.set()
            yield service

    app = create_app(opened)
    host, port = listening.getsockname()[:2]
    try:
        serve(app, host, port, configuration.server.header_s, [listening])
    except AutotierError as error:
        log.error("%s", error)
        sys.exit(FAILED_TO_START)


def _present(job: Job) -> Configuration:
    """The configuration as the file has it now: a successor begins with what its brothers have reloaded."""
    if job.file is None:
        return job.configuration
    try:
        return load(job.file).configuration
    except AutotierError as error:
        log.error("this worker begins with the configuration of the first start: %s", error)
        return job.configuration


def _end_with(orphan: Connection) -> None:
    """Ends this process, politely, when its parent is gone."""
    wait([orphan])
    os.kill(os.getpid(), signal.SIGTERM)
