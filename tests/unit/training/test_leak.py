"""Leak check against the design's examples."""

from __future__ import annotations

import json

import pytest

from classifier.artifact import METADATA, shipped_path
from classifier.record import LabelledRequest, read_requests
from classifier.tiers import Tier
from training.dataset import BASE_FILES, data_path, load_examples
from training.leak import LIMIT, LeakError, check, grams, jaccard, nearest


def row(text: str) -> LabelledRequest:
    """A training row with this text."""
    return LabelledRequest("r1", "test", Tier.CODING, text)


def test_an_example_in_the_training_data_stops_the_run() -> None:
    """A row that is an example, whatever its case, raises and names both."""
    examples = [{"id": "ex", "prompt": "What is a closure in JavaScript?"}]

    with pytest.raises(LeakError, match=r"r1.*ex"):
        check([row("what IS a closure in javascript?")], examples)


def test_unrelated_rows_pass_with_their_similarity() -> None:
    """Without a near neighbour the highest similarity comes back."""
    found = check(
        [row("bake a cake"), row("What is a cloud?")], [{"id": "ex", "prompt": "What is a closure in JavaScript?"}]
    )

    assert 0 < found.similarity <= LIMIT
    assert found.example == "ex"


def test_jaccard_of_known_sets() -> None:
    """Five-grams of a six-letter word are two; one of two shared of three in all is a third."""
    assert jaccard(grams("abcdef"), grams("ABCDEX")) == pytest.approx(1 / 3)


def test_the_committed_training_data_hold_no_example() -> None:
    """No committed training row is a near neighbour of an example."""
    rows = [r for name in BASE_FILES for r in read_requests(data_path() / name)]

    assert nearest(rows, load_examples()).similarity <= LIMIT


def test_the_shipped_artifact_says_how_near_its_data_came() -> None:
    """The run that made the artifact searched the corpora too and found nothing near."""
    metadata = json.loads((shipped_path() / METADATA).read_text(encoding="utf-8"))

    assert 0 <= metadata["nearest_example_jaccard"] <= LIMIT
