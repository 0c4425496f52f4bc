"""Baselines beside the router on the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.features import feature_row
from classifier.prompt import view_of
from classifier.record import LabelledRequest
from classifier.tiers import TIERS
from training.baselines import compare, length_only, text_of
from training.pooled import Pooled

EVEN = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def request(number: int, tier: int, text: str) -> LabelledRequest:
    """One labelled request."""
    return LabelledRequest(id=str(number), source="s", tier=TIERS[tier], request=text)


def pooled_of(rows: list[LabelledRequest], probabilities: np.ndarray) -> Pooled:
    """Rows of two sources with predictions of a first stage."""
    n = len(rows)
    true = np.array([TIERS.index(r.tier) for r in rows])
    groups = np.array(["a" if i < n // 2 else "b" for i in range(n)])
    return Pooled(rows, true, groups, np.ones(n), probabilities, None, None, None, np.zeros(n, dtype=bool))


def test_a_baseline_reads_the_last_user_turn_whole() -> None:
    """Neither its last line alone, nor what a tool said after it, nor an earlier turn."""
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "Explain this:\nx = 1"},
        {"role": "tool", "content": "result"},
    ]
    row = LabelledRequest(id="a", source="s", tier=TIERS[1], request=messages)

    assert text_of(row) == "Explain this:\nx = 1"


def test_a_baseline_reads_the_text_parts_of_a_turn() -> None:
    """Content may be a list of parts; without a user turn there is nothing to read."""
    parts = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": "x"}}]
    row = LabelledRequest(id="a", source="s", tier=TIERS[0], request=[{"role": "user", "content": parts}])
    silent = LabelledRequest(id="b", source="s", tier=TIERS[0], request=[{"role": "assistant", "content": "hi"}])

    assert (text_of(row), text_of(silent)) == ("what is this", "")


def test_every_baseline_shows_what_it_sends_too_low() -> None:
    """The majority is lightweight: it loses all reasoning prompts, which the router reaches; the gains are paired."""
    rows = [request(i, 2 if i % 4 == 0 else 0, f"request number {i}") for i in range(40)]
    pooled = pooled_of(rows, np.eye(3)[[TIERS.index(r.tier) for r in rows]])
    features = [feature_row(view_of(r.request)) for r in rows]

    found = compare(pooled, features, length_only(pooled), EVEN, 0, peers=False)

    assert found["majority"].reasoning_to_lightweight == 1.0
    assert found["majority"].own_reasoning_to_lightweight == 0.0
    assert found["majority"].gain == pytest.approx(0.25)
    assert found["majority"].macro_f1_gain == pytest.approx(1 - found["majority"].macro_f1)
    assert found["majority"].macro_f1_low <= found["majority"].macro_f1_gain <= found["majority"].macro_f1_high
    assert {"subject prior", "length only", "own tier mix, shuffled"} <= set(found)


def test_length_says_nothing_about_a_tier_that_the_other_source_lacks() -> None:
    """Its probability is none, and the others still sum to one."""
    rows = [request(i, 0 if i % 2 else 1, "x" * (1 + i)) for i in range(10)]
    rows += [request(i, 2 if i % 2 else 1, "x" * (1 + i)) for i in range(10, 20)]

    found = length_only(pooled_of(rows, np.full((20, 3), 1 / 3)))

    assert not found[:10, 0].any()
    assert np.allclose(found.sum(axis=1), 1.0)
