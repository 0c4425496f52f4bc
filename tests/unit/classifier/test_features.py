"""Features: total, finite, bounded, and the same for the same text."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from classifier import features, structure, turn_shapes
from classifier.features import ASK_CHARS, BLOCK_SIZES, BLOCK_STARTS, HASHED_SIZE, feature_row
from classifier.prompt import view_of
from classifier.structure import STRUCTURE_NAMES


def random_text(seed: int) -> str:
    """Characters from many scripts, control characters and lone surrogates among them."""
    source = random.Random(seed)
    spans = [(0, 127), (0x400, 0x4FF), (0x4E00, 0x4FFF), (0x600, 0x6FF), (0x1F600, 0x1F64F), (0xD800, 0xDFFF)]
    return "".join(chr(source.randint(*source.choice(spans))) for _ in range(source.randint(0, 3_000)))


@pytest.mark.parametrize("seed", range(25))
def test_features_are_total_and_finite_on_any_text(seed: int) -> None:
    """No text breaks them, each column comes once and in range, each block is scaled to length one."""
    row = feature_row(view_of(random_text(seed)))

    assert row.structure.shape == (len(STRUCTURE_NAMES),)
    assert np.isfinite(row.structure).all()
    assert np.isfinite(row.values).all()
    assert np.unique(row.indices).size == row.indices.size
    assert not row.indices.size or (row.indices.min() >= 0 and row.indices.max() < HASHED_SIZE)
    for start, size in zip(BLOCK_STARTS, BLOCK_SIZES, strict=True):
        part = row.values[(row.indices >= start) & (row.indices < start + size)]
        assert part.size == 0 or part @ part == pytest.approx(1.0)


def test_the_same_text_has_the_same_features() -> None:
    """Hashing does not depend on the process: known columns of a known text."""
    row = feature_row(view_of("plan a trip"))

    again = feature_row(view_of("plan a trip"))

    assert row.indices.tolist() == again.indices.tolist()
    assert int(row.indices[:6].sum()) == 268_109


def test_numbers_are_told_apart_by_length_only() -> None:
    """Another number of the same length changes nothing: figures carry no tier."""
    one, other = feature_row(view_of("add 17 to 25")), feature_row(view_of("add 48 to 93"))

    assert one.indices.tolist() == other.indices.tolist()


def test_the_middle_of_a_long_ask_is_not_read() -> None:
    """Two long asks that differ only in the middle have the same hashed features."""
    edge = "word " * (sum(ASK_CHARS) // 5)
    texts = [edge + middle * 40 + edge for middle in ("north ", "south ")]

    rows = [feature_row(view_of(t)) for t in texts]

    block = [r.indices[r.indices < BLOCK_STARTS[2]].tolist() for r in rows]
    assert block[0] == block[1]


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("see\n```python\nx = 1\n```", "code_block"),
        ("what failed?\nTraceback (most recent call last):\n  File \"a.py\", line 3\nKeyError: 'x'", "trace"),
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", "diff"),
        ("| a | b |\n| - | - |\n| 1 | 2 |", "table"),
        ('{"a": 1, "b": [1, 2]}', "json"),
        ("solve $x^2 = 4$", "ask_formula"),
        ("which?\nA. one\nB. two\nC. three", "ask_options"),
        ("1. first\n2. second\n3. third", "ask_list_items"),
        ("¿qué es esto?", "ask_questions"),
        ("これは何ですか？", "script_cjk"),
        ("look at https://example.org", "urls"),
    ],
)
def test_structure_is_seen(text: str, feature: str) -> None:
    """Each structure feature speaks on a text that has it and is silent on one that has not."""
    place = STRUCTURE_NAMES.index(feature)

    assert feature_row(view_of(text)).structure[place] > 0
    assert feature_row(view_of("hello there")).structure[place] == 0


ASCII = st.text(st.characters(max_codepoint=127), max_size=300)


@given(ASCII)
@example("  9 \x1c00000 1,000,.5 a_b!?! x.\n1.5.. 123456\t\tA?b ?")
def test_ascii_is_read_by_tables_as_any_text_is_by_expressions(text: str) -> None:
    """Words, characters and counts of a text are the same, whichever way reads it."""
    lowered = text.lower()

    assert features._words(text) == features._WORD.findall(features._DIGITS.sub(features._by_length, lowered))
    assert features._characters(text) == features._smooth(features._DIGITS.sub("0", lowered))
    assert turn_shapes._words(text) == turn_shapes._WORD.findall(lowered)
    words = structure._WORD.findall(text)
    assert structure._words(text) == (len(words), sum(map(len, words)), len({word.lower() for word in words}))
    assert structure._sentences(text) == len(structure._SENTENCE.findall(text))
    assert structure._numbers(text) == len(structure._NUMBER.findall(text))
    assert structure._has_camel(text) == (structure._CAMEL.search(text) is not None)
    capitals, marks = structure._count(text, structure._marks(text))
    assert (capitals, marks) == (
        sum(map(str.isupper, text)),
        len(text) - sum(map(str.isalnum, text)) - sum(map(str.isspace, text)),
    )


MARKED = st.text(st.sampled_from("ab Z9\n.,:;!?_()[]{}<>/*+-=^$#|@`'\"~\\é？"), max_size=60)


@given(MARKED)
def test_what_a_form_needs_is_there_where_the_form_is(text: str) -> None:
    """No gate closes before an expression that matches."""
    marks = structure._marks(text)

    assert structure._identifiers(text, marks) == len(structure._IDENTIFIER.findall(text))
    assert structure._formulas(text, marks) == len(structure._FORMULA.findall(text))
    assert structure._has_trace(text, marks) == (structure._TRACE.search(text) is not None)
