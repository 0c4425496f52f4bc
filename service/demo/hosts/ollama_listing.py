"""What Ollama says about itself: tags, show, ps, version and the root page."""

from __future__ import annotations

import hashlib
import math
import time
from datetime import UTC, datetime, timedelta

import orjson
from aiohttp import web

from service.demo.hosts.catalog import ModelCard, card_for, full_name
from service.demo.hosts.exchange import Exchange, json_response
from service.demo.hosts.ollama_api import Failed, known_model

VERSION = "0.12.6"
"""The release whose forms are imitated."""

GB = 1_000_000_000
MODIFIED_AT = "2025-06-01T09:00:00.000000Z"
FILE_SHARE = 0.87
"""Size of a model's file over the memory that it takes: the rest is KV cache and buffers."""

_FOREVER_SHOWN = timedelta(days=365 * 292)
"""Ollama shows a model that stays for ever with the largest Go duration, about 292 years."""


async def root(exchange: Exchange) -> web.StreamResponse:
    """Answer ``GET /``, the page by which people see that Ollama runs."""
    return web.Response(text="Ollama is running")


async def version(exchange: Exchange) -> web.StreamResponse:
    """Answer ``GET /api/version``."""
    return json_response(orjson.dumps({"version": VERSION}))


async def tags(exchange: Exchange) -> web.StreamResponse:
    """Answer ``GET /api/tags``: the models that are pulled."""
    models = []
    for name in map(full_name, exchange.spec.model_names):
        size = int(exchange.spec.size_gb(name) * FILE_SHARE * GB)
        models.append(
            {
                "name": name,
                "model": name,
                "modified_at": MODIFIED_AT,
                "size": size,
                "digest": _digest(name),
                "details": _details(card_for(name)),
            }
        )
    return json_response(orjson.dumps({"models": models}))


async def ps(exchange: Exchange) -> web.StreamResponse:
    """Answer ``GET /api/ps``: the models in memory, those being loaded left out as Ollama does."""
    now, clock = datetime.now(UTC), time.monotonic()
    models = []
    for one in exchange.host.memory.resident():
        if not one.ready.is_set():
            continue
        rest = _FOREVER_SHOWN if math.isinf(one.expires_at) else timedelta(seconds=one.expires_at - clock)
        size = int(one.size_gb * GB)
        models.append(
            {
                "name": one.model,
                "model": one.model,
                "size": size,
                "digest": _digest(one.model),
                "details": _details(card_for(one.model)),
                "expires_at": (now + rest).isoformat().replace("+00:00", "Z"),
                "size_vram": size,
                "context_length": one.context or exchange.host.default_context,
            }
        )
    return json_response(orjson.dumps({"models": models}))


async def show(exchange: Exchange) -> web.StreamResponse:
    """Answer ``POST /api/show``: the architecture, from which a client sums the KV cache."""
    name = known_model(exchange)
    card = card_for(name)
    family = card.family
    info: dict[str, object] = {
        "general.architecture": family,
        "general.basename": name.partition(":")[0],
        "general.file_type": 15,
        f"{family}.attention.head_count": card.heads_kv * 4,
        f"{family}.attention.head_count_kv": card.heads_kv,
        f"{family}.attention.key_length": card.head_dim,
        f"{family}.attention.value_length": card.head_dim,
        f"{family}.block_count": card.layers,
        f"{family}.context_length": card.context_length,
        f"{family}.embedding_length": card.embedding_length,
    }
    answer = {
        "license": "simulated",
        "modelfile": f"# simulated\nFROM {name}\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _details(card),
        "model_info": info,
        "capabilities": list(card.capabilities),
        "modified_at": MODIFIED_AT,
    }
    return json_response(orjson.dumps(answer))


async def not_there(exchange: Exchange) -> web.StreamResponse:
    """Answer a path that Ollama has but a simulated host has not (pull, push, create, ...)."""
    raise Failed(501, f"{exchange.request.path} is not simulated")


def _details(card: ModelCard) -> dict[str, object]:
    """Give the ``details`` of a model."""
    return {
        "parent_model": "",
        "format": "gguf",
        "family": card.family,
        "families": [card.family],
        "parameter_size": card.parameter_size,
        "quantization_level": "Q4_K_M",
    }


def _digest(name: str) -> str:
    """Give a stable digest of a model."""
    return hashlib.sha256(name.encode()).hexdigest()
