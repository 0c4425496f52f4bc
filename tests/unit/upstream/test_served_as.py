"""Which served names count as the model that was asked for."""

from __future__ import annotations

import pytest

from service.upstream.served_as import is_same_model


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gpt-4.1", "gpt-4.1"),
        ("gpt-4.1", "gpt-4.1-2025-04-14"),
        ("gpt-4", "gpt-4-0613"),
        ("claude-sonnet-4", "claude-sonnet-4-20250514"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("openai/gpt-4.1", "gpt-4.1-2025-04-14"),
        ("gpt-4.1", "openai/gpt-4.1"),
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:latest", "llama3.2"),
        ("Qwen3:8B", "qwen3:8b"),
    ],
)
def test_same_model_under_another_name(asked: str, served: str) -> None:
    """Dated snapshots, provider prefixes, default tags and letter case do not make another model."""
    assert is_same_model(asked, served)


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gpt-4.1", "gpt-4.1-mini"),
        ("gpt-4.1", "gpt-4.1-mini-2025-04-14"),
        ("gpt-4.1-2025-04-14", "gpt-4.1-2025-06-01"),
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("qwen3:8b", "qwen3:14b"),
        ("qwen3:8b", "qwen3:latest"),
        ("qwen3", "xqwen3"),
    ],
)
def test_other_models(asked: str, served: str) -> None:
    """Siblings, other tags and other snapshots are other models."""
    assert not is_same_model(asked, served)


def test_listed_names_count() -> None:
    """What the configuration lists under served_as counts as the model."""
    assert is_same_model("qwen3:8b", "/models/qwen3-8b.gguf", ["/models/qwen3-8b.gguf"])
