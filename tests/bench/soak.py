"""A bounded soak: mixed requests, aborts and faults, while memory, file descriptors and threads are watched.

``python -m tests.bench soak`` makes 100,000, in about four minutes on two cores that nobody else uses; ``--scale .1`` a
tenth of them. The first stage classifies alone: the second takes 8 ms of CPU a request, and its memory is that of its
library from the first request on. Sixteen clients; of ten requests five are short answers, three streams, one a stream
that its client leaves, one a body that is refused. The Mini goes off, comes back, answers 500 and hangs mid-stream in
turn, so that each way of failing is walked many times, and the configuration is changed and reloaded (SIGHUP) at every
fourth sample. All ask with a caller's key.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.demo.hosts import SimulatedHost
from service.demo.scenario import HOSTS, write_configuration
from tests.bench.generator import Connection, Disconnected, request_bytes
from tests.bench.machine import preferred
from tests.bench.processes import Running
from tests.bench.workloads import AUTHORIZATION, PROMPTS, Target, callers

WHOLE = 100_000
"""Requests of a whole run: what is bounded is full long before its end."""
CLIENTS = 16
SAMPLES = 40
FAULTS = ("none", "down", "none", "500", "none", "cut", "none", "429:retry_after=1")
CACHE_BYTES = 4_000_000
ABORT_AFTER_S = 0.03
GROWTH_LIMIT = 0.05
"""Share of the early value that may be added over a run."""
SLACK = {"rss_mb": 0.0, "descriptors": CLIENTS / 2, "threads": 4.0, "tasks": CLIENTS / 2}
"""What may come and go with the clients at work, however small the early value. One that is left behind by each of the
ten reloads is more."""
ASKED_FOR = frozenset(
    {
        "short: 200",
        "stream: 200",
        "stream: 200 ended by an error event",
        "left: 200",
        "left: 200 ended by an error event",
        "left: left",
        "refused: 400",
    }
)
"""Kinds of answers that belong to a good run."""
SPECS = {
    name: replace(spec, first_token_ms=1, token_ms=1, parallel=64 if spec.kind == "ollama" else 0, load_s=0.05)
    for name, spec in HOSTS.items()
}


@dataclass(slots=True)
class Soak:
    """One run.

    Attributes:
        port: Of the service.
        total: Requests to make.
        made: Requests begun so far.
        answers: By kind and status.
        samples: What the process held, over time.
        window_ms: Latencies of short answers since the last sample.
    """

    port: int
    total: int
    made: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)
    window_ms: list[float] = field(default_factory=list)

    async def client(self) -> None:
        """Asks until all requests are made."""
        targets: tuple[Target, ...] = ("ollama", "openai", "paced")
        while self.made < self.total:
            number = self.made
            self.made += 1
            prompt = PROMPTS[targets[number % 3]].format(n=number)
            body: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
            match number % 10:
                case 0 | 2 | 4 | 6 | 8:
                    await self._one("short", {**body, "max_tokens": 8})
                case 9:
                    await self._one("refused", {**body, "messages": "no list"})
                case 7:
                    await self._one("left", {**body, "stream": True}, limit_s=ABORT_AFTER_S)
                case _:
                    await self._one("stream", {**body, "stream": True})

    async def tasks(self) -> float:
        """Tasks of the service's event loop now."""
        connection = await Connection.to(self.port)
        try:
            reply = await connection.ask(request_bytes("/metrics", headers=AUTHORIZATION))
        finally:
            connection.close()
        families = text_string_to_metric_families(reply.body.decode())
        return next(family.samples[0].value for family in families if family.name == "autotier_loop_tasks")

    async def _one(self, kind: str, body: dict[str, Any], limit_s: float = 60.0) -> None:
        connection = await Connection.to(self.port)
        try:
            raw = request_bytes("/v1/chat/completions", body, AUTHORIZATION)
            reply = await connection.ask(raw, limit_s=limit_s)
        except TimeoutError:
            self.answers[f"{kind}: left"] += 1
            return
        except Disconnected:
            self.answers[f"{kind}: connection lost"] += 1
            return
        finally:
            connection.close()
        complete = kind not in ("stream", "left") or reply.status != 200 or b"[DONE]" in reply.body
        self.answers[f"{kind}: {reply.status}{'' if complete else ' ended by an error event'}"] += 1
        if kind == "short":
            self.window_ms.append(reply.total_ms)

    async def sample(self, process: psutil.Process) -> None:
        """Notes what the process holds now."""
        tasks = await self.tasks()
        window, self.window_ms = self.window_ms, []
        self.samples.append(
            {
                "requests": self.made,
                "rss_mb": round(process.memory_info().rss / 1e6, 1),
                "descriptors": process.num_fds(),
                "threads": process.num_threads(),
                "tasks": tasks,
                "short_p50_ms": round(statistics.median(window), 1) if window else None,
            }
        )


def _reload(process: psutil.Process, file: Path, number: int) -> None:
    """Changes a limit in the file and has the service take it."""
    document = yaml.safe_load(file.read_text())
    document["limits"] = {**document.get("limits", {}), "between_tokens_s": 30 + number % 2}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    process.send_signal(signal.SIGHUP)


async def _watch(soak: Soak, process: psutil.Process, mini: SimulatedHost, file: Path) -> None:
    """Samples, turns faults and reloads while the clients ask."""
    step = max(1, soak.total // SAMPLES)
    taken = -1
    while True:
        reached = soak.made // step
        if reached > taken:
            taken = reached
            await soak.sample(process)
            await mini.aset_fault(FAULTS[taken % len(FAULTS)])
            if taken % 4 == 3:
                _reload(process, file, taken // 4)
        await asyncio.sleep(0.05)


def growth(samples: list[dict[str, Any]], key: str) -> dict[str, float]:
    """The medians of the second and the last fifth of the samples, and their difference for 1,000 requests.

    Over 100,000 requests what is bounded is full by then: answers, conversations, requests of the last seconds.
    """
    fifth = max(1, len(samples) // 5)
    early, late = samples[fifth : 2 * fifth] or samples[:1], samples[-fifth:]
    before = statistics.median(one[key] for one in early)
    after = statistics.median(one[key] for one in late)
    apart = statistics.median(one["requests"] for one in late) - statistics.median(one["requests"] for one in early)
    return {"early": before, "late": after, "per_1000": round((after - before) / apart * 1000, 3) if apart else 0.0}


def grows(key: str, grown: Mapping[str, float], requests: int) -> tuple[bool, float]:
    """Whether a value grows, and by how much over the whole run, at the rate of its later part.

    Args:
        key: Which value.
        grown: Its `growth`.
        requests: Of the run.
    """
    whole = grown["per_1000"] * requests / 1000
    return whole > max(GROWTH_LIMIT * grown["early"], SLACK[key]), whole


def unexpected(answers: Mapping[str, int]) -> dict[str, int]:
    """Answers that no part of a good run asks for: a run of 401s would have soaked nothing."""
    return {kind: count for kind, count in answers.items() if kind not in ASKED_FOR}


def configured(folder: Path, addresses: Mapping[str, str]) -> Path:
    """The demo's configuration, with a key, the first stage alone, and a cache full before the run's second fifth.

    Args:
        folder: Where the file and the store go.
        addresses: Base URL by name of the demo's host.
    """
    file = write_configuration(folder, addresses, "auto")
    document = yaml.safe_load(file.read_text())
    document["classifier"] = {**document.get("classifier", {}), "stages": 1}
    document["cache"] = {**document.get("cache", {}), "max_bytes": CACHE_BYTES}
    document["callers"] = callers()
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


async def run(requests: int) -> dict[str, Any]:
    """Soaks, and gives the results as JSON."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autotier-bench-")))
        hosts = {name: stack.enter_context(SimulatedHost(spec)) for name, spec in SPECS.items()}
        file = configured(folder, {name: host.address for name, host in hosts.items()})
        stack.enter_context(preferred())
        argv = (sys.executable, "-m", "service.cli", "serve", "-c", str(file), "--port", "{port}")
        running = await Running(argv, "/readyz").start()
        stack.callback(running.stop)
        process = psutil.Process(running.pid)
        soak = Soak(running.port, requests)
        watch = asyncio.create_task(_watch(soak, process, hosts["mini"], file))
        begun = time.monotonic()
        await asyncio.gather(*(soak.client() for _ in range(CLIENTS)))
        seconds = time.monotonic() - begun
        watch.cancel()
        await asyncio.wait((watch,))
        await asyncio.sleep(2)
        tasks = await soak.tasks()
        settled = {"descriptors": process.num_fds(), "threads": process.num_threads(), "tasks": tasks}
        reloads = running.said().count("reloaded")
        lines = [line for line in running.said().splitlines() if "Traceback" in line or "never retrieved" in line]
        return {
            "requests": requests,
            "seconds": round(seconds, 1),
            "answers": dict(sorted(soak.answers.items())),
            "growth": {key: growth(soak.samples, key) for key in SLACK},
            "settled": settled,
            "reloads_in_log": reloads,
            "tracebacks_in_log": len(lines),
            "samples": soak.samples,
        }
