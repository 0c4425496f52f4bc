"""A configuration over simulated hosts, and plans for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from classifier import Tier
from service.config import Configuration, Deployment
from service.demo.hosts import SimulatedHost
from service.upstream.interface import Call
from service.upstream.plan import Plan

SMALL, CODER = "qwen3:8b", "qwen3-coder:30b"


def house(
    mini: SimulatedHost,
    macbook: SimulatedHost,
    cloud: SimulatedHost,
    *,
    way: Literal["auto", "router"] = "auto",
    parallel: int = 0,
    **limits: Any,
) -> Configuration:
    """Mini, MacBook, cloud for lightweight; MacBook, cloud for coding; cloud for reasoning."""

    def local(ident: str, host: str, model: str) -> dict[str, Any]:
        return {
            "id": ident,
            "host": host,
            "provider": "ollama",
            "model": model,
            "context": 8192,
            "think": False if model == SMALL else None,
            "parallel": parallel,
        }

    def paid(ident: str) -> dict[str, Any]:
        return {"id": ident, "host": "cloud", "provider": "openai", "model": "gpt-4.1", "context": 100_000}

    return Configuration.model_validate(
        {
            "hosts": {
                "mini": {"address": mini.address, "local": True, "memory_gb": 16},
                "macbook": {"address": macbook.address, "local": True, "memory_gb": 24},
                "cloud": {"address": cloud.openai_base, "key": "sk-simulated-key"},
            },
            "upstream": {"way": way},
            "limits": limits,
            "tiers": {
                "lightweight": {
                    "first_token_s": 30,
                    "deployments": [
                        local("light-mini", "mini", SMALL),
                        local("light-macbook", "macbook", SMALL),
                        paid("light-cloud"),
                    ],
                },
                "coding": {
                    "first_token_s": 120,
                    "deployments": [local("coding-local", "macbook", CODER), paid("coding-cloud")],
                },
                "reasoning": {"first_token_s": 180, "deployments": [paid("reasoning-cloud")]},
            },
        }
    )


def plan(
    configuration: Configuration,
    tier: Tier = Tier.LIGHTWEIGHT,
    body: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    """A plan over the tier's own deployments."""
    asked = body or {"messages": [{"role": "user", "content": "What is a closure?"}], "max_tokens": 20}

    def call(deployment: Deployment) -> Call:
        return Call(deployment, configuration.address_of(deployment), configuration.key_of(deployment), asked)

    settings = configuration.tiers[tier]
    values: dict[str, Any] = {
        "deployments": settings.deployments,
        "first_token_s": settings.first_token_s,
        "stand_ins": configuration.tiers.coding.deployments[:1] if tier is Tier.LIGHTWEIGHT else (),
        "local_allowed": tier is not Tier.REASONING,
        **changes,
    }
    return Plan(tier=tier, call=call, **values)


def told(made: Plan) -> list[tuple[str, str]]:
    """Deployment and outcome of every attempt."""
    return [(a.deployment_id, str(a.outcome)) for a in made.attempts]
