"""Runs the demo: hosts and service as processes, the prompts through the service, the table of what happened."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from service.demo.expected import Expected
from service.demo.hosts import SimulatedHost
from service.demo.scenario import HOSTS, write_configuration
from service.errors import AutotierError

READY_LIMIT_S = 60.0
"""Longest start of the service; litellm's import (10 s) lies within where the Router way is asked for."""


class DemoFailed(AutotierError):
    """The demo's service did not come up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt and what became of it.

    Attributes:
        status: HTTP status.
        first_token_ms: From the request to the first piece of answer, None where there was none.
        differs: What is not as expected, or "".
    """

    prompt: str
    tier: str
    reason: str
    deployment: str
    attempts: int
    first_token_ms: float | None
    status: int
    differs: str


def start_hosts(stack: ExitStack, faults: Mapping[str, str]) -> dict[str, str]:
    """Starts the demo's hosts with their faults.

    Returns:
        Base URL by host name.
    """
    addresses = {}
    for name, spec in HOSTS.items():
        host = stack.enter_context(SimulatedHost(spec))
        addresses[name] = host.address
        if name in faults:
            host.set_fault(faults[name])
    return addresses


@asynccontextmanager
async def service_over(
    folder: Path, addresses: Mapping[str, str], way: str, port: int
) -> AsyncIterator[tuple[str, Path]]:
    """The service as a process over the demo's hosts.

    Yields:
        (base URL, configuration file), once ``/healthz`` answers and every way upstream is ready.

    Raises:
        DemoFailed: It ended, took too long, or its port is taken.
    """
    file = write_configuration(folder, addresses, way)
    port = _free_port(port)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.cli", "serve", "-c", str(file), "--port", str(port), "--log-level", "error"
    )
    base = f"http://127.0.0.1:{port}"
    try:
        await _ready(base, process)
        yield base, file
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def ask_all(base: str, prompts: Iterable[Expected], fault: str) -> list[Row]:
    """Sends the prompts one after the other, streamed, and compares with what is expected under ``fault``."""
    rows = []
    async with aiohttp.ClientSession() as session:
        for expected in prompts:
            rows.append(await _ask(session, base, expected, fault))
    return rows


async def _ask(session: aiohttp.ClientSession, base: str, expected: Expected, fault: str) -> Row:
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": expected.prompt}]}
    started = time.perf_counter()
    first_token_ms: float | None = None
    async with session.post(f"{base}/v1/chat/completions", json=body) as response:
        async for line in response.content:
            if first_token_ms is None and response.status == 200 and _has_choices(line):
                first_token_ms = (time.perf_counter() - started) * 1000
        shown = {name: response.headers.get(f"x-autotier-{name}", "-") for name in ("tier", "reason", "deployment")}
        attempts = int(response.headers.get("x-autotier-attempts", "0"))
    differs = expected.differs(fault, shown["tier"], shown["deployment"], attempts)
    return Row(
        expected.prompt, shown["tier"], shown["reason"], shown["deployment"], attempts, first_token_ms,
        response.status, differs,
    )  # fmt: skip


def _has_choices(line: bytes) -> bool:
    return line.startswith(b"data: {") and bool(orjson.loads(line[6:]).get("choices"))


def table(rows: Iterable[Row]) -> str:
    """The rows as text."""
    lines = [f"{'prompt':<44} {'tier':<12} {'reason':<12} {'deployment':<20} {'tries':>5} {'first token':>12}"]
    for row in rows:
        text = " ".join(row.prompt.split())
        shown = text if len(text) <= 43 else text[:42] + "…"
        token = f"{row.first_token_ms:.0f} ms" if row.first_token_ms is not None else f"HTTP {row.status}"
        lines.append(
            f"{shown:<44} {row.tier:<12} {row.reason:<12} {row.deployment:<20} {row.attempts:>5} {token:>12}"
            + (f"   <- {row.differs}" if row.differs else "")
        )
    return "\n".join(lines)


async def _ready(base: str, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise DemoFailed(f"the service ended with exit status {process.returncode}")
            try:
                async with session.get(f"{base}/readyz") as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # not listening yet
            await asyncio.sleep(0.05)
    raise DemoFailed(f"the service was not ready within {READY_LIMIT_S:.0f} s")


def _free_port(wanted: int) -> int:
    """``wanted``, or any free one for 0. Else the table would be about whatever answers there already."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the service: what is only closing is free
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise DemoFailed(f"--port {wanted}: {error.strerror}; take another one, or leave it out") from None
        port: int = probe.getsockname()[1]
        return port
