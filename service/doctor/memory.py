"""Whether models fit a machine: weights, the cache of keys and values, and what the runner needs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from service.doctor.findings import Finding, Status

ELEMENT_BYTES = 2
"""f16, Ollama's default; OLLAMA_KV_CACHE_TYPE=q8_0 halves the cache."""
BUFFERS_BYTES = 500_000_000
"""An allowance for the runner's compute buffers, which depend on version and batch; not measured by us."""
GB = 1e9


@dataclass(frozen=True, slots=True)
class Need:
    """Memory of one model at one context, in bytes.

    Attributes:
        context: Tokens.
        weights: Size of the model's file.
        cache: Keys and values of the whole context; None where the host does not say enough.
        measured: What the host says that it takes, where it is loaded with this context.
    """

    model: str
    context: int
    weights: int
    cache: int | None
    measured: int | None = None

    @property
    def total(self) -> int:
        """What to reckon with: as measured, else the sum."""
        return self.measured or self.weights + (self.cache or 0) + BUFFERS_BYTES

    def shown(self) -> str:
        """The sum in words."""
        if self.measured:
            return f"{self.model} takes {self.measured / GB:.1f} GB at {self.context} tokens, as loaded now"
        cache = f"{self.cache / GB:.1f}" if self.cache is not None else "an unknown"
        return (
            f"{self.model} needs {self.total / GB:.1f} GB at {self.context} tokens: weights {self.weights / GB:.1f},"
            f" keys and values {cache}, buffers {BUFFERS_BYTES / GB:.1f}"
        )


def kv_cache_bytes(info: Mapping[str, Any], context: int, sequences: int = 1) -> int | None:
    """Bytes of the cache of keys and values, from ``model_info`` of Ollama's ``/api/show``.

    ``sum over blocks of head_count_kv * (key_length + value_length) * context * sequences * 2``: per token and block,
    every key/value head keeps one key and one value (llama.cpp, llama-kv-cache.cpp: ``n_embd_k_gqa`` and
    ``n_embd_v_gqa`` times ``kv_size``). Blocks with a sliding window need less, so this is an upper bound.

    Args:
        info: ``ARCHITECTURE.block_count``, ``.attention.head_count_kv`` (a number, or one per block) and
            ``.attention.key_length``, ``.value_length``; without the last two, ``embedding_length / head_count``.
        context: Tokens (``num_ctx``).
        sequences: Requests at once (OLLAMA_NUM_PARALLEL): each has a context of its own.

    Returns:
        Bytes, or None where a number is missing.
    """
    architecture = info.get("general.architecture")

    def number(name: str) -> Any:
        return info.get(f"{architecture}.{name}")

    blocks, heads_kv = number("block_count"), number("attention.head_count_kv")
    key, value = number("attention.key_length"), number("attention.value_length")
    heads, width = number("attention.head_count"), number("embedding_length")
    if not key and isinstance(heads, int) and heads and isinstance(width, int):
        key = width // heads
    value = value or key
    if not (isinstance(blocks, int) and isinstance(key, int) and isinstance(value, int)):
        return None
    if isinstance(heads_kv, list) and all(isinstance(one, int) for one in heads_kv):
        all_heads = sum(heads_kv)
    elif isinstance(heads_kv, int):
        all_heads = blocks * heads_kv
    else:
        return None
    return all_heads * (key + value) * context * sequences * ELEMENT_BYTES


def fits(host: str, memory_gb: float | None, needs: Sequence[Need]) -> list[Finding]:
    """Whether each model fits the machine alone, and which pairs fit beside each other."""
    if not needs:
        return []
    if memory_gb is None:
        fix = f"write hosts.{host}.memory_gb, then doctor and the order of the chain know what fits"
        return [Finding(host, "memory", Status.WARNING, "; ".join(need.shown() for need in needs), fix)]
    found = []
    for need in needs:
        if need.total > memory_gb * GB:
            fix = "take a smaller model or quantization, a smaller context, or OLLAMA_KV_CACHE_TYPE=q8_0 there"
            text = f"{need.shown()}; the machine has {memory_gb:g} GB"
            found.append(Finding(host, f"memory of {need.model}", Status.FAILED, text, fix))
        else:
            found.append(Finding(host, f"memory of {need.model}", Status.OK, f"{need.shown()}, of {memory_gb:g} GB"))
    for one, other in combinations(needs, 2):
        if max(one.total, other.total) <= memory_gb * GB < one.total + other.total:
            text = f"{one.model} and {other.model} do not fit together: {(one.total + other.total) / GB:.1f} GB"
            fix = "each change from one to the other costs a load; the chain takes the loaded one where it can"
            found.append(Finding(host, "memory of both", Status.WARNING, f"{text} of {memory_gb:g} GB", fix))
    return found
