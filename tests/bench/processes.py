"""A service under measurement as a process tree: started on its core, paused while another is measured."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Self

from tests.bench.generator import Connection, request_bytes
from tests.bench.machine import ROOT, cpu_s, rss_mb, started_on, tree
from tests.house import free_port

START_LIMIT_S = 120.0
POLL_S = 0.01
PORT = "{port}"


class NotStarted(RuntimeError):
    """The process ended or was not ready in time; the text holds the end of what it wrote."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without proxies, which must not stand before loopback."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, **(extra or {})}


class Running:
    """One started service.

    Args:
        argv: Command line; ``{port}`` is put in.
        ready: Path that answers 200 once it serves.
        core: Its core, or None.
        env: Beyond the usual environment.

    Attributes:
        port: Where it listens.
        pid: Of the root of the tree.
        ready_s: Seconds from start to the first 200.
        ready_cpu_s: CPU seconds until then.
        ready_rss_mb: Resident memory then, in MB.
    """

    def __init__(
        self, argv: Sequence[str], ready: str, core: int | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.pid = 0
        self.ready_s = self.ready_cpu_s = self.ready_rss_mb = 0.0
        self._argv = [part.replace(PORT, str(self.port)) for part in argv]
        self._ready = ready
        self._core = core
        self._env = clean_environment(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process

    async def start(self) -> Self:
        """Starts it and waits for its first 200.

        Raises:
            NotStarted: It ended, or was not ready within two minutes.
        """
        begun = time.perf_counter()
        with started_on(self._core):
            self._process = subprocess.Popen(
                self._argv, cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
            )
        self.pid = self._process.pid
        while not await self._answers():
            if self._process.poll() is not None or time.perf_counter() - begun > START_LIMIT_S:
                said = self.said()
                self.stop()
                raise NotStarted(f"{self._argv[0]}: {said[-800:]}")
            await asyncio.sleep(POLL_S)
        self.ready_s = time.perf_counter() - begun
        self.ready_cpu_s = cpu_s(self.pid)
        self.ready_rss_mb = rss_mb(self.pid)
        return self

    async def _answers(self) -> bool:
        try:
            connection = await Connection.to(self.port)
        except OSError:
            return False
        try:
            return (await connection.ask(request_bytes(self._ready), limit_s=5)).status == 200
        except (OSError, TimeoutError):
            return False
        finally:
            connection.close()

    def said(self) -> str:
        """What it has written so far."""
        size = os.fstat(self._log.fileno()).st_size
        # The child writes at the same offset: seeking here would move it there.
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    def pause(self) -> None:
        """Stops the tree in its tracks, so that its background work costs the others nothing."""
        for process in tree(self.pid):
            process.suspend()

    def resume(self) -> None:
        """Lets a paused tree go on."""
        for process in tree(self.pid):
            process.resume()

    def stop(self) -> None:
        """Ends the tree."""
        process, self._process = self._process, None
        if process is None:
            return
        children = tree(process.pid)
        self.resume()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children[1:]:
            if child.is_running():
                child.kill()
        self._log.close()
