"""Start and steer a simulated host from Python: for tests and the demo command.

with SimulatedHost(HostSpec(kind="ollama", name="mini", loaded=("qwen3:8b",))) as host:
    ...                         # host.address
    host.set_fault("429:retry_after=5,count=1")
    host.log().requests[-1].body
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from service.demo.hosts.spec import HostSpec

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
CONTROL_TIMEOUT_S = 10.0


class HostNotStarted(RuntimeError):
    """The process of a simulated host ended or stayed silent; the text holds what it wrote."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as the host saw it.

    Attributes:
        number: Counts from 1 since the start or the last reset.
        method: HTTP method.
        path: Path without the query.
        headers: Lower-cased names; without those that carry secrets.
        authorization_present: Whether there was an Authorization header.
        body: The JSON value, else the text, None where there was no body.
        fault: Name of the fault that it met, ``none`` otherwise.
        status: HTTP status, None while or where there is none.
        received_at: Unix time.
        first_byte_at: Unix time of the answer's beginning, None where it did not begin.
        finished_at: Unix time of the end, None while it runs.
        disconnected: Whether the client left before the end.
        tokens: Tokens sent.
        load_s: Seconds waited for a model to load.
        queued_s: Seconds waited for a slot.
    """

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    authorization_present: bool
    body: Any
    fault: str
    status: int | None
    received_at: float
    first_byte_at: float | None
    finished_at: float | None
    disconnected: bool
    tokens: int
    load_s: float
    queued_s: float


@dataclass(frozen=True, slots=True)
class HostLog:
    """What a host has received and done since its start or the last reset.

    Attributes:
        requests: Oldest first, at most the newest 2,000.
        received: Number of all requests.
        loads: Loads of models.
        reloads: Loads of a model that was there with another context.
        swaps: Loads that evicted another model.
        loaded: Models in memory, most recently used first.
        fault: Name of the fault that is set.
    """

    requests: tuple[ReceivedRequest, ...]
    received: int
    loads: int
    reloads: int
    swaps: int
    loaded: tuple[str, ...]
    fault: str

    def on(self, path: str) -> list[ReceivedRequest]:
        """Give the requests to one path."""
        return [request for request in self.requests if request.path == path]


class SimulatedHost:
    """One simulated host as a process of its own; it ends with this object's block, or with this process.

    Attributes:
        spec: What it is.
        address: ``http://127.0.0.1:PORT`` of the service, once started.
        control: The same of the control port.
        pid: Of the process.
    """

    def __init__(self, spec: HostSpec | None = None) -> None:
        self.spec = spec or HostSpec()
        self.address = ""
        self.control = ""
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    @property
    def port(self) -> int:
        """The service port."""
        return int(self.address.rpartition(":")[2])

    @property
    def openai_base(self) -> str:
        """Base address for an OpenAI client."""
        return f"{self.address}/v1"

    def start(self) -> Self:
        """Start the process and wait until it listens.

        Raises:
            HostNotStarted: It ended, or said nothing for 30 s.
        """
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - our own module with our own arguments
            [sys.executable, "-m", "service.demo.hosts", "--exit-with-parent", *self.spec.to_args()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path},
        )
        line = self._first_line(self._process)
        self.address, self.control, self.pid = line["address"], line["control"], line["pid"]
        return self

    def stop(self) -> None:
        """End the process; does nothing where there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()
        # Nothing of a host is silent: a traceback of ours is shown.
        sys.stderr.write(self._said())

    def set_fault(self, fault: str) -> None:
        """Put a fault in force, ``none`` for none; waits until it is.

        Raises:
            ValueError: The host refuses it; the text says why.
        """
        self._ask("POST", "/_control/fault", {"fault": fault})

    def reset(self) -> None:
        """Put fault, memory and log back to the state at the start."""
        self._ask("POST", "/_control/reset", {})

    def log(self) -> HostLog:
        """Give what the host has received."""
        raw = self._ask("GET", "/_control/log")
        names = [field.name for field in fields(ReceivedRequest)]
        requests = tuple(ReceivedRequest(**{name: one[name] for name in names}) for one in raw["requests"])
        return HostLog(
            requests=requests,
            received=raw["received"],
            loads=raw["loads"],
            reloads=raw["reloads"],
            swaps=raw["swaps"],
            loaded=tuple(raw["loaded"]),
            fault=raw["fault"],
        )

    def pause(self) -> None:
        """Stop the process (SIGSTOP): its kernel accepts connections, nothing answers, the control port neither."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def aset_fault(self, fault: str) -> None:
        """Do `set_fault` without holding the event loop."""
        await asyncio.to_thread(self.set_fault, fault)

    async def areset(self) -> None:
        """Do `reset` without holding the event loop."""
        await asyncio.to_thread(self.reset)

    async def alog(self) -> HostLog:
        """Do `log` without holding the event loop."""
        return await asyncio.to_thread(self.log)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _first_line(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Read the line that the process prints when it listens."""
        assert process.stdout is not None
        timer = threading.Timer(START_TIMEOUT_S, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            process.wait()
            said = self._said()
            self.stop()
            raise HostNotStarted(f"simulated host {self.spec.name}: {said.strip() or 'no line within 30 s'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _said(self) -> str:
        """Give what the process has written to stderr, once."""
        stderr, self._stderr = self._stderr, None
        if stderr is None:
            return ""
        with stderr:
            stderr.seek(0)
            return stderr.read().decode("utf-8", "replace")

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Send one request to the control port."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control + path, data=data, method=method)  # noqa: S310 - loopback
        # No proxy of the environment may stand between a test and its host.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=CONTROL_TIMEOUT_S) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from None
        return answer
