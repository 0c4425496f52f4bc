"""Conversations: what continues, and what stands by itself."""

from __future__ import annotations

import numpy as np

from classifier.conversation import GATE_NAMES, carried_view, continuation, gate_features
from classifier.prompt import view_of

TALK = [
    {"role": "user", "content": "Design a schema migration for 4 TB without downtime"},
    {"role": "assistant", "content": "First, replicate."},
    {"role": "user", "content": "go on"},
]
GATE = np.zeros(len(GATE_NAMES) + 1)


def test_without_a_history_nothing_continues() -> None:
    """A single ask is new whatever the gate says."""
    assert continuation(view_of("go on"), GATE + 9) == 0.0


def test_structure_overrules_the_gate() -> None:
    """A tool result, or an ask without a letter, continues for certain."""
    tool = [*TALK[:1], {"role": "assistant", "tool_calls": [{"id": "1"}]}, {"role": "tool", "content": "ok"}]
    mute = [*TALK[:2], {"role": "user", "content": "?"}]

    assert continuation(view_of(tool), GATE - 9) == 1.0
    assert continuation(view_of(mute), GATE - 9) == 1.0


def test_the_gate_is_a_probability_of_its_features() -> None:
    """Zero weights say one half; the bias moves it."""
    view = view_of(TALK)
    biased = GATE.copy()
    biased[-1] = 2.0

    assert continuation(view, GATE) == 0.5
    assert continuation(view, biased) > 0.85
    assert np.isfinite(gate_features(view)).all()


def test_a_follow_up_is_judged_with_what_it_continues() -> None:
    """The carried view holds the ask before it, then the newest one."""
    carried = carried_view(view_of(TALK))

    assert carried.ask.startswith("Design a schema migration")
    assert carried.ask.endswith("go on")


def test_a_follow_up_to_a_hard_ask_is_not_lightweight() -> None:
    """ "Go on" after a design question is likelier to need reasoning than after a greeting."""
    import classifier

    model = classifier.load(stages=1)
    easy = [{"role": "user", "content": "hi there"}, {"role": "assistant", "content": "Hello!"}, TALK[-1]]

    hard = model.classify(TALK).probabilities[classifier.Tier.REASONING]

    assert hard > 2 * model.classify(easy).probabilities[classifier.Tier.REASONING]
