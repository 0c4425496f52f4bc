"""Structure features: counts and shapes that mean the same in any language. No keyword list decides anything here."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

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
DESCRIPTIONS: dict[str, str] = dict(_FEATURES)
"""What a feature says, in words for a user."""

# A search tries an expression at every character, so each is written to fail where a run of blanks, dots or letters
# begins, not once for every member of it: what leads to a line's first word is `[^\S\n]*` (the blanks of that line), a
# run is entered at its first character alone.
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[.!?。！？।؟…](?<![.!?。！？।؟…]{2})[.!?。！？।؟…]*(?=\s|$|[^\x00-\x7f])")
_LIST_ITEM = re.compile(r"(?m)^[^\S\n]*(?:[-*•·]|\d{1,2}[.)、]|[a-zA-Z][.)])\s+\S")
_OPTION = re.compile(r"(?m)^[^\S\n]*\(?[A-Ja-j][.):]\)?\s*\S")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_QUOTE = re.compile(r"[\"“”„«»「」']\S")
_IDENTIFIER = re.compile(r"`[^`]+`|\b\w+[_.]\w+\w*(?:\(\))?|\b[a-z]+[A-Z]\w+|\b\w+\(\)|(?:^|\s)[~./]*/\w+|--\w+")
_FORMULA = re.compile(r"\$[^$]+\$|\\[a-z]{2,}|[∑∫√≤≥≠∈∀∃→π]|\b\w\s*[\^=<>]\s*[\w(-]|\d\s*[*/^+]\s*\d")
_CODE = re.compile(r"```|^[^\S\n]*(?:def|class|import|function|const|let|var|public|#include)\b", re.M)
_DIFF = re.compile(r"^(?:diff --git|@@ -\d|\+\+\+ |--- [ab]/)", re.M)
_TRACE = re.compile(
    r"Traceback \(most|^[^\S\n]*(?:[^\S\n]|\n)at [\w.$<>]+\(|File \"[^\"]+\", line \d+"
    r"|\b\w+(?:Error|Exception)\b|panic:|^\S*\d{2}:\d{2}:\d{2}",
    re.M,
)
_TABLE = re.compile(r"^[^\S\n]*\|.*\|.*\||^[^,\n]*,[^,\n]*,[^,\n]*,[^\n]*\n[^,\n]*,[^,\n]*,[^,\n]*,", re.M)
_JSON = re.compile(r"[{\[]\s*\"[\w-]+\"\s*[:,]|^[^\S\n]*[\w-]+:\s+\S.*\n\s*[\w-]+:\s+\S", re.M)
_MARKUP = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?>")
_HEADING = re.compile(r"^#{1,4}\s+\S", re.M)
_URL = re.compile(r"https?://\S+")
_BRACKETS = "{}()[];=<>"
_SCRIPTS: tuple[re.Pattern[str], ...] = (
    re.compile(r"[a-zA-Z\u00c0-\u024f]"),
    re.compile(r"[\u0400-\u04ff]"),
    re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"),
    re.compile(r"[\u0590-\u06ff]"),
    re.compile(r"[\u0900-\u0e7f]"),
)

# What a form needs to be there at all: a search for one character costs a hundredth of an expression that is not
# going to match. Each is necessary, never sufficient.
_DOTTED = re.compile(r"[._]\w")
_CAMEL = re.compile(r"[a-z][A-Z]")
_CLOCK = re.compile(r"\d:\d")
_IN_FORMULA = re.compile(r"[$\\∑∫√≤≥≠∈∀∃→π^=<>*/+]")
_KEYWORDS = ("```", "def", "class", "import", "function", "const", "let", "var", "public", "#include")
_LOWER = bytes(range(ord("a"), ord("z") + 1))
_UPPER = bytes(range(ord("A"), ord("Z") + 1))
_LETTERS = _UPPER + _LOWER
_ALNUM = _LETTERS + bytes(range(ord("0"), ord("9") + 1))
_BLANKS = bytes(c for c in range(128) if chr(c).isspace())


def _count(text: str) -> tuple[int, int]:
    """How many capitals a text has, and how many characters that are neither alphanumeric nor white space."""
    if not text.isascii():
        return sum(map(str.isupper, text)), len(text) - sum(map(str.isalnum, text)) - sum(map(str.isspace, text))
    data = text.encode()
    return len(data) - len(data.translate(None, _UPPER)), len(data.translate(None, _ALNUM + _BLANKS))


def _identifiers(ask: str) -> int:
    if not (
        "`" in ask
        or "/" in ask
        or "()" in ask
        or "--" in ask
        or _DOTTED.search(ask) is not None
        or _CAMEL.search(ask) is not None
    ):
        return 0
    return len(_IDENTIFIER.findall(ask))


def _has_trace(text: str) -> bool:
    if not (
        "Error" in text
        or "Exception" in text
        or "Traceback" in text
        or "panic:" in text
        or 'File "' in text
        or ("at " in text and "(" in text)
        or (":" in text and _CLOCK.search(text) is not None)
    ):
        return False
    return _TRACE.search(text) is not None


def _has_structured(text: str) -> bool:
    if not (text.count(":") > 1 or ('"' in text and ("{" in text or "[" in text))):
        return False
    return _JSON.search(text) is not None


def _at_lines(pattern: re.Pattern[str], text: str) -> int:
    """How many lines begin as ``pattern`` says; of a single line, without looking at every character of it."""
    return len(pattern.findall(text)) if "\n" in text else int(pattern.match(text) is not None)


def _log(count: float) -> float:
    return math.log1p(count)


def _ask_part(ask: str) -> list[float]:
    words = _WORD.findall(ask)
    n_chars, n_words = len(ask), len(words)
    letters = max(1, sum(map(len, words)))
    stripped = ask.rstrip()
    capitals, marks = _count(ask)
    return [
        _log(n_chars),
        _log(n_words),
        float(n_chars < 30),
        _log(ask.count("\n")),
        _log(len(_SENTENCE.findall(ask))),
        _log(ask.count("?") + ask.count("？") + ask.count("؟")),
        float(stripped.endswith(("?", "？", "؟"))),
        _log(ask.count(",") + ask.count("，") + ask.count("、") + ask.count(";")),
        _log(_at_lines(_LIST_ITEM, ask)),
        _log(_at_lines(_OPTION, ask)),
        _log(len(_NUMBER.findall(ask))),
        capitals / letters,
        marks / max(1, n_chars),
        _log(len(_QUOTE.findall(ask))),
        _log(_identifiers(ask)),
        _log(len(_FORMULA.findall(ask)) if _IN_FORMULA.search(ask) else 0),
        min(letters / max(1, n_words), 20.0),
        len(set(map(str.lower, words))) / max(1.0, math.sqrt(n_words)),
        float(stripped.endswith((":", "："))),
    ]


def _material_part(view: PromptView, ask: str) -> list[float]:
    pasted = bounded(view.pasted, 900, 400)
    text = f"{ask}\n{pasted}"
    size = max(1, len(text))
    return [
        float(bool(view.pasted)),
        _log(len(view.pasted)),
        len(view.pasted) / max(1, len(view.pasted) + len(view.ask)),
        float(view.ask_first),
        float(any(word in text for word in _KEYWORDS) and bool(_CODE.search(text))),
        float(("@@" in text or "diff" in text or "+++" in text or "---" in text) and bool(_DIFF.search(text))),
        float(_has_trace(text)),
        float(("|" in text or text.count(",") > 5) and bool(_TABLE.search(text))),
        float(_has_structured(text)),
        _log(len(_MARKUP.findall(text)) if "<" in text else 0),
        _log(len(_HEADING.findall(text)) if "#" in text else 0),
        _log(len(_URL.findall(text)) if "://" in text else 0),
        sum(map(text.count, _BRACKETS)) / size,
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
        letters = len(sample) - len(sample.encode().translate(None, _LETTERS))
        return [float(letters > 0), 0.0, 0.0, 0.0, 0.0, 0.0]
    counts = [len(pattern.findall(sample)) for pattern in _SCRIPTS]
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
    values = [*_ask_part(ask), *_material_part(view, ask), *_request_part(view), *_script_part(ask)]
    return np.array(values, dtype=np.float64)
