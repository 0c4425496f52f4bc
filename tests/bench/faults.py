"""Time to the first token of a lightweight request while hosts are off, asleep, hung or flapping.

Ours beside ``litellm.Router`` with the configuration that people copy (``configs/litellm-two-macs.yaml``) and with
the best settings known for it. Each contender has its own four hosts (Mini, MacBook, two clouds) and all run at once:
nearly all of the time is waiting. A cell starts from a state without memory of failures and has 100 s in all.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import orjson
import yaml

from service.config.seed import shipped
from service.demo.hosts import HostSpec, SimulatedHost
from service.demo.scenario import HOSTS, KEY, write_configuration
from tests.bench.contenders import LITELLM_ENVIRONMENT
from tests.bench.generator import Connection, Disconnected, request_bytes
from tests.bench.processes import Running
from tests.bench.workloads import PROMPTS

CELL_S = 100.0
FOLLOWING = 5
KNOWN_S = 3.0
FLAPPING_S = 20.0
FLAPPING_PAUSE_S = 0.4
HUNG_STREAM_S = 8
"""What the Router may wait for a first token with the best settings: as long as we do for a loaded model."""

ROOMY = {
    **HOSTS,
    "macbook": replace(HOSTS["macbook"], loaded=("qwen3-coder:30b@8192", "qwen3:8b@8192"), memory_gb=64),
}
"""The demo's hosts with both models in the MacBook's memory: the fail-over is measured, not a load."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One situation.

    Attributes:
        words: In the README's table.
        faults: By host.
        age_s: How long the fault has been there when the first request comes, in seconds. The last answer before it
            was good; at 0 s nobody can know of the fault yet.
        specs: The hosts.
    """

    words: str
    faults: Mapping[str, str]
    age_s: float = KNOWN_S
    specs: Mapping[str, HostSpec] = field(default_factory=lambda: ROOMY)


CELLS: dict[str, Cell] = {
    "none": Cell("no fault", {}),
    "refused": Cell("Mini off (refused)", {"mini": "down"}),
    "black-hole": Cell("Mini asleep (black hole)", {"mini": "black-hole"}),
    "black-hole-now": Cell("Mini falls asleep between two requests", {"mini": "black-hole"}, 0.0),
    "hang": Cell("Mini accepts and hangs", {"mini": "hang"}),
    "hang-now": Cell("Mini begins to hang between two requests", {"mini": "hang"}, 0.0),
    "500": Cell("Mini answers 500", {"mini": "500"}),
    "flapping": Cell("Mini 2 s up, 2 s down", {"mini": "flapping:s=2"}, 0.0),
    "both-off": Cell("both Macs off (refused)", {"mini": "down", "macbook": "down"}),
    "both-asleep": Cell("both Macs asleep (black hole)", {"mini": "black-hole", "macbook": "black-hole"}),
    "swap": Cell("Mini off, MacBook holds the coder only (2 s to load the 8B)", {"mini": "down"}, specs=HOSTS),
}


class Subject(Protocol):
    """A contender of this bench."""

    port: int
    model: str

    async def fresh(self, addresses: Mapping[str, str], folder: Path) -> None:
        """Serves over these hosts, without memory of anything before."""
        ...

    def stop(self) -> None:
        """Ends it."""
        ...


class Autotier:
    """The service with the demo's configuration."""

    model = "auto"

    def __init__(self) -> None:
        self.port = 0
        self._running: Running | None = None

    async def fresh(self, addresses: Mapping[str, str], folder: Path) -> None:
        """Starts it anew, without the store of before."""
        self.stop()
        for left in folder.glob("demo.sqlite3*"):
            left.unlink()
        file = write_configuration(folder, addresses, "auto")
        argv = (sys.executable, "-m", "service.cli", "serve", "-c", str(file), "--port", "{port}")
        self._running = await Running(argv, "/readyz").start()
        self.port = self._running.port

    def stop(self) -> None:
        """Ends the process."""
        if self._running is not None:
            self._running.stop()
            self._running = None


class Router:
    """``litellm.Router`` alone; one process, a fresh Router for each cell."""

    model = "lightweight-tier"

    def __init__(self, *, best: bool) -> None:
        self.port = 0
        self._best = best
        self._running: Running | None = None

    async def fresh(self, addresses: Mapping[str, str], folder: Path) -> None:
        """Starts the process, or makes it build another Router."""
        settings = best_settings(addresses) if self._best else copied_settings(addresses)
        if self._running is None:
            file = folder / "router.json"
            file.write_text(json.dumps(settings))
            argv = (sys.executable, "-m", "tests.bench.bare_router", "{port}", str(file))
            self._running = await Running(argv, "/healthz", env=LITELLM_ENVIRONMENT).start()
            self.port = self._running.port
            return
        connection = await Connection.to(self.port)
        try:
            reply = await connection.ask(request_bytes("/configure", settings))
        finally:
            connection.close()
        if reply.status != 200:
            raise RuntimeError(f"the Router was not built: {bytes(reply.body[:300])!r}")

    def stop(self) -> None:
        """Ends the process."""
        if self._running is not None:
            self._running.stop()
            self._running = None


CONTENDERS: dict[str, tuple[str, Any]] = {
    "autotier": ("autotier", Autotier),
    "router-copied": ("`litellm.Router`, copied configuration", lambda: Router(best=False)),
    "router-best": ("`litellm.Router`, best settings known", lambda: Router(best=True)),
}


def copied_settings(addresses: Mapping[str, str]) -> dict[str, Any]:
    """``configs/litellm-two-macs.yaml`` over these hosts, for `tests.bench.bare_router`; without its answer cache."""
    document = yaml.safe_load(shipped("litellm-two-macs.yaml").read_text(encoding="utf-8"))
    for entry in document["model_list"]:
        parameters, name = entry["litellm_params"], entry["model_info"]["id"]
        if parameters["model"].startswith("ollama"):
            parameters["api_base"] = addresses["mini" if "mini" in parameters["api_base"] else "macbook"]
        else:
            parameters["api_base"] = addresses["cloud2" if name.endswith("-2") else "cloud1"] + "/v1"
            parameters["api_key"] = KEY
    settings = document["litellm_settings"]
    module = {name: settings[name] for name in ("request_timeout", "drop_params")}
    arguments = ("num_retries", "allowed_fails", "cooldown_time", "fallbacks", "context_window_fallbacks")
    router = {name: settings[name] for name in arguments} | document["router_settings"]
    return {"model_list": document["model_list"], "router": router, "module": module, "preflight_ms": 0}


def best_settings(addresses: Mapping[str, str]) -> dict[str, Any]:
    """The same deployments with the best settings known (EVIDENCE: a pre-flight, one attempt each, a short rest)."""
    settings = copied_settings(addresses)
    for entry in settings["model_list"]:
        parameters = entry["litellm_params"]
        parameters.pop("extra_body", None)
        if parameters["model"].startswith("ollama"):
            parameters |= {"num_ctx": 8192, "stream_timeout": HUNG_STREAM_S}
    router = settings["router"]
    router |= {"num_retries": 0, "allowed_fails": 1, "cooldown_time": 15, "max_fallbacks": 10}
    return {**settings, "preflight_ms": 300}


async def _first_token(subject: Subject, number: int, limit_s: float) -> dict[str, Any]:
    """One streamed request: ``{"ms", "by"}``, or ``{"failed"}``; no ``ms`` where the limit was up."""
    body = {
        "model": subject.model,
        "messages": [{"role": "user", "content": PROMPTS["ollama"].format(n=number)}],
        "stream": True,
    }
    connection = await Connection.to(subject.port)
    try:
        reply = await connection.ask(request_bytes("/v1/chat/completions", body), limit_s=limit_s)
    except TimeoutError:
        return {"over": round(limit_s)}
    except Disconnected:
        return {"failed": "cut"}
    finally:
        connection.close()
    if reply.status != 200:
        return {"failed": f"HTTP {reply.status}", "ms": round(reply.total_ms)}
    by = served_by(bytes(reply.body))
    return {"ms": round(reply.first_ms, 1), "by": by} if by else {"failed": "empty 200", "ms": round(reply.total_ms)}


def served_by(stream: bytes) -> str:
    """Which simulated host's text a stream holds; empty where there is none."""
    text = ""
    for line in stream.splitlines():
        if line.startswith(b"data: {"):
            for choice in orjson.loads(line[6:]).get("choices") or ():
                text += (choice.get("delta") or {}).get("content") or ""
    found = re.match(r"\[simulated (\S+)", text)
    return found[1] if found else ""


async def _cell(subject: Subject, hosts: Mapping[str, SimulatedHost], name: str) -> dict[str, Any]:
    """One cell: a request while all is well, then the fault, then requests while it lasts."""
    await _first_token(subject, 1, CELL_S)
    for host, fault in CELLS[name].faults.items():
        await hosts[host].aset_fault(fault)
    await asyncio.sleep(CELLS[name].age_s)
    end = time.monotonic() + (FLAPPING_S if name == "flapping" else CELL_S)
    asked: list[dict[str, Any]] = []
    while (left := end - time.monotonic()) > 0.5:
        asked.append(await _first_token(subject, 2 + len(asked), left))
        if name == "flapping":
            await asyncio.sleep(FLAPPING_PAUSE_S)
        elif len(asked) > FOLLOWING or (asked[-1].get("ms") or 0) > CELL_S * 500:
            break
    good = [one["ms"] for one in asked if "by" in one]
    following = [one["ms"] for one in asked[1:] if "by" in one]
    return {
        "first": asked[0],
        "following_ms": round(statistics.median(following), 1) if following else None,
        "largest_ms": max(good, default=None),
        "asked": len(asked),
        "failed": sum("failed" in one for one in asked),
        "by": sorted({one["by"] for one in asked if "by" in one}),
    }


async def _contender(name: str) -> dict[str, Any]:
    """All cells of one contender."""
    words, make = CONTENDERS[name]
    subject: Subject = make()
    cells: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autotier-bench-")))
        stack.callback(subject.stop)
        for specs in (ROOMY, HOSTS):
            hosts = {key: SimulatedHost(spec) for key, spec in specs.items()}
            try:
                for host in hosts.values():
                    await asyncio.to_thread(host.start)
                addresses = {key: host.address for key, host in hosts.items()}
                for cell in (key for key, value in CELLS.items() if value.specs is specs):
                    for host in hosts.values():
                        await host.areset()
                    await subject.fresh(addresses, folder)
                    cells[cell] = await _cell(subject, hosts, cell)
                    print(f"{name}: {cell}: {cells[cell]}", flush=True)
            finally:
                for host in hosts.values():
                    host.stop()
    return {"words": words, "cells": cells}


async def run(names: tuple[str, ...] = tuple(CONTENDERS)) -> dict[str, Any]:
    """Measures, and gives the results as JSON: at most 100 s a cell, all contenders at once."""
    found = await asyncio.gather(*(_contender(name) for name in names))
    return {
        "cells": {name: value.words for name, value in CELLS.items()},
        "contenders": dict(zip(names, found, strict=True)),
    }
