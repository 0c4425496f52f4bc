"""How long the service's event loop is held: the latency of ``/healthz`` under load, asked from outside.

Idle; while 64 streams run (32 of OpenAI, 32 of Ollama, 30 tokens a second each); while prompts of 1 MB are parsed,
classified and forwarded. The bare forwarder under the same load shows how much of it is the machine's and the asker's.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.demo.hosts import SimulatedHost
from tests.bench.contenders import ALL, Contender
from tests.bench.generator import Connection, request_bytes
from tests.bench.machine import BUSY_LIMIT, Cores, core_time, cores, cpu_s, pin, preferred
from tests.bench.processes import Running, clean_environment
from tests.bench.workloads import HOSTS, PROMPTS, Target

STREAMS = 64
TOKEN_MS = 33.0
SECONDS = 8.0
MEGABYTE = 1_000_000
NAMES = ("forwarder", "autotier-auto")
IDLE = "idle"

Load = Callable[[], Coroutine[Any, Any, None]]


async def _probed(port: int, seconds: float) -> dict[str, Any]:
    """Latencies of ``/healthz`` over some seconds, from a process of its own."""
    argv = (sys.executable, "-m", "tests.bench.probe", str(port), str(seconds))
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, env=clean_environment())
    output, _ = await process.communicate()
    ordered = sorted(json.loads(output))
    return {
        "probes": len(ordered),
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[int(len(ordered) * 0.99) - 1],
        "max_ms": ordered[-1],
    }


def _long_prompt(number: int) -> str:
    """About 1 MB of changing text with an ask at its end, as a pasted log has it."""
    line = "2026-11-26 05:{0:02d} worker-{1} handled job {2} in {3} ms, queue at {4}, retries {5}\n"
    lines: list[str] = []
    size = 0
    while size < MEGABYTE:
        at = len(lines) + number
        lines.append(line.format(at % 60, at % 17, at * 7919 % 100_003, at * 31 % 997, at % 211, at % 3))
        size += len(lines[-1])
    return "".join(lines) + "\n" + PROMPTS["openai"].format(n=number)


class Loads:
    """The loads on one contender.

    Args:
        contender: How it is asked.
        port: Where it listens.
    """

    def __init__(self, contender: Contender, port: int) -> None:
        self._contender = contender
        self._port = port
        self._number = 10_000
        self.answers = 0
        self.failed = 0
        self.said = ""

    async def nothing(self) -> None:
        """An idle service."""

    async def streams(self) -> None:
        """64 streams at any time, until cancelled."""
        targets: tuple[Target, ...] = ("openai", "ollama")
        await asyncio.gather(*(self._stream(targets[index % 2]) for index in range(STREAMS)))

    async def long_prompts(self) -> None:
        """One prompt of 1 MB after the other, until cancelled."""
        while True:
            self._number += 1
            await self._ask("openai", _long_prompt(self._number), {"max_tokens": 1})

    async def _stream(self, target: Target) -> None:
        while True:
            self._number += 1
            await self._ask(target, PROMPTS[target].format(n=self._number), {"stream": True})

    async def _ask(self, target: Target, prompt: str, fields: dict[str, Any]) -> None:
        contender = self._contender
        body = {"model": contender.models[target], "messages": [{"role": "user", "content": prompt}], **fields}
        connection = await Connection.to(self._port)
        try:
            reply = await connection.ask(request_bytes(contender.path, body, contender.headers.get(target)))
        finally:
            connection.close()
        self.answers += 1
        if reply.status != 200 or b"simulated" not in reply.body:
            self.failed += 1
            self.said = f"HTTP {reply.status}: {bytes(reply.body[:600]).decode('utf-8', 'replace')}"


async def _under(load: Load, loads: Loads, running: Running, seconds: float, where: Cores) -> dict[str, Any]:
    """Probes while a load runs."""
    loads.answers, loads.failed, loads.said = 0, 0, ""
    task = asyncio.create_task(load())
    await asyncio.sleep(0.5)
    other, cpu = core_time(where.other), cpu_s(running.pid)
    found = await _probed(running.port, seconds)
    found |= {
        "answers": loads.answers,
        "failed": loads.failed,
        "said": loads.said,
        "service_cpu_s": round(cpu_s(running.pid) - cpu, 2),
        "other_core_busy": round(core_time(where.other).busy_since(other), 2),
    }
    if task.done():
        task.result()  # a load that failed is no load
    task.cancel()
    await asyncio.wait((task,))
    return found


def verdict(kind: str, found: Mapping[str, Any], pinned: bool) -> str:
    """What a cell is worth: ``valid`` or ``invalid``.

    Args:
        kind: The load.
        found: The cell, as `run` gives it.
        pinned: Whether the service had a core to itself.
    """
    loaded = kind == IDLE or found["answers"] > 0
    good = pinned and loaded and not found["failed"] and found["other_core_busy"] <= BUSY_LIMIT
    return "valid" if good else "invalid"


async def run(scale: float = 1.0) -> dict[str, Any]:
    """Measures, and gives the results as JSON."""
    where = cores()
    pin(where.other)
    specs = {target: replace(spec, token_ms=TOKEN_MS) for target, spec in HOSTS.items()}
    results: dict[str, Any] = {}
    with ExitStack() as stack:
        first = stack.enter_context(preferred())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autotier-bench-")))
        hosts: dict[Target, SimulatedHost] = {
            target: stack.enter_context(SimulatedHost(spec)) for target, spec in specs.items()
        }
        addresses: dict[Target, str] = {target: host.address for target, host in hosts.items()}
        for name in NAMES:
            contender = ALL[name](addresses, folder)
            running = await Running(contender.argv, contender.ready, where.service, contender.env).start()
            try:
                loads = Loads(contender, running.port)
                kinds: dict[str, Load] = {
                    IDLE: loads.nothing,
                    "64 streams": loads.streams,
                    "1 MB prompts": loads.long_prompts,
                }
                results[name] = {
                    "words": contender.words,
                    "under": {
                        kind: await _under(load, loads, running, SECONDS * scale, where) for kind, load in kinds.items()
                    },
                }
                print(f"{name}: {results[name]['under']}", flush=True)
            finally:
                running.stop()
    return {"pinned": where.pinned, "preferred": first, "contenders": results}
