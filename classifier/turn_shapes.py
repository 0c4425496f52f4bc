"""Shapes that tell a follow-up from a new ask: how the newest ask looks beside what was said before.

What they share (words, names, numbers, script), their lengths, whether the answer asks back, how the ask begins and
ends. No list of words of any language, and everything is bounded (`ASK`, `ANSWER`).
"""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from classifier.byte_tables import WORDS_ALONE
from classifier.prompt import PromptView

GATE_NAMES = (
    "log_chars",
    "log_words",
    "shorter",
    "overlap_ask",
    "overlap_answer",
    "question",
    "pasted",
    "new_grams",
    "capital",
    "log_turns",
    "constant",
    "answer_asks",
    "log_answer",
    "log_before",
    "shared_long",
    "shared_words",
    "new_long",
    "shared_name",
    "log_names",
    "other_script",
    "answer_code",
    "pasted_after_code",
    "first_shared",
    "ends_question",
    "ends_sentence",
    "small_first",
    "digit_first",
    "mark_first",
    "third_turn",
    "before_short",
    "length_ratio",
    "colon",
    "lines",
    "tool_results",
    "three_words",
    "six_words",
    "quoted",
    "log_digits",
)
GATE_SHAPES = len(GATE_NAMES)

CONSTANT = GATE_NAMES.index("constant")
OLDER_SHAPES = CONSTANT + 1
"""Shapes that gates of earlier artifacts know: those up to the constant."""

ASK, ANSWER = 500, 1_500
"""Characters that are compared: of an ask, of an answer or of the asks before."""

FEW_GRAMS = 100
"""Up to which each is looked for by itself."""

_WORD = re.compile(r"\w+")
# What a program or a person named: paths, dotted and camel-cased names, versions and numbers, what is in backticks.
# A name begins at the first letter of a word, and what stands before its first mark is bounded: a word of thousands of
# letters would be looked through from each of them.
_NAME = re.compile(r"(?<![A-Za-z_])[A-Za-z_]\w{0,127}[_.\-/][\w./\-]+|\d[\d.,:]+|[A-Z][a-z]+[A-Z]\w+|`[^`]+`")
_LONG = 6
"""Characters from which on a shared word is hardly one by chance."""

_QUESTION = ("?", "？", "؟")
_SENTENCE = (".", "!", "。")
_LETTER = re.compile("[A-Za-z]")
_QUOTES = re.compile('["“«「]')
_SCRIPTS = ((0x250, "latin"), (0x530, "cyrillic"), (0x700, "arabic"), (0xE00, "indic"), (0x2000, ""), (0x3100, "kana"))


def gate_features(view: PromptView) -> NDArray[np.float64]:
    """Shape of a possible follow-up.

    Args:
        view: A view with a history.

    Returns:
        (GATE_SHAPES,): the features, the constant 1 of the bias among them. Finite on any text.
    """
    ask = view.ask[:ASK]
    before = view.previous[0][:ASK] if view.previous else ""
    answer = view.answer[:ANSWER]
    words, answered_words = _words(ask), _words(answer)
    earlier = " ".join(view.previous)[:ANSWER]
    grams = _grams(words)
    size = max(1, len(grams))
    overlap, answered = _shared(grams, _words(before)) / size, _shared(grams, answered_words) / size
    known = {*_words(earlier), *answered_words}
    return np.array(
        [
            math.log1p(len(ask)) / 4,
            math.log1p(len(words)) / 3,
            float(len(ask) < len(before) / 2),
            overlap,
            answered,
            float("?" in ask or "？" in ask),
            float(bool(view.pasted)),
            math.log1p(len(grams) * (1 - max(overlap, answered))) / 4,
            float(ask[:1].isupper()),
            math.log1p(view.n_turns),
            1.0,
            *_beside(view, ask, words, known, f"{earlier} {answer}"),
            *_form(view, ask, len(words)),
        ]
    )


def _words(text: str) -> list[str]:
    if text.isascii():
        return text.encode().translate(WORDS_ALONE).decode().split()
    return _WORD.findall(text.lower())


def _grams(words: list[str]) -> set[str]:
    lowered = " ".join(words)
    return {lowered[i : i + 4] for i in range(len(lowered) - 3)}


def _shared(grams: set[str], words: list[str]) -> int:
    """How many grams are among those of these words too; to find a few costs less than the set of all of an answer."""
    if len(grams) > FEW_GRAMS:
        return len(grams & _grams(words))
    return sum(map(" ".join(words).__contains__, grams))


def _beside(view: PromptView, ask: str, words: list[str], known: set[str], history: str) -> tuple[float, ...]:
    """The ask beside what was said before, and its words: from `answer_asks` to `first_shared`."""
    shared = known.intersection(words)
    names = set(_NAME.findall(ask))
    code = "`" in view.answer[:ANSWER]
    return (
        float(view.answer[-200:].rstrip().endswith(_QUESTION)),
        math.log1p(len(view.answer)) / 6,
        math.log1p(len(view.previous[0]) if view.previous else 0) / 5,
        math.log1p(sum(1 for word in shared if len(word) >= _LONG)),
        len(shared) / max(1, len(words)),
        sum(1 for word in words if len(word) >= _LONG and word not in known) / max(1, len(words)),
        float(bool(names) and not names.isdisjoint(_NAME.findall(history))),
        math.log1p(len(names)) / 2,
        float(_script(ask) != _script(history)),
        float(code),
        float(code and bool(view.pasted)),
        float(bool(words) and words[0] in known),
    )


def _form(view: PromptView, ask: str, words: int) -> tuple[float, ...]:
    """How the ask looks by itself and in the talk: from `ends_question` on."""
    end, first = ask.rstrip(), ask[:1]
    lengths = [len(one) for one in view.previous]
    return (
        float(end.endswith(_QUESTION)),
        float(end.endswith(_SENTENCE)),
        float(first.islower()),
        float(first.isdigit()),
        float(not first.isalnum()),
        float(len(lengths) > 1),
        float(len(lengths) > 1 and lengths[0] < lengths[1] / 2),
        math.log((1 + len(ask)) / (1 + (lengths[0] if lengths else 0))) / 4,
        float(":" in ask[:60]),
        float("\n" in view.ask),
        float(view.n_tool_results > 0),
        float(words <= 3),
        float(words <= 6),
        float(bool(_QUOTES.search(ask))),
        math.log1p(sum(map(str.isdigit, ask))) / 2,
    )


def _script(text: str) -> str:
    """The script of most letters among the first 200 characters, "" without a letter."""
    head = text[:200]
    if head.isascii():
        return "latin" if _LETTER.search(head) else ""
    counts = Counter(_script_of(ord(c)) for c in head if c.isalpha())
    return max(sorted(counts), key=counts.__getitem__) if counts else ""


def _script_of(point: int) -> str:
    for end, name in _SCRIPTS:
        if point < end:
            return name
    return "hangul" if 0xAC00 <= point < 0xD7A4 else "han"
