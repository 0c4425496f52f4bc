"""The demo's house: which hosts it has, and the shipped configuration pointed at them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from service.config.seed import seed_document
from service.demo.hosts import HostSpec
from service.demo.hosts.faults import BadFault, parse_fault
from service.errors import ConfigurationError

KEY = "demo-key"
HOSTS: dict[str, HostSpec] = {
    # Macs as the mission has them: the Mini always holds its 8B, the MacBook starts with its coder in memory and
    # holds one of its two models at a time.
    "mini": HostSpec(
        kind="ollama", name="mini", models=("qwen3:8b",), loaded=("qwen3:8b@8192",), memory_gb=16, load_s=1.0
    ),
    "macbook": HostSpec(
        kind="ollama",
        name="macbook",
        models=("qwen3-coder:30b", "qwen3:8b"),
        loaded=("qwen3-coder:30b@8192",),
        memory_gb=24,
        load_s=2.0,
    ),
    "cloud1": HostSpec(kind="openai", name="cloud1", first_token_ms=30, token_ms=1, keys=(KEY,)),
    "cloud2": HostSpec(
        kind="openai",
        name="cloud2",
        models=("anthropic/claude-sonnet-4",),
        first_token_ms=30,
        token_ms=1,
        keys=(KEY,),
    ),
}


def parse_faults(given: tuple[str, ...]) -> dict[str, str]:
    """``HOST=FAULT`` pairs of the command line.

    Raises:
        ConfigurationError: An unknown host or fault.
    """
    faults: dict[str, str] = {}
    for pair in given:
        host, found, fault = pair.partition("=")
        if not found or host not in HOSTS:
            raise ConfigurationError(
                "--fault", pair, "not HOST=FAULT with a host of the demo", f"hosts are {', '.join(HOSTS)}"
            )
        try:
            parse_fault(fault)
        except BadFault as error:
            raise ConfigurationError(
                "--fault", pair, str(error), "what each does is in service/demo/hosts/README.md"
            ) from None
        faults[host] = fault
    return faults


def write_configuration(folder: Path, addresses: Mapping[str, str], way: str) -> Path:
    """The shipped ``two-macs.yaml`` with the simulated hosts' addresses, in ``folder``.

    Args:
        folder: Where the file and the store go.
        addresses: Base URL by name of the demo's host.
        way: ``upstream.way``.
    """
    document = seed_document()
    clouds = iter(("cloud1", "cloud2"))
    for name, host in document["hosts"].items():
        if name in addresses:
            host["address"] = addresses[name]
        else:
            host["address"] = addresses[next(clouds)] + "/v1"
            host["key"] = KEY
    for tier in document["tiers"].values():
        for deployment in tier["deployments"]:
            deployment.pop("address", None)
            deployment.pop("key", None)
    document.pop("callers", None)  # the demo listens on loopback only
    document["upstream"] = {"way": way}
    document["store"] = {"url": f"sqlite:///{folder / 'demo.sqlite3'}", "prompts": "features"}
    file = folder / "demo.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file
