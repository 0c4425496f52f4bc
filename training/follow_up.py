"""Fit of the continuation gate: follow-ups against topic changes.

Positives are the conversations as they were written; negatives are the same conversations with their newest
ask replaced by the
first ask of another row, which is a topic change by construction.
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


def conversations(rows: Sequence[LabelledRequest]) -> list[Sequence[Mapping[str, Any]]]:
    """Message lists that end with a user turn and hold an earlier one."""
    found = []
    for row in rows:
        if isinstance(row.request, str) or row.request[-1].get("role") != "user":
            continue
        if sum(1 for m in row.request if m.get("role") == "user") > 1:
            found.append(row.request)
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
    features, labels = [], []
    for talk in talks:
        features.append(gate_features(view_of(talk)))
        labels.append(1)
        for pick in random.integers(0, len(singles), 2):
            changed = [*talk[:-1], {"role": "user", "content": singles[int(pick)]}]
            features.append(gate_features(view_of(changed)))
            labels.append(0)
    model = LogisticRegression(C=1.0, max_iter=500, class_weight={0: 0.5, 1: 1.0})
    design = np.array(features)
    model.fit(design[:, :-1], labels)
    return np.append(np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0]))
