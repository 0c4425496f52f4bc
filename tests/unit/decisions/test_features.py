"""What is kept of a prompt: enough to train on, nothing to read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import classifier
from classifier import view_of
from classifier.conversation import carried_view
from classifier.features import SCHEMA, feature_row
from classifier.model import Heard
from service.decisions.features import kept_features, kept_row

ASK = "Write a parser for the tide tables of our harbour"
TALK = [
    {"role": "user", "content": ASK},
    {"role": "assistant", "content": "Here it is."},
    {"role": "user", "content": "and in Rust?"},
]


def test_features_come_back_as_they_were_judged() -> None:
    """Columns, values and structure are those of the view, to the digits that are kept."""
    view = view_of(ASK)

    back = kept_row(kept_features(view, classifier.load(stages=1).classify_view(view), "en"))

    assert back is not None
    assert (back.schema, back.carried, back.second, back.language) == (SCHEMA, False, None, "en")
    expected = feature_row(view)
    assert np.array_equal(back.row.indices, expected.indices)
    assert np.array_equal(back.row.values, expected.values)
    assert np.allclose(back.row.structure, expected.structure, atol=1e-6)


def test_a_follow_up_is_kept_as_what_it_was_judged_by() -> None:
    """Where the newest ask most likely continues the one before, both together are kept, and it says so."""
    view = view_of(TALK)
    spoken = classifier.load(stages=1).classify_view(view)

    back = kept_row(kept_features(view, spoken, "en"))

    assert spoken.continues >= 0.5
    assert back is not None
    assert back.carried
    assert np.array_equal(back.row.indices, feature_row(carried_view(view)).indices)


def test_the_word_of_the_first_stage_is_kept_where_the_second_spoke_too() -> None:
    """With the probabilities of the record a row then needs no artifact to say what was thought of it."""
    view = view_of(ASK)
    alone = classifier.load(stages=1).classify_view(view)
    spoken = replace(alone, second=(0.25, -1.5, 2.0), first=(0.2, 0.3, 0.5))

    back = kept_row(kept_features(view, spoken, ""))

    assert back is not None
    assert back.first is not None
    assert np.allclose(np.exp(back.first), [0.2, 0.3, 0.5], atol=1e-4)
    assert "first" not in kept_features(view, alone, "")


def test_the_log_odds_of_the_second_stage_are_kept() -> None:
    """Three numbers where it was asked."""
    view = view_of(ASK)
    spoken = replace(classifier.load(stages=1).classify_view(view), second=(0.25, -1.5, 2.0))

    back = kept_row(kept_features(view, spoken, ""))

    assert back is not None
    assert back.second == (0.25, -1.5, 2.0)


def test_the_log_odds_of_an_embedding_are_kept_with_its_head() -> None:
    """Only where it was heard; a word that never came leaves nothing."""
    view = view_of(ASK)
    spoken = classifier.load(stages=1).classify_view(view)

    heard = kept_row(kept_features(view, replace(spoken, embedding=Heard("used", (0.25, -1.5, 2.0), "abcdef01")), ""))
    late = kept_features(view, replace(spoken, embedding=Heard("late")), "")

    assert heard is not None
    assert (heard.embedding, heard.head) == ((0.25, -1.5, 2.0), "abcdef01")
    assert {"embedding", "head"}.isdisjoint(late)


@pytest.mark.parametrize(
    "text", ["", "a", "a" * 900, "ha " * 300, "see\n```\nx = 1\nx = 2\n```\n" * 40], ids=lambda text: text[:3]
)
def test_counts_of_any_size_come_back(text: str) -> None:
    """Each value is worked out anew from how often its hash was there, up to the last bit."""
    view = view_of(text)

    back = kept_row(kept_features(view, None, ""))

    expected = feature_row(view)
    assert back is not None
    assert np.array_equal(back.row.indices, expected.indices)
    assert np.array_equal(back.row.values, expected.values)


def test_columns_that_do_not_fit_their_blocks_are_no_row() -> None:
    """Something cut a part off."""
    kept = kept_features(view_of(ASK), None, "")

    assert kept_row({**kept, "columns": kept["columns"][:-4]}) is None
    assert kept_row({**kept, "blocks": [1, 2, 3]}) is None
    assert kept_row({**kept, "counts": kept["counts"][:-4]}) is None


def test_rows_of_older_versions_are_read() -> None:
    """Before there were log-odds and languages, schema, structure, indices and values were all."""
    back = kept_row({"schema": 1, "structure": [0.5], "indices": [3, 7], "values": [0.6, 0.8]})

    assert back is not None
    assert (back.carried, back.second, back.language) == (False, None, "")
    assert (back.embedding, back.head) == (None, "")


def test_what_is_no_row_of_features_is_none() -> None:
    """Nothing kept, or something else in its place."""
    assert kept_row(None) is None
    assert kept_row({"schema": 1}) is None
    assert kept_row({"schema": "x", "structure": [], "indices": [], "values": []}) is None
