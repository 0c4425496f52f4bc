"""One simulated host as a process: the two ports, the fault in force, and how the process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import orjson
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from service.demo.hosts.dispatch import handler_of
from service.demo.hosts.exchange import Host
from service.demo.hosts.faults import Fault, FaultName, parse_fault
from service.demo.hosts.listening import LOOPBACK, ServicePort
from service.demo.hosts.memory import Memory
from service.demo.hosts.spec import HostSpec

MAX_BODY_BYTES = 64 * 1024 * 1024
PARENT_CHECK_S = 1.0


class RunningHost:
    """A host with its ports inside the running event loop."""

    def __init__(self, spec: HostSpec) -> None:
        self.spec = spec
        self.initial = parse_fault(spec.fault)
        self.host = Host(spec, Memory(spec))
        server = web.Server(
            handler_of(self.host),
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=300,
        )
        self.port = ServicePort(server, spec.port)
        self._flapping: asyncio.Task[None] | None = None

    async def apply(self, fault: Fault) -> None:
        """Put a fault in force."""
        if self._flapping is not None:
            self._flapping.cancel()
            self._flapping = None
        self.host.faults.set(fault)
        memory = self.host.memory
        memory.load_s = fault.s if fault.name is FaultName.COLD else self._load_s
        match fault.name:
            case FaultName.DOWN:
                self.port.refuse()
            case FaultName.BLACK_HOLE:
                self.port.swallow()
            case FaultName.FLAPPING:
                await self.port.open()
                self._flapping = asyncio.create_task(self._flap(fault.s))
            case _:
                await self.port.open()
        if fault.name is FaultName.COLD:
            memory.unload()

    async def reset(self) -> None:
        """Go back to the state at the start: fault, memory, log."""
        self.host.log.reset()
        self.host.memory = Memory(self.spec)
        await self.apply(self.initial)

    @property
    def _load_s(self) -> float:
        """Seconds of an ordinary load; a cloud has its models ready."""
        return self.spec.load_s if self.spec.kind == "ollama" else 0.0

    async def _flap(self, period_s: float) -> None:
        """Alternate between up and down."""
        while True:
            await asyncio.sleep(period_s)
            self.port.refuse()
            await asyncio.sleep(period_s)
            await self.port.open()


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Make a request that may carry a long prompt; aiohttp's own limit is 1 MB."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)


async def run(spec: HostSpec, *, exit_with_parent: bool, announce: Callable[[str], object]) -> None:
    """Run a host until SIGTERM or SIGINT, or until its parent is gone.

    Args:
        spec: The host.
        exit_with_parent: End when stdin closes or the parent process changes.
        announce: Gets the JSON line once the ports are there.

    Raises:
        BadFault: The fault at the start cannot be.
        OSError: A port is taken.
    """
    from service.demo.hosts.control import control_server

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    running = RunningHost(spec)
    await running.apply(running.initial)
    control = ServicePort(control_server(running), spec.control_port)
    await control.open()
    line = {
        "name": spec.name,
        "kind": spec.kind,
        "address": f"http://{LOOPBACK}:{running.port.port}",
        "control": f"http://{LOOPBACK}:{control.port}",
        "pid": os.getpid(),
    }
    announce(orjson.dumps(line).decode())
    watch = asyncio.create_task(_parent_gone(ended)) if exit_with_parent else None
    await ended.wait()
    if watch is not None:
        watch.cancel()
    running.port.refuse()
    running.port.close()
    control.close()


async def _parent_gone(ended: asyncio.Event) -> None:
    """Set `ended` when stdin closes or this process gets another parent."""
    loop = asyncio.get_running_loop()
    parent = os.getppid()
    stdin = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(stdin, 4096):
            ended.set()

    try:
        loop.add_reader(stdin, readable)
    except OSError:
        # A file or /dev/null cannot be watched and never closes: the parent alone counts.
        stdin = -1
    try:
        while os.getppid() == parent:  # noqa: ASYNC110 - no event says that a parent has died
            await asyncio.sleep(PARENT_CHECK_S)
        ended.set()
    finally:
        if stdin >= 0:
            loop.remove_reader(stdin)
