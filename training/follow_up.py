"""Fit of the continuation gate: follow-ups against topic changes.

Conversations that say so (`turn`) are taken at their word. Of the others the last turn counts as a follow-up.
More topic changes
are made by replacing the newest ask of a conversation with the first ask of another row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.conversation import GATE_NAMES, gate_features
from classifier.prompt import view_of
from classifier.record import LabelledRequest

Floats = NDArray[np.float64]


def conversations(rows: Sequence[LabelledRequest]) -> list[tuple[Sequence[Mapping[str, Any]], str]]:
    """(messages, turn) of rows that end with a user turn and hold an earlier one."""
    found: list[tuple[Sequence[Mapping[str, Any]], str]] = []
    for row in rows:
        if isinstance(row.request, str) or row.request[-1].get("role") != "user":
            continue
        if sum(1 for m in row.request if m.get("role") == "user") > 1:
            found.append((row.request, row.turn))
    return found


def fit_gate(rows: Sequence[LabelledRequest], seed: int = 0) -> Floats:
    """Learn the gate.

    Args:
        rows: Team-written rows, conversations among them.
        seed: Of the choice of replacement asks.

    Returns:
        (len(GATE_NAMES) + 1,) weights; a gate that always says "continues" if there is no conversation.
    """
    from sklearn.linear_model import LogisticRegression

    talks = conversations(rows)
    singles = [r.request for r in rows if isinstance(r.request, str) and len(r.request) < 2_000]
    if not talks or not singles:
        return np.append(np.zeros(len(GATE_NAMES)), 4.0)
    random = np.random.default_rng(seed)
    features, labels, weights = [], [], []
    for talk, turn in talks:
        features.append(gate_features(view_of(talk)))
        labels.append(0 if turn in ("changes", "new") else 1)
        # A row that says what it is weighs more than one whose last turn is only likely to be a follow-up.
        weights.append(1.0 if turn else 0.4)
        changed = [*talk[:-1], {"role": "user", "content": singles[int(random.integers(0, len(singles)))]}]
        features.append(gate_features(view_of(changed)))
        labels.append(0)
        weights.append(0.3)
    model = LogisticRegression(C=3.0, max_iter=1_000)
    design = np.array(features)
    model.fit(design[:, :-1], labels, np.array(weights))
    return np.append(np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0]))
