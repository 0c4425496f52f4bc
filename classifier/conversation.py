"""Does the newest ask continue the conversation? A small learnt gate over shapes and over how the ask opens.

A follow-up takes the difficulty of what it continues, so the probabilities of a conversation are a mixture of
"the new ask alone"
and "what went before", weighted by this gate. The history is in the request: no memory is needed.
How a follow-up opens is learnt too, from hashed words and characters in all our languages: no list of words.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from classifier.features import FeatureRow, feature_row
from classifier.prompt import PromptView, view_of

GATE_NAMES = (
    "log_chars",
    "log_words",
    "shorter",
    "overlap_ask",
    "overlap_answer",
    "question",
    "pasted",
    "new_words",
    "capital",
    "log_turns",
)
GATE_SHAPES = len(GATE_NAMES) + 1
"""Weights of the shapes and of the constant, in front of those of the hashed opening."""

OPENING = 80
"""Characters of the newest ask whose words the gate reads, hashed like those of any ask."""

_WORD = re.compile(r"\w+")
_FRAME = 500


def _grams(text: str) -> set[str]:
    lowered = " ".join(_WORD.findall(text.lower()))
    return {lowered[i : i + 4] for i in range(len(lowered) - 3)}


def gate_features(view: PromptView) -> NDArray[np.float64]:
    """Shape of a possible follow-up.

    Args:
        view: A view with a history.

    Returns:
        (len(GATE_NAMES) + 1,): the features and a constant 1 for the bias.
    """
    ask = view.ask[:_FRAME]
    before = view.previous[0][:_FRAME] if view.previous else ""
    grams = _grams(ask)
    size = max(1, len(grams))
    answer = view.answer[:1_500]
    overlap, answered = len(grams & _grams(before)) / size, len(grams & _grams(answer)) / size
    return np.array(
        [
            math.log1p(len(ask)) / 4,
            math.log1p(len(_WORD.findall(ask))) / 3,
            float(len(ask) < len(before) / 2),
            overlap,
            answered,
            float("?" in ask or "？" in ask),
            float(bool(view.pasted)),
            math.log1p(len(grams) * (1 - max(overlap, answered))) / 4,
            float(ask[:1].isupper()),
            math.log1p(view.n_turns),
            1.0,
        ]
    )


def opening_row(view: PromptView) -> FeatureRow:
    """Features of the first characters of the newest ask, as if they were all of it."""
    return feature_row(view_of(view.ask[:OPENING]))


def continuation(view: PromptView, weights: NDArray[np.float64]) -> float:
    """Probability that the newest ask continues what went before.

    Args:
        view: The prompt view.
        weights: (GATE_SHAPES,) learnt weights, or (GATE_SHAPES + HASHED_SIZE,) with those of the opening.

    Returns:
        0.0 without a history, 1.0 where structure says so (`PromptView.is_follow_up`), else the gate's probability.
    """
    if not view.has_history or (not view.previous and not view.in_tool_loop):
        return 0.0
    if view.is_follow_up:
        return 1.0
    odds = gate_features(view) @ weights[:GATE_SHAPES]
    if weights.size > GATE_SHAPES:
        row = opening_row(view)
        odds += row.values @ weights[GATE_SHAPES:].take(row.indices)
    return float(1.0 / (1.0 + math.exp(-float(np.clip(odds, -30, 30)))))


def carried_view(view: PromptView) -> PromptView:
    """The view of what the newest ask continues: the ask before it, with the newest one behind it."""
    if not view.previous or view.in_tool_loop:
        return view
    joined = f"{view.previous[0][:1_000]}\n{view.ask[:_FRAME]}"
    return replace(view, ask=joined, previous=view.previous[1:])
