"""What is asked: three prompts of about 200 characters, one for each tier, each tier with its own simulated host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from service.config.callers_file import KEY_PREFIX, hashed
from service.config.seed import seed_document
from service.demo.hosts import HostSpec

Target = Literal["ollama", "openai", "paced"]
TOKENS = 64
PACE_MS = 2.0
OLLAMA_MODEL = "llama3.2:3b"
CLOUD_MODEL = "gpt-4.1-mini"
KEY = "bench-key"
CALLER_KEY = KEY_PREFIX + "b" * 43
"""What the benches ask our service with: as long as a key of ``autotier keys``."""
AUTHORIZATION = {"Authorization": f"Bearer {CALLER_KEY}"}

HOSTS: dict[Target, HostSpec] = {
    "ollama": HostSpec(
        kind="ollama",
        name="bench-ollama",
        models=(OLLAMA_MODEL,),
        loaded=(f"{OLLAMA_MODEL}@8192",),
        parallel=256,
        token_ms=0,
        first_token_ms=0,
        answer_tokens=TOKENS,
    ),
    "openai": HostSpec(kind="openai", name="bench-openai", token_ms=0, first_token_ms=0, answer_tokens=TOKENS),
    "paced": HostSpec(kind="openai", name="bench-paced", token_ms=PACE_MS, first_token_ms=0, answer_tokens=TOKENS),
}
TIER_OF: dict[Target, str] = {"ollama": "lightweight", "openai": "coding", "paced": "reasoning"}
PROMPTS: dict[Target, str] = {
    "ollama": (
        "What is a mutex? Explain it in two or three short sentences please, I only need the idea and a small everyday "
        "example for ticket {n}, nothing about a certain programming language or library. Thank you!"
    ),
    "openai": (
        "Refactor our Flask order endpoint for ticket {n}: move the validation into a pydantic model, the SQL into a "
        "repository class with async SQLAlchemy, return proper 4xx errors, and write the pytest tests for it."
    ),
    "paced": (
        "Compare active-active with single-writer replication for our payment ledger (ticket {n}): which invariants "
        "break under a partition, what does recovery cost, which trade-offs decide, and which design do you recommend?"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of request.

    Attributes:
        name: In results.
        target: Which host answers.
        stream: Whether the answer streams.
        count: Requests over all rounds.
        words: In the README's table.
    """

    name: str
    target: Target
    stream: bool
    count: int
    words: str

    def body(self, model: str, number: int) -> dict[str, Any]:
        """The request; no two have the same prompt, so that nothing is a repeat."""
        prompt = PROMPTS[self.target].format(n=number)
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        return {**body, "stream": True} if self.stream else {**body, "max_tokens": 32}


WORKLOADS = (
    Workload(name="openai", target="openai", stream=False, count=900, words="OpenAI, short answer"),
    Workload(name="openai-stream", target="openai", stream=True, count=120, words="OpenAI, 64 events"),
    Workload(name="ollama", target="ollama", stream=False, count=900, words="Ollama, short answer"),
    Workload(name="ollama-stream", target="ollama", stream=True, count=120, words="Ollama, 64 events"),
    Workload(name="paced-stream", target="paced", stream=True, count=45, words="OpenAI, 64 events 2 ms apart"),
)


_LIKE_SEED: dict[Target, dict[str, Any]] = {
    "ollama": {"tokens_per_s": 27},
    "openai": {"tokens_per_s": 45},
    "paced": {"tokens_per_s": 100, "prices": {"input_per_mtok": 1.10, "output_per_mtok": 4.40}},
}
"""Speeds and prices of the shipped configuration: the costs of an error, and with them the tiers, are its own."""


def callers() -> list[dict[str, Any]]:
    """``callers`` of a configuration: one with the hash of `CALLER_KEY`, and admin for ``/metrics``."""
    return [{"name": "bench", "key": hashed(CALLER_KEY).get_secret_value(), "admin": True}]


def write_service_configuration(folder: Path, addresses: Mapping[Target, str], way: str) -> Path:
    """Our configuration: each tier has one deployment, its host of `HOSTS`; who asks needs a key (`AUTHORIZATION`).

    Args:
        folder: Where the file and the store go.
        addresses: Base address by host.
        way: ``upstream.way``.
    """
    document = seed_document()
    document["hosts"] = {
        target: {"address": address, "local": True, "memory_gb": 64}
        if target == "ollama"
        else {"address": f"{address}/v1", "local": False, "key": KEY}
        for target, address in addresses.items()
    }
    for target, tier in TIER_OF.items():
        local = target == "ollama"
        document["tiers"][tier]["deployments"] = (
            [
                {
                    "id": f"{tier}-{target}",
                    "host": target,
                    "provider": "ollama" if local else "openai",
                    "model": OLLAMA_MODEL if local else CLOUD_MODEL,
                    "context": 8192 if local else 1_047_576,
                    **_LIKE_SEED[target],
                }
            ]
            if target in addresses
            else []
        )
    document["callers"] = callers()
    document["classifier"]["stages"] = 1
    document["upstream"]["way"] = way
    document["store"]["url"] = f"sqlite:///{folder / f'{way}.sqlite3'}"
    file = folder / f"{way}.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def router_list(addresses: Mapping[Target, str]) -> list[dict[str, Any]]:
    """The same hosts as a LiteLLM model list; the model's name is ``bench-TARGET``."""
    entries = []
    for target, address in addresses.items():
        if target == "ollama":
            parameters = {"model": f"ollama_chat/{OLLAMA_MODEL}", "api_base": address, "num_ctx": 8192}
        else:
            parameters = {"model": f"openai/{CLOUD_MODEL}", "api_base": f"{address}/v1", "api_key": KEY}
        information = {"id": target, "max_input_tokens": 8192}
        entries.append({"model_name": f"bench-{target}", "litellm_params": parameters, "model_info": information})
    return entries
