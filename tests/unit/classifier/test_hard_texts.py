"""Texts written against the expressions that read a request: the time grows with their length, not with its square."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import product

import pytest

from classifier.paste import is_material, split_ask
from classifier.prompt import PromptView, unwrap, view_of
from classifier.structure import structure_vector
from classifier.turn_shapes import gate_features

GROWN, MOST = 4, 8.0
"""How much longer the second text is, and how much longer it may take: 4 is linear, 16 quadratic, 64 cubic."""

LINES = {
    "blanks": (" ", "x"),
    "no-break spaces": ("\xa0", "x"),
    "a place with colons": (":", "x"),
    "arrows": ("=>", ""),
}
"""What a line repeats, and its end."""
REQUESTS = {
    "asks that nothing closes": ("<task>", "</x>"),
    "envelopes that nothing closes": ("<a_b>", "</x>"),
    "envelopes that another closes": ("<a_b><c-d></c-d>", ""),
    "tags that do not end": ("<a_b ", "></x>"),
    "blanks in an ask": (" ", "</x>"),
}
ASKS = {
    "dots": (".", "x"),
    "line breaks": ("\n", "x"),
    "blank lines and a table": ("\n ", "x|"),
    "a long word and a call": ("1", " f()"),
}
MATERIALS = {
    "a keyword": ("\n", "define"),
    "a place": ("\n", "at ("),
    "keys": ("\n", "a:b:"),
    "a table": ("\n", "|"),
}


def cpu_s(call: Callable[[], object]) -> float:
    """CPU seconds of a call: the least of five tries, of as many calls each as take a millisecond or more."""
    times, least = 1, float("inf")
    tries = 0
    while tries < 5:
        started = time.thread_time()
        for _ in range(times):
            call()
        took = time.thread_time() - started
        if took < 0.001:
            times *= 4
            continue
        least, tries = min(least, took / times), tries + 1
    return least


def growth(read: Callable[[str], object], unit: str, end: str, size: int) -> float:
    """How many times as long a text of `GROWN` times the size takes."""
    short, long = (unit * (length // len(unit)) + end for length in (size, GROWN * size))
    return cpu_s(lambda: read(long)) / cpu_s(lambda: read(short))


@pytest.mark.parametrize(("unit", "end"), LINES.values(), ids=LINES)
def test_a_line_is_read_once(unit: str, end: str) -> None:
    """Whether a line is material takes time by its length."""
    head = "at " if unit == ":" else ""

    assert growth(lambda text: is_material(head + text), unit, end, 58) < MOST


@pytest.mark.parametrize(("unit", "end"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_read_once(unit: str, end: str) -> None:
    """The view of a request takes time by its length, whatever was opened in it and never closed."""
    head = "<task>" if unit == " " else ""

    # Blanks in an ask were cubic: at the size of the others the test would not end.
    assert growth(lambda text: view_of(head + text), unit, end, 100 if head else 4_000) < MOST


@pytest.mark.parametrize(("unit", "end"), ASKS.values(), ids=ASKS)
def test_the_structure_of_an_ask_is_read_once(unit: str, end: str) -> None:
    """Each run of marks, blanks or letters of an ask is entered at its first character."""
    assert growth(lambda text: structure_vector(PromptView(ask=text)), unit, end, 345) < MOST


@pytest.mark.parametrize(("unit", "end"), MATERIALS.values(), ids=MATERIALS)
def test_the_structure_of_pasted_material_is_read_once(unit: str, end: str) -> None:
    """Blank lines before what a line begins with are not read again from each of them."""
    assert growth(lambda text: structure_vector(PromptView(ask="x", pasted=text)), unit, end, 320) < MOST


@pytest.mark.parametrize("unit", ["a", "a1"])
def test_names_in_a_history_are_looked_for_once(unit: str) -> None:
    """A word of thousands of letters is no reason to look for a name from each of them."""

    def gate(text: str) -> object:
        return gate_features(PromptView(ask="f() a.b", answer=text, previous=("x",), has_history=True))

    assert growth(gate, unit, "", 370) < MOST


def test_elements_are_those_of_the_plain_expressions() -> None:
    """Openings without a closing, closings without an opening, and one in another: as expressions for whole elements
    would find them."""
    ask = re.compile(r"<(task|query)>\s*(.*?)\s*</\1>", re.S)
    envelope = re.compile(r"<(a_b|rules)(?:\s[^>]*)?>.*?</\1>", re.S)
    pieces = ("<task>", "</task>", "<query>", "</query>", "<a_b", "<rules x", ">", "</a_b>", "</rules>", " ", "w")

    for text in map("".join, product(pieces, repeat=4)):
        asks = [match[2] for match in ask.finditer(text)]
        if asks:
            assert unwrap(text) == (asks[-1], ask.sub("", text).strip(), True), text
            continue
        rest = envelope.sub("\n", text)
        found = rest != text and re.search(r"[^\W_]", rest) is not None
        assert unwrap(text) == ((rest.strip(), "", True) if found else (text, "", False)), text


@pytest.mark.parametrize(
    "line",
    [
        "    call(x)",
        "\tcall(x)",
        "  \titems[0]",
        "\tat Foo.bar(Foo.java:12)",
        "at ::(x:1",
        "then(x => {",
        "   return value;   ",
        "  2026-01-02 started",
        "it says ERROR here",
        "one;two;three;four",
        "a\tb\tc\td",
        "one;two;three, and so;on",
        "  > quoted",
    ],
)
def test_a_line_of_material_is_known_by_its_shape(line: str) -> None:
    """Indentation with a mark, places, arrows, ends, levels, rows and quotations."""
    assert is_material(line)


@pytest.mark.parametrize(
    "line",
    [
        " " * 300 + "x = 1;",
        "   call it",
        "    four blanks and words",
        "at :: x 1",
        "(this) => that",
        "ERRORS are many",
        "one, two; three, four",
        "one; two; three; four",
        "- a bullet",
    ],
)
def test_a_line_of_prose_is_no_material(line: str) -> None:
    """What lacks the last part of a shape, or has it where nobody looks, is prose."""
    assert not is_material(line)


def test_what_follows_a_diff_is_the_ask() -> None:
    """A diff goes to its last line, with the prose between its lines; what stands behind it is the ask."""
    diff = "diff --git a/x b/x\nprose in between\n+one\n \n-two"

    parts = split_ask(f"{diff}\nwhat is it")

    assert parts.pasted == diff
    assert parts.ask == "what is it"
    assert split_ask(diff).pasted == diff
