"""Words are looked up, not hashed again: the numbers stay the same, whatever was asked before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import features, known_words
from classifier.features import hashed
from classifier.prompt import PromptView


def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets all words."""
    monkeypatch.setattr(features, "_KNOWN", known_words.KnownWords(features._scatter, features.word_codes))


@given(st.text(max_size=200))
def test_features_do_not_depend_on_what_was_asked_before(text: str) -> None:
    """The second time every word is known."""
    with pytest.MonkeyPatch.context() as patch:
        fresh(patch)
        first = hashed(PromptView(text))

        second = hashed(PromptView(text))

    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_more_words_than_are_kept_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It forgets all of them and begins anew."""
    texts = [" ".join(f"w{a}{b}" for b in "abcdefgh") for a in "abcdefghijklmnop"]
    fresh(monkeypatch)
    expected = [hashed(PromptView(text)) for text in texts]
    monkeypatch.setattr(known_words, "MOST_WORDS", 20)
    fresh(monkeypatch)

    found = [hashed(PromptView(text)) for text in texts]

    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


def test_threads_that_learn_at_once_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are added while others are looked up, and the table is begun anew under them."""
    texts = [" ".join(f"t{number % 50}x{part}" for part in range(10)) for number in range(400)]
    expected = [hashed(PromptView(text)) for text in texts]
    monkeypatch.setattr(known_words, "MOST_WORDS", 200)
    fresh(monkeypatch)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda text: hashed(PromptView(text)), texts))

    assert all(np.array_equal(a[1], b[1]) and np.array_equal(a[0], b[0]) for a, b in zip(expected, found, strict=True))
