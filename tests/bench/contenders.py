"""Who is measured: ours both ways, the yardstick, and the peers, each with how it is started and asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.bench import installs
from tests.bench.workloads import (
    AUTHORIZATION,
    CLOUD_MODEL,
    KEY,
    OLLAMA_MODEL,
    Target,
    router_list,
    write_service_configuration,
)

Addresses = Mapping[Target, str]
LITELLM_ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1"}
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One service to measure.

    Attributes:
        name: In results.
        words: In the README's table.
        argv: Command line; ``{port}`` is put in.
        env: Beyond the usual environment.
        ready: Path that answers 200 once it serves.
        models: The model to ask for, by host.
        headers: Headers that go with a request, by host.
        path: Path of chat completions.
        deployment: Header that names the deployment, to be checked against the host.
    """

    name: str
    words: str
    argv: tuple[str, ...]
    ready: str
    models: Mapping[Target, str]
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[Target, Mapping[str, str]] = field(default_factory=dict)
    path: str = CHAT
    deployment: str = ""


def _named(addresses: Addresses) -> dict[Target, str]:
    return {target: f"bench-{target}" for target in addresses}


def forwarder(addresses: Addresses, folder: Path) -> Contender:
    """The bare FastAPI + aiohttp forwarder; Ollama is met at its OpenAI-compatible endpoint."""
    targets = {
        f"bench-{target}": [f"{address}/v1", OLLAMA_MODEL if target == "ollama" else CLOUD_MODEL]
        for target, address in addresses.items()
    }
    argv = (sys.executable, "-m", "tests.bench.forwarder", "{port}", json.dumps(targets))
    return Contender(
        name="forwarder",
        words="bare FastAPI + aiohttp forwarder",
        argv=argv,
        ready="/healthz",
        models=_named(addresses),
    )


def _autotier(addresses: Addresses, folder: Path, way: str) -> Contender:
    file = write_service_configuration(folder, addresses, way)
    argv = (sys.executable, "-m", "service.cli", "serve", "-c", str(file), "--port", "{port}")
    return Contender(
        name=f"autotier-{way}",
        words=f"autotier, `way: {way}`",
        argv=argv,
        ready="/readyz",
        models=dict.fromkeys(addresses, "auto"),
        headers={target: {**AUTHORIZATION, "x-autotier-cache": "bypass"} for target in addresses},
        deployment="x-autotier-deployment",
    )


def autotier_auto(addresses: Addresses, folder: Path) -> Contender:
    """Ours, the lean way."""
    return _autotier(addresses, folder, "auto")


def autotier_router(addresses: Addresses, folder: Path) -> Contender:
    """Ours, by litellm's Router."""
    return _autotier(addresses, folder, "router")


def router(addresses: Addresses, folder: Path) -> Contender:
    """``litellm.Router`` behind the forwarder's app."""
    file = folder / "router.json"
    file.write_text(json.dumps({"model_list": router_list(addresses), "router": {"num_retries": 0}}))
    return Contender(
        name="router",
        words="`litellm.Router` behind the same bare app",
        argv=(sys.executable, "-m", "tests.bench.bare_router", "{port}", str(file)),
        env=LITELLM_ENVIRONMENT,
        ready="/healthz",
        models=_named(addresses),
    )


def litellm_proxy(addresses: Addresses, folder: Path) -> Contender:
    """The litellm proxy, one worker, without database, key and cache."""
    command = installs.litellm_proxy()
    file = folder / "proxy.yaml"
    settings = {"num_retries": 0}
    file.write_text(yaml.safe_dump({"model_list": router_list(addresses), "litellm_settings": settings}))
    argv = (str(command), "--config", str(file), "--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1")
    return Contender(
        name="litellm-proxy",
        words="litellm proxy 1.109.1",
        argv=argv,
        env={**LITELLM_ENVIRONMENT, "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"},
        ready="/health/liveliness",
        models=_named(addresses),
    )


def portkey(addresses: Addresses, folder: Path) -> Contender:
    """Portkey's gateway on Node; provider and host go with each request."""
    headers: dict[Target, Mapping[str, str]] = {}
    for target, address in addresses.items():
        provider, host = ("ollama", address) if target == "ollama" else ("openai", f"{address}/v1")
        headers[target] = {
            "x-portkey-provider": provider,
            "x-portkey-custom-host": host,
            "Authorization": f"Bearer {KEY}",
        }
    return Contender(
        name="portkey",
        words="Portkey gateway 1.15.2 (Node)",
        argv=(*installs.portkey(), "--port={port}"),
        env={"TRUSTED_CUSTOM_HOSTS": "localhost,127.0.0.1,::1"},
        ready="/",
        models={target: OLLAMA_MODEL if target == "ollama" else CLOUD_MODEL for target in addresses},
        headers=headers,
    )


def tensorzero(addresses: Addresses, folder: Path) -> Contender:
    """TensorZero's Rust gateway embedded in a bare FastAPI app, observability off."""
    python = installs.tensorzero()
    lines = ["[gateway]", "observability.enabled = false", ""]
    for target, address in addresses.items():
        model = OLLAMA_MODEL if target == "ollama" else CLOUD_MODEL
        lines += [
            f"[models.bench-{target}]",
            'routing = ["host"]',
            f"[models.bench-{target}.providers.host]",
            'type = "openai"',
            f'model_name = "{model}"',
            f'api_base = "{address}/v1/"',
            'api_key_location = "none"',
            "",
        ]
    file = folder / "tensorzero.toml"
    file.write_text("\n".join(lines))
    script = str(Path(__file__).with_name("bare_tensorzero.py"))
    return Contender(
        name="tensorzero",
        words="TensorZero 2026.6.0 embedded (Rust) behind a bare app",
        argv=(str(python), script, "{port}", str(file)),
        ready="/healthz",
        models=_named(addresses),
    )


ALL: dict[str, Callable[[Addresses, Path], Contender]] = {
    "forwarder": forwarder,
    "autotier-auto": autotier_auto,
    "autotier-router": autotier_router,
    "router": router,
    "litellm-proxy": litellm_proxy,
    "portkey": portkey,
    "tensorzero": tensorzero,
}
