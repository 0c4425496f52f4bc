"""Tell an instruction from the material that came with it.

Works on shape alone (fences, indentation, punctuation density, line patterns), so it does not depend on the
language of the ask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PROSE_LIMIT = 1_500
"""Prose up to this many characters is taken as ask as a whole; longer prose is ask only at its edges."""

EDGE = 700
"""Characters of the first and of the last paragraph that count as ask in longer prose."""

LINE = 240
"""Characters of a line that are looked at."""

# Every expression here is linear in what it is tried on, also in a text that was written against it: one that starts
# anew behind each blank, colon or bracket of a line holds the interpreter for a second (`tests/bench/classifier.py`).
_FENCE = re.compile(r"(?:^|\n)[ \t]*(```|~~~)[^\n]*\n.*?(?:\n[ \t]*\1[ \t]*(?=\n|$)|$)", re.S)
_BLANK_LINES = re.compile(r"\n\s*\n")
# How a line of material goes on from its first character that is no blank: code, then a log, a quotation, a table.
_BEGINNING = re.compile(
    r"[{}\[\]();]+\s*$"
    # A minus and a blank is a bullet of a list, which belongs to the ask; unified diffs are cut out before.
    r"|@@ |\+\+\+ |--- |(?:\+\s*|-)[\w\"'{}<(/#]"
    r"|(?:at |File \").*?[:(][^\s\d:(]*\d"
    r"|(?:def|class|import|from|return|func|fn|const|let|var|public|private|SELECT|INSERT|CREATE)\b[^(:;={*]*[(:;={*]"
    r"|[\w.\[\]\"']+\s*(?:=|\+=|:=)\s*\S"
    r"|</?\w[^>]*>"
    r"|\"[\w-]+\"\s*:."
    r"|[\w.-]+:\s*(?:[\d\"'\[{-].*)?$"
    r"|\[?\d{2,4}[-/:.]\d{1,2}[-/:.]\d{1,4}|\d{2}:\d{2}:\d{2}|\w{3} +\d{1,2} \d{2}:\d{2}|(?:E|W|I|D)/"
    r"|\[[\w:.-]+\]|Traceback |[\w.]+(?:Error|Exception)\b"
    r"|>|\|.*\|"
)
_CODE_ENDS = (";", "{", "}")
_MARK = re.compile(r"[()=:;,\[\]]")
_LEVEL = re.compile(r"\b(?:ERROR|WARN(?:ING)?|INFO|DEBUG|FATAL)\b")
# Three of one separator and something behind the last; the second form begins with semicolons, before any other.
_ROW = re.compile(r"[^,\t]*([,\t])[^,\t;]*\1.*\1\S|[^,\t;]*;[^,\t;]*;.*;\S")
_DIFF_START = re.compile(r"^(?:diff --git |--- (?:a/|/dev/null)|@@ -\d)", re.M)
_DIFF_LINE = re.compile(
    r"^(?:[-+@\\]| [^\S\n]*\S|diff --git |index [0-9a-f]|new file|deleted file|similarity|rename |Binary files)", re.M
)


@dataclass(frozen=True, slots=True)
class Split:
    """An ask and what was pasted with it.

    Attributes:
        ask: The instruction; "" if the whole text is material.
        pasted: The material; "" if there is none.
        ask_first: The instruction begins before the material.
    """

    ask: str
    pasted: str
    ask_first: bool


def is_material(line: str) -> bool:
    """Whether a line looks like code, a diff, a log, a table row or a quotation rather than like a sentence.

    Args:
        line: Without a line break. Its first `LINE` characters are looked at, in time that grows with their number.
    """
    short = line[:LINE]
    rest = short.lstrip()
    if not rest:
        return False
    return (
        _BEGINNING.match(rest) is not None
        or rest.rstrip().endswith(_CODE_ENDS)
        or (len(rest) < len(short) and _is_indented_code(short[: -len(rest)], rest))
        or ("=>" in rest and _opens_behind_arrow(rest))
        or _names_level(rest)
        or _is_row(short)
    )


def _is_indented_code(indent: str, rest: str) -> bool:
    return (len(indent) >= 4 or "\t" in indent) and _MARK.search(rest) is not None


def _opens_behind_arrow(rest: str) -> bool:
    behind = rest.partition("=>")[2]
    return "(" in behind or "{" in behind


def _names_level(rest: str) -> bool:
    """Whether a logger's level is in a line; asked for the words first, which costs a tenth."""
    if not ("ERROR" in rest or "WARN" in rest or "INFO" in rest or "DEBUG" in rest or "FATAL" in rest):
        return False
    return _LEVEL.search(rest) is not None


def _is_row(short: str) -> bool:
    if not (short.count(",") > 2 or short.count("\t") > 2 or short.count(";") > 2):
        return False
    return _ROW.match(short) is not None


def split_ask(text: str) -> Split:
    """Separate the ask in a user message from pasted material.

    Args:
        text: One user message, already bounded (cost grows with its length).

    Returns:
        The split. Of long prose only the edges are ask: people put the instruction before or after what they paste.
    """
    fenced: list[str] = []
    first_fence = -1
    if "```" in text or "~~~" in text:
        first_fence, fenced, text = _cut_fences(text)
    ask_parts: list[str] = []
    material: list[str] = []
    text, diff, text_before_diff = _cut_diff(text)
    ask_first = not (first_fence >= 0 and not text[:first_fence].strip())
    seen_ask = False
    for block in _BLANK_LINES.split(text):
        lines = block.split("\n")
        if _are_material(lines):
            lead = _leading_prose(lines)
            if lead:
                ask_parts.append("\n".join(lines[:lead]))
                seen_ask = True
            ask_first = ask_first and seen_ask
            material.append("\n".join(lines[lead:]))
        elif block.strip():
            ask_parts.append(block.strip())
            seen_ask = True
    prose = "\n\n".join(ask_parts)
    if len(prose) > PROSE_LIMIT:
        prose, middle, ask_first_prose = _edges(ask_parts)
        material.insert(0, middle)
        ask_first = ask_first and ask_first_prose
    if diff:
        fenced.append(diff)
        ask_first = ask_first and bool(text_before_diff.strip())
    return Split(prose.strip(), "\n\n".join(p for p in (*fenced, *material) if p.strip()), ask_first)


def _cut_fences(text: str) -> tuple[int, list[str], str]:
    """Take fenced blocks out of a text: where the first begins (-1: none), the blocks, the text without them."""
    found = list(_FENCE.finditer(text))
    if not found:
        return -1, [], text
    ends = [0, *(match.end() for match in found)]
    starts = [*(match.start() for match in found), len(text)]
    rest = "\n\n".join(text[end:start] for end, start in zip(ends, starts, strict=True))
    return starts[0], [match.group().strip() for match in found], rest


def _cut_diff(text: str) -> tuple[str, str, str]:
    """Take a unified diff out of a text: from its first header to the last line that belongs to it."""
    begins = "diff --git " in text or "--- " in text or "@@ -" in text  # a hundredth of the expression's price
    start = _DIFF_START.search(text) if begins else None
    if not start:
        return text, "", ""
    before = text[: start.start()]
    end = max(match.end() for match in _DIFF_LINE.finditer(text, start.start()))
    diff, _, behind = text[end:].partition("\n")
    return f"{before}\n\n{behind}", text[start.start() : end] + diff, before


def _are_material(lines: list[str]) -> bool:
    """Whether most lines of a block are material, and two at least: a single odd line in a paragraph is prose.

    Stops where the rest of the lines can change nothing.
    """
    if len(lines) < 2:
        return False
    words = sum(map(bool, map(str.strip, lines)))
    enough = max(2, words // 2 + 1)
    too_many = words - enough + 1
    material = prose = 0
    for line in lines:
        if is_material(line):
            material += 1
            if material == enough:
                return True
        elif line.strip():
            prose += 1
            if prose == too_many:
                return False
    return False


def _leading_prose(lines: list[str]) -> int:
    """How many lines at the top of a material block are an instruction (at most two)."""
    lead = 0
    while lead < min(2, len(lines)) and " " in lines[lead].strip() and not is_material(lines[lead]):
        lead += 1
    return lead


def _edges(blocks: list[str]) -> tuple[str, str, bool]:
    """Ask, material and ask-first of long prose: a short first or last paragraph is the instruction, else head
    and tail."""
    if len(blocks) == 1:
        only = blocks[0]
        return f"{only[:EDGE]}\n{only[-EDGE:]}", only[EDGE:-EDGE], True
    first, last = blocks[0], blocks[-1]
    short_first, short_last = len(first) <= EDGE, len(last) <= EDGE
    ask = "\n\n".join((first[:EDGE], last[-EDGE:]))
    middle = "\n\n".join((first[EDGE:], *blocks[1:-1], last[:-EDGE] if len(last) > EDGE else ""))
    return ask, middle, short_first or not short_last
