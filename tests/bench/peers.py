"""Ours beside a bare forwarder, ``litellm.Router``, the litellm proxy and other gateways, against the same hosts.

The service under measurement has a core to itself; the generator and the simulated hosts share the other one. All
are started first, then asked in rounds, one at a time while the others are paused: what else the machine does meets
all of them alike. One connection, one request at a time.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.demo.hosts import SimulatedHost
from tests.bench.contenders import ALL, Contender
from tests.bench.generator import Connection, Reply, request_bytes
from tests.bench.installs import Skipped
from tests.bench.machine import Cores, core_time, cores, cpu_s, pin, preferred, rss_mb, verdict
from tests.bench.processes import NotStarted, Running
from tests.bench.workloads import HOSTS, TIER_OF, WORKLOADS, Target, Workload

ROUNDS = 3
WARM = 15
SETTLE_S = 0.8
"""Longer than a batch of records waits: writing them belongs to the requests."""


class WrongAnswer(RuntimeError):
    """A contender did not answer what the host says; its times would mean nothing."""


@dataclass(slots=True)
class Row:
    """What was measured of one contender in one workload, over all rounds.

    Attributes:
        total_ms: Latency of each request, in ms.
        first_ms: Time to the first byte of the body of each, in ms.
        cpu_s: CPU seconds of the service over all requests.
        own_busy: Highest share of a round in which generator and hosts kept their core busy.
        foreign: Highest share of either core that other programs took in a round.
    """

    total_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    own_busy: float = 0.0
    foreign: float = 0.0

    def public(self, preferred: bool) -> dict[str, Any]:
        """As JSON, with its verdict (`tests.bench.machine.verdict`)."""
        ordered = sorted(self.total_ms)
        return {
            "requests": len(ordered),
            "p50_ms": round(statistics.median(ordered), 3),
            "p99_ms": round(ordered[int(len(ordered) * 0.99) - 1], 3),
            "first_p50_ms": round(statistics.median(self.first_ms), 3),
            "cpu_ms": round(self.cpu_s / len(ordered) * 1000, 3),
            "generator_and_host_busy": round(self.own_busy, 2),
            "taken_by_others": round(self.foreign, 2),
            "verdict": verdict(own_busy=self.own_busy, foreign=self.foreign, preferred=preferred),
        }


@dataclass(slots=True)
class Lane:
    """One contender that runs, with its rows by workload."""

    contender: Contender
    running: Running
    rows: dict[str, Row] = field(default_factory=dict)

    def raw(self, workload: Workload, number: int) -> bytes:
        """One request for the wire."""
        contender = self.contender
        body = workload.body(contender.models[workload.target], number)
        return request_bytes(contender.path, body, contender.headers.get(workload.target))

    def check(self, workload: Workload, reply: Reply) -> None:
        """Whether the right host answered in the right form.

        Raises:
            WrongAnswer: It did not.
        """
        expected = f"{TIER_OF[workload.target]}-{workload.target}"
        named = reply.headers.get(self.contender.deployment, expected)
        complete = not workload.stream or reply.events >= 64
        if reply.status != 200 or b"simulated" not in reply.body or not complete or named != expected:
            text = bytes(reply.body[:400]).decode("utf-8", "replace")
            raise WrongAnswer(f"{workload.name}: HTTP {reply.status}, {named}, {reply.events} events: {text}")


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rounds share.

    Attributes:
        cores: Where the service and the others run.
        hosts: Process ids of the simulated hosts.
        preferred: Whether the run goes before other programs.
        skipped: Who could not be measured, and why.
    """

    cores: Cores
    hosts: tuple[int, ...]
    preferred: bool
    skipped: dict[str, str]

    def generating_s(self) -> float:
        """CPU seconds of the generator (this process) and the hosts."""
        return time.process_time() + sum(cpu_s(pid) for pid in self.hosts)

    async def round(self, lane: Lane, workload: Workload, count: int, first: int) -> None:
        """One round of one contender: warm-up, then ``count`` requests on one connection."""
        row = lane.rows.setdefault(workload.name, Row())
        pid = lane.running.pid
        connection = await Connection.to(lane.running.port)
        try:
            for number in range(WARM):
                lane.check(workload, await connection.ask(lane.raw(workload, first + number)))
            await asyncio.sleep(SETTLE_S)
            requests = [lane.raw(workload, first + WARM + number) for number in range(count)]
            cpu, generating = cpu_s(pid), self.generating_s()
            service, other = core_time(self.cores.service), core_time(self.cores.other)
            begun = time.perf_counter()
            replies = [await connection.ask(raw) for raw in requests]
            wall = time.perf_counter() - begun
            service_busy = core_time(self.cores.service).busy_since(service)
            other_busy = core_time(self.cores.other).busy_since(other)
            spent, own = cpu_s(pid) - cpu, (self.generating_s() - generating) / wall
            await asyncio.sleep(SETTLE_S)
            row.cpu_s += cpu_s(pid) - cpu
        finally:
            connection.close()
        lane.check(workload, replies[-1])
        row.total_ms += [reply.total_ms for reply in replies]
        row.first_ms += [reply.first_ms for reply in replies]
        row.own_busy = max(row.own_busy, own)
        row.foreign = max(row.foreign, service_busy - spent / wall, other_busy - own)


async def _start(
    names: tuple[str, ...], addresses: dict[Target, str], folder: Path, bench: Bench, stack: ExitStack
) -> list[Lane]:
    """Starts the contenders one after the other, and pauses each."""
    lanes: list[Lane] = []
    for name in names:
        try:
            contender = ALL[name](addresses, folder)
            running = Running(contender.argv, contender.ready, bench.cores.service, contender.env)
            await running.start()
        except (Skipped, NotStarted) as error:
            bench.skipped[name] = str(error)
            print(f"{name}: skipped: {error}")
            continue
        stack.callback(running.stop)
        running.pause()
        lanes.append(Lane(contender, running))
        print(f"{name}: ready in {running.ready_s:.2f} s with {running.ready_rss_mb:.0f} MB", flush=True)
    return lanes


async def run(scale: float = 1.0, names: tuple[str, ...] = tuple(ALL)) -> dict[str, Any]:
    """Measures, and gives the results as JSON.

    Args:
        scale: Factor on the numbers of requests.
        names: Contenders, of `ALL`; the forwarder is always one.
    """
    where = cores()
    pin(where.other)
    with ExitStack() as stack:
        first = stack.enter_context(preferred())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autotier-bench-")))
        hosts = {target: stack.enter_context(SimulatedHost(spec)) for target, spec in HOSTS.items()}
        addresses = {target: host.address for target, host in hosts.items()}
        bench = Bench(where, tuple(host.pid for host in hosts.values()), first, {})
        lanes = await _start(tuple(dict.fromkeys(("forwarder", *names))), addresses, folder, bench, stack)
        for turn in range(ROUNDS):
            await _turn(lanes, turn, scale, bench)
        return {
            "pinned": where.pinned,
            "preferred": first,
            "skipped": bench.skipped,
            "contenders": {lane.contender.name: _public(lane, first) for lane in lanes},
        }


def _public(lane: Lane, preferred: bool) -> dict[str, Any]:
    """One contender's results as JSON."""
    return {
        "words": lane.contender.words,
        "ready_s": round(lane.running.ready_s, 2),
        "ready_cpu_s": round(lane.running.ready_cpu_s, 2),
        "ready_rss_mb": round(lane.running.ready_rss_mb),
        "rss_mb": round(rss_mb(lane.running.pid)),
        "workloads": {name: row.public(preferred) for name, row in lane.rows.items()},
    }


async def _turn(lanes: list[Lane], turn: int, scale: float, bench: Bench) -> None:
    """One round of all workloads over all contenders."""
    for place, workload in enumerate(WORKLOADS):
        count = max(10, int(workload.count * scale / ROUNDS))
        first = 1000 * (1 + turn * len(WORKLOADS) + place)  # no prompt twice: a repeat would be decided otherwise
        for lane in lanes:
            lane.running.resume()
            try:
                await bench.round(lane, workload, count, first)
            except (WrongAnswer, OSError, TimeoutError) as error:
                bench.skipped[f"{lane.contender.name}: {workload.name}"] = f"{type(error).__name__}: {error}"
                print(f"{lane.contender.name}: {workload.name}: {error}")
                lane.rows.pop(workload.name, None)
            finally:
                lane.running.pause()
