"""Does the newest ask continue the conversation? A small learnt gate over shapes and over how the ask opens.

A follow-up takes the difficulty of what it continues, so the probabilities of a conversation are a mixture of
"the new ask alone"
and "what went before", weighted by this gate. The history is in the request: no memory is needed.
How a follow-up opens is learnt too, from hashed words and characters in all our languages: no list of words.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from classifier.features import HASHED_SIZE, FeatureRow, counted_values, feature_row, hashed
from classifier.prompt import PromptView, view_of
from classifier.turn_shapes import ASK, GATE_SHAPES, OLDER_SHAPES, gate_features

OPENING = 80
"""Characters of the newest ask whose words the gate reads, hashed like those of any ask."""


def _opening(view: PromptView) -> PromptView:
    """The first characters of the newest ask, as if they were all of it."""
    return view_of(view.ask[:OPENING])


def opening_row(view: PromptView) -> FeatureRow:
    """Features of how the newest ask opens: what the gate reads, and the structure, which it does not."""
    return feature_row(_opening(view))


GATE_SIZES = tuple(shapes + opening for shapes in (OLDER_SHAPES, GATE_SHAPES) for opening in (0, HASHED_SIZE))
"""Sizes that the weights of a gate may have."""


def shapes_of(weights: NDArray[np.float64]) -> int:
    """How many of a gate's weights belong to its shapes; the rest belongs to the hashed opening."""
    return weights.size - HASHED_SIZE if weights.size > HASHED_SIZE else weights.size


def continuation(view: PromptView, weights: NDArray[np.float64]) -> float:
    """Probability that the newest ask continues what went before.

    Args:
        view: The prompt view.
        weights: Learnt weights: GATE_SHAPES of them, or OLDER_SHAPES in earlier artifacts, and behind them those of the
            hashed opening, HASHED_SIZE or none (`GATE_SIZES`).

    Returns:
        0.0 without a history, 1.0 where structure says so (`PromptView.is_follow_up`), else the gate's probability.
    """
    if not view.has_history or (not view.previous and not view.in_tool_loop):
        return 0.0
    if view.is_follow_up:
        return 1.0
    shapes = shapes_of(weights)
    odds = gate_features(view)[:shapes] @ weights[:shapes]
    if weights.size > shapes:
        indices, counts = hashed(_opening(view))
        odds += counted_values(indices, counts).dot(weights[shapes:].take(indices))
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, float(odds)))))


def carried_view(view: PromptView) -> PromptView:
    """The view of what the newest ask continues: the ask before it, with the newest one behind it."""
    if not view.previous or view.in_tool_loop:
        return view
    joined = f"{view.previous[0][:1_000]}\n{view.ask[:ASK]}"
    return replace(view, ask=joined, previous=view.previous[1:])
