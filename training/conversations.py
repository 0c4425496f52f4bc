"""Whole conversations, replayed turn by turn as routing does: do follow-ups keep their tier, are topic changes seen?

The earlier turns are classified by models that had not seen the conversation (they are in `OUT_OF_SOURCE` like every
row), the continuation gate is fitted without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier import Classification
from classifier.conversation import continuation
from classifier.hold import goes_on_with
from classifier.policy import choose
from classifier.prompt import view_of
from classifier.record import LabelledRequest
from classifier.tiers import TIERS, Tier
from training.follow_up import fit_gate
from training.split import grouped

Floats = NDArray[np.float64]
BEGINNING = "beginning"
"""`turn` of a row that is the beginning of another: it is predicted, never trained on, never counted by itself."""

EARLIER = 6
"""User turns of a history that are classified again, as in routing."""

FOLDS = 4


def beginnings(rows: Sequence[LabelledRequest]) -> tuple[LabelledRequest, ...]:
    """For each conversation that continues or changes: its beginnings, up to each earlier ask.

    The label of a beginning is that of its row; nobody labelled it, and nobody counts it.
    """
    found = []
    for row in rows:
        if row.turn not in ("continues", "changes") or isinstance(row.request, str):
            continue
        for place in asks_of(row)[:-1][-EARLIER:]:
            found.append(
                replace(
                    row,
                    id=f"{row.id}@{place}",
                    request=row.request[: place + 1],
                    turn=BEGINNING,
                    weight=0.0,
                    labels=(),
                    score=-1,
                )
            )
    return tuple(found)


def asks_of(row: LabelledRequest) -> list[int]:
    """Places of the user turns of a conversation; a tool's result at its end counts as one."""
    assert not isinstance(row.request, str)
    places = [i for i, m in enumerate(row.request) if m.get("role") == "user"]
    return places if row.request[-1].get("role") == "user" else [*places, len(row.request) - 1]


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of the last turn of one conversation."""

    kind: str
    held: Tier
    final: Tier
    label: Tier
    is_seen_as_new: bool
    group: str


def replay(
    rows: Sequence[LabelledRequest], probabilities: Mapping[str, Floats], matrix: Sequence[Sequence[float]], seed: int
) -> list[Turn]:
    """Go through conversations with predictions that had not seen them.

    Args:
        rows: Conversations with `turn`, of the whole written set (the gate is fitted on the others).
        probabilities: (3,) by id, of the rows and of their `beginnings`.
        matrix: The policy's cost matrix.
        seed: Of the gate's fit.

    Returns:
        One turn for each row that continues or changes.
    """
    keys = [row.block or row.id for row in rows]
    fold = grouped(keys, FOLDS)
    gates = [fit_gate([r for r, f in zip(rows, fold, strict=True) if f != k], seed) for k in range(FOLDS)]
    found = []
    for row, k in zip(rows, fold, strict=True):
        if row.turn in ("continues", "changes") and not isinstance(row.request, str):
            found.append(_replayed(row, probabilities, matrix, gates[k]))
    return found


def _replayed(
    row: LabelledRequest, probabilities: Mapping[str, Floats], matrix: Sequence[Sequence[float]], gate: Floats
) -> Turn:
    held: Tier | None = None
    assert not isinstance(row.request, str)
    *earlier, last = asks_of(row)
    for place in earlier[-EARLIER:]:
        spoken = _spoken(row.request[: place + 1], probabilities[f"{row.id}@{place}"], matrix, gate)
        held = goes_on_with(held, spoken)
    spoken = _spoken(row.request, probabilities[row.id], matrix, gate)
    first = held or spoken.tier
    in_tool_loop = row.request[last].get("role") != "user"
    final = first if in_tool_loop else goes_on_with(held, spoken)
    return Turn(row.turn, first, final, row.tier, not in_tool_loop and spoken.continues < 0.5, row.block or row.id)


def _spoken(messages: Any, vector: Floats, matrix: Sequence[Sequence[float]], gate: Floats) -> Classification:
    view = view_of(messages)
    chances = {tier: float(p) for tier, p in zip(TIERS, vector, strict=True)}
    tier = choose(chances, matrix)
    return Classification(
        tier=tier,
        confidence=chances[tier],
        probabilities=chances,
        runner_up=max((t for t in TIERS if t is not tier), key=chances.__getitem__),
        tokens=view.tokens,
        artifact="",
        stage=2,
        signal=view.signal,
        continues=continuation(view, gate),
    )


def turn_figures(turns: Sequence[Turn]) -> dict[str, Any]:
    """Shares by kind of turn: kept (the tier of what it continues), seen as new, and at least the label's tier."""
    found = {}
    for kind in ("continues", "changes"):
        part = [t for t in turns if t.kind == kind]
        if part:
            found[kind] = {
                "rows": len(part),
                "kept": float(np.mean([t.final is t.held for t in part])),
                "seen_as_new": float(np.mean([t.is_seen_as_new for t in part])),
                "right": float(np.mean([t.final is t.label for t in part])),
                "high_enough": float(np.mean([TIERS.index(t.final) >= TIERS.index(t.label) for t in part])),
            }
    return found
