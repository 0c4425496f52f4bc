"""Structure features: counts and shapes that mean the same in any language. No keyword list decides anything here."""

from __future__ import annotations

import math
import re
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from classifier.byte_tables import WORDS_ALONE, members, table
from classifier.prompt import PromptView, bounded

_FEATURES: tuple[tuple[str, str], ...] = (
    ("ask_log_chars", "length of the ask"),
    ("ask_log_words", "number of words in the ask"),
    ("ask_short", "very short ask"),
    ("ask_lines", "lines in the ask"),
    ("ask_sentences", "sentences in the ask"),
    ("ask_questions", "questions asked"),
    ("ask_question_end", "ends with a question"),
    ("ask_commas", "clauses and enumerations in the ask"),
    ("ask_list_items", "list of points in the ask"),
    ("ask_options", "answer options to choose from"),
    ("ask_numbers", "numbers in the ask"),
    ("ask_upper", "capitals in the ask"),
    ("ask_punctuation", "punctuation in the ask"),
    ("ask_quotes", "quoted text in the ask"),
    ("ask_identifiers", "identifiers, paths or code in the ask"),
    ("ask_formula", "formula in the ask"),
    ("ask_word_length", "long words in the ask"),
    ("ask_variety", "varied vocabulary"),
    ("ask_colon_end", "ask ends with a colon"),
    ("pasted", "material is pasted"),
    ("pasted_log_chars", "length of the pasted material"),
    ("pasted_share", "share of pasted material"),
    ("ask_first", "instruction before the material"),
    ("code_block", "code block present"),
    ("diff", "diff present"),
    ("trace", "stack trace or log present"),
    ("table", "table present"),
    ("json", "structured data present"),
    ("markup", "markup present"),
    ("headings", "headings present"),
    ("urls", "addresses present"),
    ("brackets", "density of brackets"),
    ("turns", "turns of the conversation"),
    ("history", "there is a history"),
    ("tool_loop", "inside a tool loop"),
    ("tool_results", "tool results in the request"),
    ("tools", "tools offered"),
    ("images", "image attached"),
    ("schema", "structured answer wanted"),
    ("system", "system text present"),
    ("enveloped", "sent by an agent"),
    ("script_latin", "Latin script"),
    ("script_cyrillic", "Cyrillic script"),
    ("script_cjk", "Chinese, Japanese or Korean script"),
    ("script_arabic", "Arabic or Hebrew script"),
    ("script_indic", "Indic or Thai script"),
    ("non_ascii", "letters beyond ASCII"),
)
STRUCTURE_NAMES: tuple[str, ...] = tuple(name for name, _ in _FEATURES)
_PACKED = Struct(f"{len(STRUCTURE_NAMES)}d").pack
DESCRIPTIONS: dict[str, str] = dict(_FEATURES)
"""What a feature says, in words for a user."""

# A search tries an expression at every character, so each is written to fail where a run of blanks, dots or letters
# begins, not once for every member of it: what leads to a line's first word is `[^\S\n]*` (the blanks of that line), a
# run is entered at its first character alone. What begins a line is looked for behind a line break, which a search
# finds at once, where `^` is tried at every character; the text has one put before it.
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[.!?。！？।؟…](?<![.!?。！？।؟…]{2})[.!?。！？।؟…]*(?=\s|$|[^\x00-\x7f])")
_LIST_ITEM = re.compile(r"\n[^\S\n]*(?:[-*•·]|\d{1,2}[.)、]|[a-zA-Z][.)])\s+\S")
_OPTION = re.compile(r"\n[^\S\n]*\(?[A-Ja-j][.):]\)?\s*\S")
_NUMBER = re.compile(r"\d\d*(?:[.,]\d+)*")  # not \d+ first: a search finds a first character at once, but no repeat
_QUOTE = re.compile(r"[\"“”„«»「」']\S")
_IDENTIFIER = re.compile(r"`[^`]+`|\b\w+[_.]\w+\w*(?:\(\))?|\b[a-z]+[A-Z]\w+|\b\w+\(\)|(?:^|\s)[~./]*/\w+|--\w+")
_FORMULA = re.compile(r"\$[^$]+\$|\\[a-z]{2,}|[∑∫√≤≥≠∈∀∃→π]|\b\w\s*[\^=<>]\s*[\w(-]|\d\s*[*/^+]\s*\d")
_CODE = re.compile(r"\n[^\S\n]*(?:def|class|import|function|const|let|var|public|#include)\b")
_DIFF = re.compile(r"\n(?:diff --git|@@ -\d|\+\+\+ |--- [ab]/)")
_TRACE = re.compile(
    r"Traceback \(most|^[^\S\n]*(?:[^\S\n]|\n)at [\w.$<>]+\(|File \"[^\"]+\", line \d+"
    r"|\b\w+(?:Error|Exception)\b|panic:|^\S*\d{2}:\d{2}:\d{2}",
    re.M,
)
_TABLE = re.compile(r"^[^\S\n]*\|.*\|.*\||^[^,\n]*,[^,\n]*,[^,\n]*,[^\n]*\n[^,\n]*,[^,\n]*,[^,\n]*,", re.M)
_JSON = re.compile(r"[{\[]\s*\"[\w-]+\"\s*[:,]|^[^\S\n]*[\w-]+:\s+\S.*\n\s*[\w-]+:\s+\S", re.M)
_MARKUP = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?>")
_HEADING = re.compile(r"\n#{1,4}\s+\S")
_URL = re.compile(r"https?://\S+")
_BRACKETS = frozenset("{}()[];=<>")
_SCRIPTS: tuple[re.Pattern[str], ...] = (
    re.compile(r"[a-zA-Z\u00c0-\u024f]+"),
    re.compile(r"[\u0400-\u04ff]+"),
    re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"),
    re.compile(r"[\u0590-\u06ff]+"),
    re.compile(r"[\u0900-\u0e7f]+"),
)

# What a form needs to be there at all: a search for one character costs a hundredth of an expression that is not
# going to match. Each is necessary, never sufficient.
_DOT, _LINE = re.compile(r"\.\w"), re.compile(r"_\w")
_CAMEL = re.compile(r"[a-z][A-Z]")
_CLOCK = re.compile(r":\d(?<=\d:\d)")
_IN_FORMULA = frozenset("$\\∑∫√≤≥≠∈∀∃→π^=<>")
_OPERATORS = frozenset("*/+")
_OPERATION = re.compile(r"[*/+]\s*\d")
_QUOTES = frozenset("\"“”„«»「」'")

_UPPER = members(str.isupper)
_NO_MARKS = members(lambda c: c.isalnum() or c.isspace())
_ENDS = table(lambda c: "." if c in ".!?" else " " if c.isspace() else "x")
_ZEROS = table(lambda c: "0" if c.isdigit() else c)
_CASES = table(lambda c: "A" if c.isupper() else "a" if c.islower() else " ")
_ZERO_NUMBER = re.compile(_NUMBER.pattern.replace(r"\d", "0"))


def _marks(text: str) -> str:
    """What single marks are looked for and counted in: ASCII without letters, digits and white space, which leaves a
    few; of another text all of it."""
    return text.encode().translate(None, _NO_MARKS).decode() if text.isascii() else text


def _words(ask: str) -> tuple[int, int, int]:
    """How many words an ask has, how many characters they have together, how many of them differ beyond case."""
    if ask.isascii():
        plain = ask.encode().translate(WORDS_ALONE).split()
        return len(plain), len(b"".join(plain)), len(set(plain))
    words = _WORD.findall(ask)
    return len(words), len("".join(words)), len(set(map(str.lower, words)))


def _count(ask: str, marks: str) -> tuple[int, int]:
    """How many capitals an ask has, and how many characters that are neither alphanumeric nor white space."""
    if ask.isascii():
        return len(ask) - len(ask.encode().translate(None, _UPPER)), len(marks)
    return sum(map(str.isupper, ask)), len(ask) - sum(map(str.isalnum, ask)) - sum(map(str.isspace, ask))


def _sentences(ask: str) -> int:
    if ask.isascii():
        return (ask.encode().translate(_ENDS) + b" ").count(b". ")
    return len(_SENTENCE.findall(ask))


def _numbers(ask: str) -> int:
    if ask.isascii():
        return len(_ZERO_NUMBER.findall(ask.encode().translate(_ZEROS).decode()))
    return len(_NUMBER.findall(ask))


def _has_camel(ask: str) -> bool:
    return b"aA" in ask.encode().translate(_CASES) if ask.isascii() else _CAMEL.search(ask) is not None


def _identifiers(ask: str, marks: str) -> int:
    if not (
        "`" in marks
        or "/" in marks
        or "()" in marks
        or "--" in marks
        or ("." in marks and _DOT.search(ask) is not None)
        or ("_" in marks and _LINE.search(ask) is not None)
        or _has_camel(ask)
    ):
        return 0
    return len(_IDENTIFIER.findall(ask))


def _formulas(ask: str, marks: str) -> int:
    if _IN_FORMULA.isdisjoint(marks) and (_OPERATORS.isdisjoint(marks) or _OPERATION.search(ask) is None):
        return 0
    return len(_FORMULA.findall(ask))


def _has_trace(text: str, marks: str) -> bool:
    if not (
        "Error" in text
        or "Exception" in text
        or ("(" in marks and ("at " in text or "Traceback" in text))
        or ('"' in marks and 'File "' in text)
        or (":" in marks and ("panic:" in text or _CLOCK.search(text) is not None))
    ):
        return False
    return _TRACE.search(text) is not None


def _has_structured(text: str, marks: str) -> bool:
    if not (marks.count(":") > 1 or ('"' in marks and ("{" in marks or "[" in marks))):
        return False
    return _JSON.search(text) is not None


_log = math.log1p


def _ask_part(ask: str, marks: str) -> list[float]:
    n_chars = len(ask)
    n_words, in_words, n_different = _words(ask)
    letters = max(1, in_words)
    stripped = ask.rstrip()
    capitals, n_marks = _count(ask, marks)
    lines = f"\n{ask}"
    return [
        _log(n_chars),
        _log(n_words),
        float(n_chars < 30),
        _log(ask.count("\n")),
        _log(_sentences(ask)),
        _log(marks.count("?") + marks.count("？") + marks.count("؟")),
        float(stripped.endswith(("?", "？", "؟"))),
        _log(marks.count(",") + marks.count("，") + marks.count("、") + marks.count(";")),
        _log(len(_LIST_ITEM.findall(lines))),
        _log(len(_OPTION.findall(lines))),
        _log(_numbers(ask)),
        capitals / letters,
        n_marks / max(1, n_chars),
        _log(0 if _QUOTES.isdisjoint(marks) else len(_QUOTE.findall(ask))),
        _log(_identifiers(ask, marks)),
        _log(_formulas(ask, marks)),
        min(letters / max(1, n_words), 20.0),
        n_different / max(1.0, math.sqrt(n_words)),
        float(stripped.endswith((":", "："))),
    ]


def _material_part(view: PromptView, ask: str, marks: str) -> list[float]:
    pasted = bounded(view.pasted, 900, 400)
    text = f"{ask}\n{pasted}"
    lines = f"\n{text}"
    marks = _marks(text) if pasted else marks
    return [
        float(bool(view.pasted)),
        _log(len(view.pasted)),
        len(view.pasted) / max(1, len(view.pasted) + len(view.ask)),
        float(view.ask_first),
        float("```" in text or _CODE.search(lines) is not None),
        float(_DIFF.search(lines) is not None),
        float(_has_trace(text, marks)),
        float(("|" in marks or marks.count(",") > 5) and bool(_TABLE.search(text))),
        float(_has_structured(text, marks)),
        _log(len(_MARKUP.findall(text)) if "<" in marks else 0),
        _log(len(_HEADING.findall(lines)) if "#" in marks else 0),
        _log(len(_URL.findall(text)) if "://" in marks else 0),
        0.0 if _BRACKETS.isdisjoint(marks) else sum(map(marks.count, _BRACKETS)) / len(text),
    ]


def _request_part(view: PromptView) -> list[float]:
    return [
        _log(view.n_turns - 1 if view.n_turns else 0),
        float(view.has_history),
        float(view.in_tool_loop),
        _log(view.n_tool_results),
        _log(view.n_tools),
        float(view.n_images > 0),
        float(view.has_schema),
        float(bool(view.system)),
        float(view.enveloped),
    ]


def _script_part(ask: str) -> list[float]:
    sample = ask[:400]
    if sample.isascii():
        return [float(_SCRIPTS[0].search(sample) is not None), 0.0, 0.0, 0.0, 0.0, 0.0]
    counts = [len("".join(pattern.findall(sample))) for pattern in _SCRIPTS]
    total = max(1, sum(counts))
    return [*(c / total for c in counts), (len(sample) - len(sample.encode("ascii", "ignore"))) / max(1, len(sample))]


def structure_vector(view: PromptView) -> NDArray[np.float64]:
    """Structure features of a view.

    Args:
        view: The prompt view.

    Returns:
        (len(STRUCTURE_NAMES),) float64, finite, unscaled.
    """
    ask = bounded(view.ask, 1_000, 400)
    marks = _marks(ask)
    values = [*_ask_part(ask, marks), *_material_part(view, ask, marks), *_request_part(view), *_script_part(ask)]
    # numpy would look at each float for its type, at twice the price.
    return np.frombuffer(bytearray(_PACKED(*values)), np.float64)
