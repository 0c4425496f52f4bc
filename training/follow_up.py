"""Fit of the continuation gate: follow-ups against topic changes.

Conversations that say so (`turn`) are taken at their word. Of the others the last turn counts as a follow-up.
More topic changes are made by replacing the newest ask of a conversation with the first ask of another row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.conversation import opening_row
from classifier.features import HASHED_SIZE
from classifier.prompt import PromptView, view_of
from classifier.record import LabelledRequest
from classifier.turn_shapes import CONSTANT, GATE_SHAPES, gate_features
from training.first_stage import hashed_matrix

Floats = NDArray[np.float64]


LONGEST = 2_000
"""Characters of an ask that may replace another."""


def conversations(rows: Sequence[LabelledRequest]) -> list[LabelledRequest]:
    """Rows that end with a user turn and hold an earlier one."""
    return [
        row
        for row in rows
        if not isinstance(row.request, str)
        and row.request[-1].get("role") == "user"
        and sum(1 for m in row.request if m.get("role") == "user") > 1
    ]


C, GAIN, LEAST_ROWS = 0.3, 3.0, 3
"""Inverse strength of the penalty, factor on the opening's hashed features, rows that a column must have."""

SAID, LIKELY, CHANGED, MADE = 1.0, 0.4, 1.7, 0.15
"""Weights of a turn that says it continues, one that only likely does, one that says it changes, a made-up change."""


def fit_gate(rows: Sequence[LabelledRequest], seed: int = 0) -> Floats:
    """Learn the gate.

    Args:
        rows: Team-written rows, conversations among them.
        seed: Of the choice of replacement asks.

    Returns:
        (GATE_SHAPES + HASHED_SIZE,) weights; (GATE_SHAPES,) of a gate that always says "continues" if there is no
        conversation.
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    examples = list(gate_examples(rows, seed))
    if len({label for _, label, _ in examples}) < 2:
        return np.where(np.arange(GATE_SHAPES) == CONSTANT, 4.0, 0.0)
    views = [view for view, _, _ in examples]
    shapes = np.array([gate_features(view) for view in views])
    hashed = hashed_matrix([opening_row(view) for view in views])
    used = np.flatnonzero(np.bincount(hashed.indices, minlength=HASHED_SIZE) >= LEAST_ROWS)
    varying = np.flatnonzero(np.arange(GATE_SHAPES) != CONSTANT)
    design = hstack((csr_matrix(shapes[:, varying]), hashed[:, used] * GAIN), format="csr")
    model = LogisticRegression(C=C, max_iter=1_000)
    model.fit(design, [label for _, label, _ in examples], [weight for _, _, weight in examples])
    weights = np.zeros(GATE_SHAPES + HASHED_SIZE)
    weights[varying] = model.coef_[0, : varying.size]
    weights[CONSTANT] = model.intercept_[0]
    weights[GATE_SHAPES + used] = model.coef_[0, varying.size :] * GAIN
    return weights.astype(np.float16).astype(np.float64)  # as they are stored: training sees what serving sees


def gate_examples(rows: Sequence[LabelledRequest], seed: int) -> Iterator[tuple[PromptView, int, float]]:
    """(view, 1 where it continues, weight): each conversation, and twice the same with another row's ask at its end.

    The replacement is of the same language where there is one, so that a change of language does not give it away.
    """
    singles: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row.request, str) and len(row.request) < LONGEST:
            singles.setdefault(row.lang, []).append(row.request)
    anywhere = [text for texts in singles.values() for text in texts]
    random = np.random.default_rng(seed)
    for row in conversations(rows):
        is_change = row.turn in ("changes", "new")
        yield view_of(row.request), int(not is_change), CHANGED if is_change else SAID if row.turn else LIKELY
        for _ in range(2 if anywhere else 0):
            pool = singles.get(row.lang, anywhere)
            made = {"role": "user", "content": pool[int(random.integers(len(pool)))]}
            yield view_of([*row.request[:-1], made]), 0, MADE
