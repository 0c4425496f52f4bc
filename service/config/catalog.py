"""Published windows, list prices and usual speeds of models that people configure. All of it can be overridden.

Prices are list prices of 2025 in US dollars per million tokens. A price of 0 for a cloud would make the cost matrices
believe that the dearest tier is free, so a dated figure, said aloud, is better than none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.config.providers import bare


@dataclass(frozen=True, slots=True)
class CloudModel:
    """What is known of a cloud's model.

    Attributes:
        window: Tokens, prompt and answer together.
        input_per_mtok: Price of the prompt.
        output_per_mtok: Price of the answer, hidden thinking included.
        tokens_per_s: Usual speed.
    """

    window: int
    input_per_mtok: float
    output_per_mtok: float
    tokens_per_s: float = 70


CLOUD_MODELS = {
    "gpt-4.1": CloudModel(1_047_576, 2, 8),
    "gpt-4.1-mini": CloudModel(1_047_576, 0.4, 1.6, 80),
    "gpt-4.1-nano": CloudModel(1_047_576, 0.1, 0.4, 100),
    "gpt-4o": CloudModel(128_000, 2.5, 10),
    "gpt-4o-mini": CloudModel(128_000, 0.15, 0.6, 80),
    "gpt-5": CloudModel(400_000, 1.25, 10),
    "gpt-5-mini": CloudModel(400_000, 0.25, 2, 80),
    "o1": CloudModel(200_000, 15, 60),
    "o3": CloudModel(200_000, 2, 8),
    "o3-mini": CloudModel(200_000, 1.1, 4.4, 100),
    "o4-mini": CloudModel(200_000, 1.1, 4.4, 100),
    "claude-3-5-haiku": CloudModel(200_000, 0.8, 4),
    "claude-3-7-sonnet": CloudModel(200_000, 3, 15, 60),
    "claude-sonnet-4": CloudModel(200_000, 3, 15, 60),
    "claude-opus-4": CloudModel(200_000, 15, 75, 40),
    "gemini-2.5-flash": CloudModel(1_048_576, 0.3, 2.5, 150),
    "gemini-2.5-pro": CloudModel(1_048_576, 1.25, 10, 80),
}
LOCAL_SPEEDS = {"qwen3:8b": 27.0, "qwen3-coder:30b": 45.0}
"""Tokens per second of the seed's two models on its two machines, where nobody has measured yours."""
_SNAPSHOT = re.compile(r"(-latest|-\d{4}-\d{2}-\d{2}|-\d{8})?\Z")


def known(model: str) -> CloudModel | None:
    """The entry of a cloud model or of a dated snapshot of it, or None; another size or version is another model."""
    name = bare(model)
    return next(
        (entry for key, entry in CLOUD_MODELS.items() if name.startswith(key) and _SNAPSHOT.match(name[len(key) :])),
        None,
    )


def window_of(model: str) -> int | None:
    """The published window of a cloud model in tokens; that of its nearest relative by name, or None."""
    found = [key for key in CLOUD_MODELS if bare(model).startswith(key)]
    return CLOUD_MODELS[max(found, key=len)].window if found else None
