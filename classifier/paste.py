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

_FENCE = re.compile(r"(?:^|\n)[ \t]*(```|~~~)[^\n]*\n.*?(?:\n[ \t]*\1[ \t]*(?=\n|$)|$)", re.S)
_CODE_LINE = re.compile(
    r"^\s*(?:[{}\[\]();]+\s*$"
    # A minus and a blank is a bullet of a list, which belongs to the ask; unified diffs are cut out before.
    r"|(?:@@ |\+\+\+ |--- |(?:\+\s*|-)[\w\"'{}<(/#]).*"
    r"|.*[;{}]\s*$"
    r"|\s*(?:at |File \")[^\n]*[:(]\S*\d.*"
    r"|.*=>.*[({].*"
    r"|(?:def|class|import|from|return|func|fn|const|let|var|public|private|SELECT|INSERT|CREATE)\b.*[(:;={*].*"
    r"|[\w.\[\]\"']+\s*(?:=|\+=|:=)\s*\S.*"
    r"|</?\w[^>]*>.*"
    r"|\"[\w-]+\"\s*:\s*.+"
    r"|[\w.-]+:\s*(?:[\d\"'\[{-].*)?$"
    r"|(?:\s{4,}|\t).*[()=:;,\[\]].*)$"
)
_LOG_LINE = re.compile(
    r"^\s*(?:\[?\d{2,4}[-/:.]\d{1,2}[-/:.]\d{1,4}|\d{2}:\d{2}:\d{2}|\w{3} +\d{1,2} \d{2}:\d{2}|(?:E|W|I|D)/"
    r"|\[[\w:.-]+\]|Traceback |[\w.]+(?:Error|Exception)\b|.*\b(?:ERROR|WARN(?:ING)?|INFO|DEBUG|FATAL)\b)"
)
_DIFF_START = re.compile(r"^(?:diff --git |--- (?:a/|/dev/null)|@@ -\d)", re.M)
_DIFF_HEADER = re.compile(r"^(?:diff --git |index [0-9a-f]+|new file|deleted file|similarity|rename |Binary files)")
_QUOTED = re.compile(r"^\s*>")
_TABLE = re.compile(r"^\s*\|.*\||^[^,\t]*([,\t;])[^,\t;]*\1.*\1[^\s]")


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
    """Whether a line looks like code, a diff, a log, a table row or a quotation rather than like a sentence."""
    if not line.strip():
        return False
    short = line[:240]
    return bool(_CODE_LINE.match(short) or _LOG_LINE.match(short) or _QUOTED.match(short) or _TABLE.match(short))


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
        match = _FENCE.search(text)
        first_fence = match.start() if match else -1
        fenced = [m.group(0).strip() for m in _FENCE.finditer(text)]
        text = _FENCE.sub("\n\n", text)
    ask_parts: list[str] = []
    material: list[str] = []
    text, diff, text_before_diff = _cut_diff(text)
    ask_first = not (first_fence >= 0 and not text[:first_fence].strip())
    seen_ask = False
    for block in re.split(r"\n\s*\n", text):
        lines = block.split("\n")
        flags = [is_material(line) for line in lines] if len(lines) > 1 else [False]  # one line is no material, below
        # A single odd line in a paragraph of prose is prose; a block is material where most of its lines are.
        if sum(flags) >= 2 and sum(flags) * 2 > sum(1 for line in lines if line.strip()):
            lead = _leading_prose(lines, flags)
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


def _cut_diff(text: str) -> tuple[str, str, str]:
    """Take a unified diff out of a text: from its first header to the last line that belongs to it."""
    start = _DIFF_START.search(text)
    if not start:
        return text, "", ""
    lines = text[start.start() :].split("\n")
    end = 1
    for number, line in enumerate(lines):
        if (line[:1] in ("+", "-", " ", "@", "\\") and line.strip()) or _DIFF_HEADER.match(line):
            end = number + 1
    return f"{text[: start.start()]}\n\n" + "\n".join(lines[end:]), "\n".join(lines[:end]), text[: start.start()]


def _leading_prose(lines: list[str], flags: list[bool]) -> int:
    """How many lines at the top of a material block are an instruction (at most two)."""
    lead = 0
    while lead < min(2, len(lines)) and not flags[lead] and " " in lines[lead].strip():
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
