"""Deployments for what a house has: models that are pulled, and clouds whose keys are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifier import Tier
from service.config.catalog import LOCAL_SPEEDS, known
from service.config.probe import HostReport, PulledModel
from service.config.providers import DEFAULT_ADDRESSES, FIXED_SAMPLING_FIELDS, fixes_sampling, sees_images
from service.config.references import PREFIX

LOCAL_CONTEXT = 8192
"""Context asked of a local model whose Modelfile sets none: what the tiers are defined with."""
LIGHTWEIGHT_BYTES = 5.2e9
"""File size of an 8B model at four bits, what the lightweight tier stands for."""
_CODER = re.compile(r"code|devstral|starcoder", re.IGNORECASE)
_NO_CHAT = re.compile(r"embed|minilm|bge-|rerank|guard", re.IGNORECASE)
FIRST_TOKEN_S = {Tier.LIGHTWEIGHT: 30, Tier.CODING: 120, Tier.REASONING: 180}


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud account that a house may have.

    Attributes:
        name: Name of the host.
        provider: How it is spoken to.
        variable: Environment variable of its key.
        models: One model per tier, in the order of the tiers; all of them in the catalogue.
    """

    name: str
    provider: str
    variable: str
    models: tuple[str, str, str]


CLOUDS = (
    Cloud("openai", "openai", "OPENAI_API_KEY", ("gpt-4.1-mini", "gpt-4.1", "o3-mini")),
    Cloud(
        "anthropic",
        "anthropic",
        "ANTHROPIC_API_KEY",
        ("claude-3-5-haiku-latest", "claude-sonnet-4-20250514", "claude-sonnet-4-20250514"),
    ),
    Cloud(
        "openrouter",
        "openai",
        "OPENROUTER_API_KEY",
        ("openai/gpt-4.1-mini", "openai/gpt-4.1", "anthropic/claude-sonnet-4"),
    ),
)


def house(hosts: Mapping[str, HostReport], clouds: Iterable[Cloud]) -> dict[str, Any]:
    """A configuration for local hosts, in the order in which they are tried, and clouds behind them.

    Args:
        hosts: Reports by host name; those without a chat model give no deployment.
        clouds: Those to use, in order.

    Returns:
        A mapping in our shape, keys by reference. Tiers without a deployment are empty lists.
    """
    clouds = tuple(clouds)
    tiers: dict[str, Any] = {
        tier.value: {"first_token_s": FIRST_TOKEN_S[tier], "fallbacks": [], "deployments": []} for tier in Tier
    }
    for tier in (Tier.LIGHTWEIGHT, Tier.CODING):
        for name, report in hosts.items():
            model = chosen(report.models, tier)
            if model is not None:
                tiers[tier.value]["deployments"].append(local_deployment(f"{tier}-{name}", name, model, tier))
    for number, tier in enumerate(Tier):
        for cloud in clouds:
            tiers[tier.value]["deployments"].append(
                cloud_deployment(f"{tier}-{cloud.name}", cloud, cloud.models[number])
            )
    listed: dict[str, Any] = {name: {"address": r.address, "local": True} for name, r in hosts.items()}
    listed |= {cloud.name: cloud_host(cloud) for cloud in clouds}
    return {"hosts": listed, "tiers": tiers}


def chosen(models: Sequence[PulledModel], tier: Tier) -> PulledModel | None:
    """The model among those pulled that comes nearest to what the tier stands for.

    Lightweight: nearest to an 8B, a coder only if there is nothing else. Coding: a coder of some size, else the
    largest. None where no model can chat.
    """
    able = [m for m in models if "completion" in m.capabilities or (not m.capabilities and not _NO_CHAT.search(m.name))]
    if not able:
        return None
    if tier is Tier.LIGHTWEIGHT:
        return min(able, key=lambda m: (bool(_CODER.search(m.name)), abs(m.size_bytes - LIGHTWEIGHT_BYTES)))
    coders = [m for m in able if _CODER.search(m.name) and m.size_bytes >= LIGHTWEIGHT_BYTES * 0.7]
    return max(coders or able, key=lambda m: m.size_bytes)


def local_deployment(identifier: str, host: str, model: PulledModel, tier: Tier) -> dict[str, Any]:
    """A deployment of a pulled model."""
    context = model.num_ctx or min(LOCAL_CONTEXT, model.trained_context or LOCAL_CONTEXT)
    made: dict[str, Any] = {
        "id": identifier,
        "host": host,
        "provider": "ollama",
        "model": model.name.removesuffix(":latest"),
        "context": context,
        "parallel": 1,
        "keep_alive": "30m",
    }
    if model.name in LOCAL_SPEEDS:
        made["tokens_per_s"] = LOCAL_SPEEDS[model.name]
    if tier is Tier.LIGHTWEIGHT and ("thinking" in model.capabilities or model.name.startswith("qwen3:")):
        made["think"] = False
    if model.capabilities:
        made["capabilities"] = {"tools": "tools" in model.capabilities, "images": "vision" in model.capabilities}
    return made


def cloud_host(cloud: Cloud) -> dict[str, Any]:
    """A cloud as an entry of hosts."""
    return {"address": DEFAULT_ADDRESSES[cloud.name], "local": False, "key": PREFIX + cloud.variable}


def cloud_deployment(identifier: str, cloud: Cloud, model: str) -> dict[str, Any]:
    """A deployment of a cloud's model.

    Raises:
        LookupError: The catalogue does not know the model.
    """
    facts = known(model)
    if facts is None:
        raise LookupError(model)
    capabilities: dict[str, Any] = {"images": sees_images(model)}
    if cloud.provider == "openai" and fixes_sampling(model):
        capabilities["fields"] = list(FIXED_SAMPLING_FIELDS)
    return {
        "id": identifier,
        "host": cloud.name,
        "provider": cloud.provider,
        "model": model,
        "context": facts.window,
        "tokens_per_s": facts.tokens_per_s,
        "prices": {"input_per_mtok": facts.input_per_mtok, "output_per_mtok": facts.output_per_mtok},
        "capabilities": capabilities,
    }
