"""The embedding term: what it adds, and that nothing is changed where it is not heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from classifier import Tier, load, view_of
from classifier.artifact import METADATA, WEIGHTS, ArtifactError, load_artifact, sha256_of, shipped_path
from classifier.deep import read_part
from classifier.embedded import asks, with_embedding, without_embedding
from classifier.embedding import EMBEDDING, text_of
from tests.artifacts import embedded

ASK = "Write a parser for the tide tables of our harbour"


def vector(size: int = 768) -> np.ndarray:
    """Some vector."""
    return np.random.default_rng(3).normal(size=size)


def test_the_stages_of_an_artifact_with_an_embedding_say_what_they_say_without(tmp_path: Path) -> None:
    """The same weights, byte for byte, and the same probabilities."""
    plain, with_term = load(stages=1), load(embedded(tmp_path / "a"), stages=1)

    said = with_term.classify(ASK)

    assert said.probabilities == plain.classify(ASK).probabilities
    assert sha256_of(tmp_path / "a" / WEIGHTS) == sha256_of(shipped_path() / WEIGHTS)
    assert with_term.artifact.id != plain.artifact.id
    assert said.embedding is None


def test_a_head_without_a_share_changes_nothing(tmp_path: Path) -> None:
    """The join is an even one then: the probabilities of the stages, to the last digits."""
    model = load(embedded(tmp_path / "a", share=0.0), stages=1)
    before, term = model.classify(ASK), model.artifact.embedding

    assert term is not None
    after = with_embedding(before, term, vector(), model.artifact.matrices["default"])

    assert after.probabilities == pytest.approx(before.probabilities)
    assert after.tier is before.tier


def test_the_heads_word_moves_tier_confidence_and_explanation(tmp_path: Path) -> None:
    """What the stages said stays readable beside it."""
    model = load(embedded(tmp_path / "a", towards=Tier.REASONING), stages=1)
    before, term = model.classify("What is the capital of France?"), model.artifact.embedding

    assert term is not None
    after = with_embedding(before, term, vector(), model.artifact.matrices["default"])

    assert (before.tier, after.tier) == (Tier.LIGHTWEIGHT, Tier.REASONING)
    assert after.confidence == after.probabilities[Tier.REASONING] > 0.7
    assert sum(after.probabilities.values()) == pytest.approx(1.0)
    assert after.features[0].name == "its embedding (nomic) is like that of reasoning requests"
    assert after.needed.endswith("it would be lightweight")
    assert after.embedding is not None
    assert (after.embedding.result, after.embedding.before) == ("used", before.probabilities)
    assert after.embedding.logodds == pytest.approx((0.0, 0.0, 20.0))
    assert after.embedding.head == term.head


def test_a_word_that_was_not_heard_leaves_all_but_the_reason(tmp_path: Path) -> None:
    """The plain classification says why."""
    before = load(embedded(tmp_path / "a"), stages=1).classify(ASK)

    after = without_embedding(before, "late")

    assert after.embedding is not None
    assert (after.embedding.result, after.embedding.logodds) == ("late", None)
    assert (after.tier, after.probabilities, after.features) == (before.tier, before.probabilities, before.features)


def test_it_is_asked_only_where_the_stages_leave_doubt(tmp_path: Path) -> None:
    """Above the bound, and where there is something to judge."""
    model = load(embedded(tmp_path / "a"), stages=1)
    matrix = model.artifact.matrices["default"]

    assert asks(model.classify(ASK), matrix, 0.0)
    assert not asks(model.classify(ASK), matrix, 0.99)
    assert not asks(model.classify("..."), matrix, 0.0)


@pytest.mark.parametrize("ask", [ASK, "x" * 5_000, "a\ud800b", "", "Explain:\n```\n" + "print(1)\n" * 300 + "```"])
def test_the_text_is_the_same_of_what_the_log_keeps(ask: str) -> None:
    """In training and in serving one text, bounded, and fit for JSON."""
    view = view_of([{"role": "user", "content": "Before " * 200}, {"role": "assistant", "content": "."},
                    {"role": "user", "content": ask}])  # fmt: skip

    assert text_of(view) == text_of(read_part(view))
    assert len(text_of(view)) < 3_100
    assert text_of(view).encode("utf-8")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"dimensions": 12}, "for 12 dimensions"),
        ({"dimensions": None}, "cannot be used"),
        (None, "'embedding'"),
    ],
)
def test_a_term_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, object] | None, why: str) -> None:
    """With one line that names folder and file."""
    folder = embedded(tmp_path / "a")
    described = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    if change is None:
        del described["embedding"]
    else:
        described["embedding"] |= change
    (folder / METADATA).write_text(json.dumps(described), encoding="utf-8")

    with pytest.raises(ArtifactError, match=f"{EMBEDDING} cannot be used.*{why}|{why}"):
        load_artifact(folder)
