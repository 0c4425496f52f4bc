"""The guard with a real sentence embedding on the pairs of English, where it is on."""

from __future__ import annotations

import numpy as np
import pytest

from service.cache import evaluation
from service.cache.local_model import LocalModel, installed


@pytest.fixture(scope="module")
def english() -> evaluation.Row:
    """The table's English row."""
    if not installed():
        pytest.skip("the extra cache-local is not installed")
    rows = [pair for pair in evaluation.pairs() if pair.lang == "en"]
    return evaluation.measure(rows, LocalModel().embed, 0.005)[0]


@pytest.mark.timeout(300)
def test_near_misses_are_refused_and_half_of_the_paraphrases_served(english: evaluation.Row) -> None:
    """The bound is at most 2 %, nothing of a kind held out is served, and it is worth its calls."""
    assert english.evidence.auc >= 0.95
    assert english.threshold is not None
    assert english.near_bound <= 0.02
    assert english.held_out_served == 0
    assert english.same_served >= 0.5
    assert evaluation.upper_bound(english.neighbours_served, english.neighbours) <= 0.02
    assert english.plain is None or english.plain[1] < english.same_served
    assert [rates[0] for rates in english.litellm] == [0.8, 0.95]
    assert english.litellm[0][2] > 0.5


def test_the_data_are_what_their_card_says() -> None:
    """3,640 pairs, 260 and 260 in each of seven languages, 20 of each kind, no pair of equal texts."""
    rows = evaluation.pairs()

    counts = {(lang, kind): 0 for lang in ("de", "en", "es", "fr", "it", "nl", "pt") for kind in {r.kind for r in rows}}
    for row in rows:
        counts[row.lang, row.kind] += 1
    assert len({row.id for row in rows}) == len(rows) == 3640
    assert set(counts.values()) == {20, 260}
    assert all(row.a.strip() != row.b.strip() for row in rows)
    assert all(row.same == (row.kind == "paraphrase") for row in rows)


def test_a_vector_does_not_depend_on_its_batch() -> None:
    """Padding of longer neighbours changes nothing that counts."""
    if not installed():
        pytest.skip("the extra cache-local is not installed")
    model = LocalModel()

    alone = model.embed(["How do I undo a commit?"])[0]
    beside = model.embed(["How do I undo a commit?", "word " * 100])[0]

    assert float(np.linalg.norm(alone)) == pytest.approx(1.0, abs=1e-5)
    assert float(alone @ beside) > 0.98
