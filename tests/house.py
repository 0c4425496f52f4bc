"""A whole house for tests: simulated hosts and the service as processes, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import openai
import yaml

from service.demo.hosts import HostSpec, SimulatedHost
from service.demo.scenario import HOSTS, write_configuration

START_LIMIT_S = 110.0
FAST: dict[str, HostSpec] = {
    name: HostSpec(**{**{f: getattr(spec, f) for f in spec.__dataclass_fields__}, "first_token_ms": 1, "token_ms": 1})
    for name, spec in HOSTS.items()
}

Change = Callable[[dict[str, Any]], None]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class House:
    """The demo's hosts with the service in front of them.

    Args:
        way: ``upstream.way``.
        change: Changes the configuration's document before the service starts.
        hosts: Specs that replace the demo's.
        flags: More of the command line of ``serve``.
        environment: More of the service's environment.

    Attributes:
        hosts: The simulated hosts by name.
        base: Base URL of the service.
        folder: Where its configuration and store lie.
    """

    def __init__(
        self,
        *,
        way: str = "auto",
        change: Change | None = None,
        hosts: Mapping[str, HostSpec] | None = None,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._way = way
        self._flags = flags
        self._environment = dict(environment or {})
        self._change = change
        self._specs = {**FAST, **(hosts or {})}
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.hosts: dict[str, SimulatedHost] = {}
        self.base = ""
        self.folder = Path()
        self.file = Path()

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="autotier-test-")))
        for name, spec in self._specs.items():
            self.hosts[name] = self._stack.enter_context(SimulatedHost(spec))
        addresses = {name: host.address for name, host in self.hosts.items()}
        self.file = write_configuration(self.folder, addresses, self._way)
        self.change(lambda document: document.update(cache={"enabled": False}))  # tests ask the same again and again
        self.change(lambda document: document["store"].update(flush_ms=100))  # and look for records behind the answer
        if self._change is not None:
            self.change(self._change)
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)  # the hosts would outlive the test
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._stack.close()

    def start(self) -> None:
        """Starts the service and waits until it is ready.

        Raises:
            RuntimeError: It ended or was not ready in time; the message holds its log.
        """
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with (self.folder / "service.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", "-c", str(self.file), "--port", str(port), *self._flags],
                stdout=log,
                stderr=log,
                env={**environment, **self._environment},
            )
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the service ended: {self.log()}")
            try:
                if httpx.get(f"{self.base}/readyz", trust_env=False, timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.05)
        raise RuntimeError(f"the service was not ready: {self.log()}")

    def stop(self, *, kill: bool = False) -> None:
        """Ends the service, politely or with SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process that was started."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """A signal to the service."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, limit_s: float = 20.0) -> int:
        """The service's exit status, once it has ended by itself; `start` starts it again.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        assert self._process is not None
        return self._process.wait(limit_s)

    def change(self, change: Change) -> None:
        """Writes a changed configuration; the running service does not know of it yet."""
        document = yaml.safe_load(self.file.read_text())
        change(document)
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))

    def log(self) -> str:
        """What the service has written."""
        return (self.folder / "service.log").read_text(encoding="utf-8", errors="replace")

    def reset(self) -> None:
        """Hosts as at their start, and the service holding nothing against them any more.

        Raises:
            RuntimeError: It still does after ten seconds.
        """
        for host in self.hosts.values():
            host.reset()
        deadline = time.monotonic() + 10
        while held := self.get("/readyz").json()["held"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"still held: {held}")
            time.sleep(0.05)

    def client(self, **options: Any) -> openai.OpenAI:
        """The official client, without retries of its own; close it."""
        http = httpx.Client(trust_env=False)
        return openai.OpenAI(
            base_url=f"{self.base}/v1", **{"api_key": "none", "max_retries": 0, "http_client": http, **options}
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        """A GET at the service."""
        return httpx.get(f"{self.base}{path}", trust_env=False, timeout=10, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """A POST at the service, JSON unless ``content`` is given."""
        if body is not None:
            options["json"] = body
        return httpx.post(f"{self.base}{path}", trust_env=False, timeout=60, **options)

    def ask(
        self, text: str, model: str = "auto", headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """One chat request of one user message."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.post("/v1/chat/completions", body, headers=dict(headers or {}))

    def decision(self, decision_id: str, **options: Any) -> dict[str, Any]:
        """The record of a decision, once it is there."""
        for _ in range(100):
            answer = self.get(f"/v1/decisions/{decision_id}", **options)
            if answer.status_code == 200:
                record: dict[str, Any] = answer.json()
                return record
            time.sleep(0.05)
        raise AssertionError(f"no record of {decision_id}: {answer.text}")
