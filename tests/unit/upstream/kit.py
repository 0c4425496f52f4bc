"""A chain over scripted deployments: the real chain, health, fleet and pre-flight, and a way that plays scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from classifier import Tier
from service.config import Configuration, Deployment
from service.upstream.chain import Chain
from service.upstream.fleet import Fleet
from service.upstream.health import Health
from service.upstream.interface import Call, Chunk, Outcome, UpstreamFailure, Usage, WayName
from service.upstream.plan import Plan
from service.upstream.preflight import Preflight
from service.upstream.ways import Ways

Step = list[Chunk] | UpstreamFailure | float
"""A batch, a failure that is raised, or seconds of silence."""


def delta(finish: str | None = None, **fields: Any) -> Chunk:
    """A chunk with one choice."""
    return Chunk(choices=[{"index": 0, "delta": fields, "finish_reason": finish}])


def answer(text: str = "hello", *, model: str = "m", prompt: int = 7) -> list[Step]:
    """A whole good answer."""
    return [
        [Chunk(delta(role="assistant", content="").choices, served_model=model)],
        [delta(content=text)],
        [delta("stop")],
        [Chunk(usage=Usage(prompt, 3))],
    ]


def fails(outcome: Outcome, **details: Any) -> list[Step]:
    """A failure before anything came."""
    return [UpstreamFailure(outcome, "scripted", **details)]


@dataclass
class ScriptedWay:
    """Plays the script of each deployment; remembers what was called and closed."""

    scripts: Mapping[str, Sequence[Step]]
    name: WayName = "lean"
    called: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def stream(self, call: Call) -> AsyncIterator[list[Chunk]]:
        """See `Way.stream`."""
        self.called.append(call.deployment.id)
        try:
            for step in self.scripts[call.deployment.id]:
                if isinstance(step, UpstreamFailure):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed.append(call.deployment.id)

    async def close(self) -> None:
        """Nothing is pooled."""


def configuration(
    address: str,
    *,
    lightweight: Sequence[Mapping[str, Any]] = (),
    coding: Sequence[Mapping[str, Any]] = (),
    reasoning: Sequence[Mapping[str, Any]] = (),
    hosts: Mapping[str, Mapping[str, Any]] | None = None,
    **limits: Any,
) -> Configuration:
    """A configuration whose hosts ``house`` (local) and ``cloud`` listen at ``address``."""

    def tier(deployments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        defaults = {"host": "cloud", "provider": "openai", "model": "m", "context": 8192}
        return {"first_token_s": 5, "deployments": [{**defaults, **d} for d in deployments]}

    named = {"house": {"address": address, "local": True}, "cloud": {"address": address}, **(hosts or {})}
    tiers = {"lightweight": tier(lightweight), "coding": tier(coding), "reasoning": tier(reasoning)}
    return Configuration.model_validate({"hosts": named, "tiers": tiers, "limits": limits})


@dataclass
class Rig:
    """A chain and what stands around it."""

    chain: Chain
    way: ScriptedWay
    health: Health
    fleet: Fleet
    configuration: Configuration

    def plan(self, tier: Tier = Tier.LIGHTWEIGHT, **changes: Any) -> Plan:
        """A plan over the tier's own deployments."""

        def call(deployment: Deployment) -> Call:
            return Call(deployment, "http://unused", None, {"messages": []})

        settings = self.configuration.tiers[tier]
        values: dict[str, Any] = {
            "deployments": settings.deployments,
            "first_token_s": settings.first_token_s,
            "local_allowed": tier is not Tier.REASONING,
            **changes,
        }
        return Plan(tier=tier, call=call, **values)


def rig(configuration: Configuration, scripts: Mapping[str, Sequence[Step]]) -> Rig:
    """Puts a chain together without a prober."""
    health = Health(configuration.limits)
    fleet = Fleet(configuration, health, Preflight(configuration.limits))
    way = ScriptedWay(scripts)
    return Rig(Chain(configuration, Ways(router=way, lean=way), health, fleet), way, health, fleet, configuration)


@asynccontextmanager
async def listening() -> AsyncIterator[str]:
    """A server that takes connections and says nothing: enough for a pre-flight."""

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def closed_port() -> str:
    """An address where nobody listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


def told(plan: Plan) -> list[tuple[str, str]]:
    """Deployment and outcome of every attempt."""
    return [(a.deployment_id, str(a.outcome)) for a in plan.attempts]
