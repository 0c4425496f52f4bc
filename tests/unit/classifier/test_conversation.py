"""Conversations: what continues, and what stands by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.conversation import carried_view, continuation
from classifier.features import HASHED_SIZE
from classifier.prompt import view_of
from classifier.turn_shapes import CONSTANT, GATE_NAMES, GATE_SHAPES, OLDER_SHAPES, gate_features

TALK = [
    {"role": "user", "content": "Design a schema migration for 4 TB without downtime"},
    {"role": "assistant", "content": "First, replicate."},
    {"role": "user", "content": "go on"},
]
GATE = np.zeros(GATE_SHAPES)


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
    biased[CONSTANT] = 2.0

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


def test_a_gate_of_an_earlier_artifact_is_read_as_it_was_learnt() -> None:
    """Its weights are those of the first shapes, with or without those of the opening behind them."""
    view = view_of(TALK)
    early = np.random.default_rng(0).normal(size=OLDER_SHAPES)
    odds = float(gate_features(view)[:OLDER_SHAPES] @ early)

    found = continuation(view, early)

    assert found == pytest.approx(1 / (1 + np.exp(-odds)))
    assert continuation(view, np.append(early, np.zeros(HASHED_SIZE))) == pytest.approx(found)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_shapes_are_finite_on_any_text(before: str, answer: str, ask: str) -> None:
    """Every text gives as many finite numbers as there are names."""
    talk = [{"role": r, "content": c} for r, c in (("user", before), ("assistant", answer), ("user", ask))]

    found = gate_features(view_of(talk))

    assert found.shape == (GATE_SHAPES,)
    assert np.isfinite(found).all()


def shape(name: str, before: str, answer: str, ask: str) -> float:
    """One shape of a talk of two asks."""
    talk = [{"role": r, "content": c} for r, c in (("user", before), ("assistant", answer), ("user", ask))]
    return float(gate_features(view_of(talk))[GATE_NAMES.index(name)])


@pytest.mark.parametrize(
    ("name", "like", "unlike"),
    [
        ("answer_asks", ("いつ?", "場所はどこですか？", "東京"), ("いつ?", "東京です。", "大阪は?")),
        ("shared_name", ("fix it", "see app/cache.py", "app/cache.py is gone"), ("fix it", "see it", "app/cache.py?")),
        ("other_script", ("привет", "Здравствуйте", "and now?"), ("привет", "Здравствуйте", "а теперь?")),
        ("first_shared", ("the hinge", "Oil it.", "oil which?"), ("the hinge", "Oil it.", "who won?")),
        ("small_first", ("a", "b", "and you"), ("a", "b", "Who won?")),
        ("three_words", ("a", "b", "why though"), ("a", "b", "why is it that so")),
    ],
)
def test_a_shape_says_what_its_name_says(name: str, like: tuple[str, ...], unlike: tuple[str, ...]) -> None:
    """One where the name holds, nothing where it does not."""
    assert shape(name, *like) == 1.0

    assert shape(name, *unlike) == 0.0
