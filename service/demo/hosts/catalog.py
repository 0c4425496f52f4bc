"""What the simulated hosts know about models: sizes, contexts, capabilities, dated names.

Sizes are memory in use with a usual context, in GB (1e9 bytes), as ``ollama ps`` shows them; architecture
numbers are those of the published GGUF files (``ollama show``), so that the KV-cache sum over them is right.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Facts about one local model.

    Attributes:
        family: Architecture name, the prefix of the ``model_info`` keys of ``/api/show``.
        parameter_size: As Ollama prints it, e.g. ``8.2B``.
        size_gb: Memory that the loaded model takes, in GB.
        context_length: Tokens that the model was trained for (not what a host serves).
        layers: Number of blocks.
        heads_kv: Key/value heads per block.
        head_dim: Width of one head.
        embedding_length: Width of the hidden state; also the length of the vectors of an embedding model.
        capabilities: As in ``/api/show``: completion, tools, thinking, vision, embedding.
    """

    family: str
    parameter_size: str
    size_gb: float
    context_length: int
    layers: int
    heads_kv: int
    head_dim: int
    embedding_length: int
    capabilities: tuple[str, ...]


CARDS: dict[str, ModelCard] = {
    "qwen3:8b": ModelCard("qwen3", "8.2B", 6.0, 40_960, 36, 8, 128, 4096, ("completion", "tools", "thinking")),
    "qwen3-coder:30b": ModelCard("qwen3moe", "30.5B", 19.0, 262_144, 48, 4, 128, 2048, ("completion", "tools")),
    "llama3.2:3b": ModelCard("llama", "3.2B", 3.0, 131_072, 28, 8, 128, 3072, ("completion", "tools")),
    "gemma3:4b": ModelCard("gemma3", "4.3B", 4.5, 131_072, 34, 4, 256, 2560, ("completion", "vision")),
    "nomic-embed-text:latest": ModelCard("nomic-bert", "137M", 0.6, 2048, 12, 12, 64, 768, ("embedding",)),
    "noise-embed:latest": ModelCard("noise-bert", "1M", 0.1, 2048, 1, 1, 64, 64, ("embedding",)),
}

UNKNOWN_CARD = ModelCard("llama", "7B", 5.0, 32_768, 32, 8, 128, 4096, ("completion", "tools"))
"""What a model that is not listed is taken for; ``--size`` gives its memory."""

SNAPSHOTS: dict[str, str] = {
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}
"""The dated name that OpenAI puts into the answer for an alias that was asked for."""

CLOUD_CONTEXT: dict[str, int] = {
    "gpt-4.1": 1_047_576,
    "gpt-4.1-mini": 1_047_576,
    "gpt-4.1-nano": 1_047_576,
    "o3": 200_000,
    "o3-mini": 200_000,
    "o4-mini": 200_000,
    "text-embedding-3-small": 8_191,
    "text-embedding-3-large": 8_191,
}
DEFAULT_CLOUD_CONTEXT = 128_000
DEFAULT_OLLAMA_CONTEXT = 4_096
"""Ollama's default ``num_ctx`` (OLLAMA_CONTEXT_LENGTH) on machines of this size."""

EMBEDDING_LENGTHS: dict[str, int] = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}

DEFAULT_MODELS: dict[str, tuple[str, ...]] = {
    "ollama": ("qwen3:8b",),
    "openai": ("gpt-4.1", "gpt-4.1-mini", "o3-mini", "text-embedding-3-small"),
}


def full_name(model: str) -> str:
    """Give Ollama's full name of a model: a name without a tag means ``:latest``."""
    return model if ":" in model else f"{model}:latest"


def card_for(model: str) -> ModelCard:
    """Give the card of a local model by its name with or without tag; unknown ones get `UNKNOWN_CARD`."""
    return CARDS.get(full_name(model), UNKNOWN_CARD)


def is_reasoning_cloud_model(model: str) -> bool:
    """Say whether OpenAI bills hidden reasoning tokens for this model (the o-series)."""
    return len(model) > 1 and model[0] == "o" and model[1].isdigit()
