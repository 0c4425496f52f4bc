"""Conversations replayed turn by turn."""

from __future__ import annotations

import numpy as np
import pytest

from classifier import TIERS, Tier
from classifier.record import LabelledRequest
from training.conversations import BEGINNING, beginnings, replay, turn_figures

MATRIX = ((0, 1, 2), (2, 0, 1), (9, 6, 0))


def conversation(name: str, turn: str, *contents: str, last: str = "user") -> LabelledRequest:
    """User and assistant in turn."""
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    messages[-1]["role"] = last
    return LabelledRequest(id=name, source="written", tier=Tier.REASONING, request=messages, turn=turn, block=name)


def test_each_earlier_ask_gives_a_beginning_of_no_weight() -> None:
    """A beginning ends with its ask; it is predicted only."""
    row = conversation("a", "continues", "one?", "1", "two?", "2", "three?")

    found = beginnings([row, conversation("b", "new", "hello")])

    assert [(r.id, len(r.request), r.turn, r.weight) for r in found] == [
        ("a@0", 1, BEGINNING, 0.0),
        ("a@2", 3, BEGINNING, 0.0),
    ]


def test_a_follow_up_keeps_what_its_beginning_was_given() -> None:
    """The held tier is that of the beginning; a lower word about the follow-up does not move it."""
    rows = [
        conversation(f"c{i}", "continues", f"Design a ledger number {i} with audit.", "Like so: ...", "go on")
        for i in range(8)
    ]
    sure = {t: np.where(np.arange(3) == TIERS.index(t), 0.96, 0.02) for t in TIERS}
    vectors = {r.id: sure[Tier.LIGHTWEIGHT] for r in rows} | {f"{r.id}@0": sure[Tier.REASONING] for r in rows}

    turns = replay(rows, vectors, MATRIX, seed=0)

    assert {(t.held, t.final) for t in turns} == {(Tier.REASONING, Tier.REASONING)}
    figures = turn_figures(turns)["continues"]
    assert figures["rows"] == 8
    assert figures["kept"] == pytest.approx(1.0)


def test_a_tool_result_stays_on_the_tier_of_its_ask() -> None:
    """A tool loop has no ask of its own."""
    row = conversation("t", "continues", "Plan the migration.", "calling", "result: 3 tables", last="tool")
    up = np.array([0.0, 0.0, 1.0])
    vectors = {"t": up, "t@0": np.array([0.97, 0.02, 0.01])}

    turns = replay([row], vectors, MATRIX, seed=0)

    assert turns[0].held is turns[0].final is Tier.LIGHTWEIGHT
