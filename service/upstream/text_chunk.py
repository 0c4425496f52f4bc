"""Chunks of nothing but text, which nearly all chunks of an answer are, in a form that costs next to nothing.

All of an answer's text chunks look the same but for their text. What stays is worked out once (`TextForm`); from then
on a chunk is its text, read between two known runs of bytes and written between two others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile
from operator import itemgetter
from typing import Any

import orjson

from service.upstream.interface import Chunk

_KEY = b'"content":'
_DELTA = b'"delta":'
_STRING = re.compile(rb'\s*("(?:[^"\\]|\\.)*")')
_MARK = "\x00text\x00"
_MARK_JSON = orjson.dumps(_MARK)
_MARK_BYTES = 4
_IN_DELTA = {"content", "role"}
_IN_CHOICE = {"index", "delta"}
_ONLY_TEXT = {str}


class TextForm:
    """What the text chunks of one answer share.

    Attributes:
        choice: Their one choice, with another text.
        fingerprint: Their ``system_fingerprint``.
        head: The choice as JSON up to the text.
        tail: And behind it.
    """

    __slots__ = ("choice", "fingerprint", "head", "tail")

    def __init__(self, choice: dict[str, Any], fingerprint: str | None) -> None:
        self.choice = choice
        self.fingerprint = fingerprint
        shown = orjson.dumps({**choice, "delta": {**choice["delta"], "content": _MARK}})
        self.head, _, self.tail = shown.partition(_MARK_JSON)

    @classmethod
    def of(cls, chunk: Chunk) -> TextForm | None:
        """The form of a chunk, or None where there is more in it than text."""
        if len(chunk.choices) != 1 or chunk.usage is not None or chunk.served_model or chunk.continued_by:
            return None
        choice = chunk.choices[0]
        delta = choice["delta"]
        if choice["index"] != 0 or not delta.get("content"):
            return None
        if not (_given(delta) <= _IN_DELTA and _given(choice) <= _IN_CHOICE):
            return None
        return cls(choice, chunk.system_fingerprint)

    @classmethod
    def after(cls, chunk: Chunk) -> TextForm | None:
        """The form of text chunks that are as the answer's first one, which has its role, but for the text.

        None where it has something that they would have too.
        """
        if len(chunk.choices) != 1 or chunk.usage is not None:
            return None
        choice = chunk.choices[0]
        if choice["index"] != 0 or choice["delta"].get("role") is None or not _given(choice) <= _IN_CHOICE:
            return None
        return cls({**choice, "delta": {"content": ""}}, chunk.system_fingerprint)


def _given(fields: dict[str, Any]) -> set[str]:
    return {name for name, value in fields.items() if value is not None}


class TextChunk(Chunk):
    """A chunk of nothing but text, or several that came at once. It is a `Chunk` like any other for whoever looks at
    its choices.

    Attributes:
        text: Its text; None once somebody has looked at the choices and may have changed them.
        form: What it shares with others.
        parts: Where several came at once: the text of each as JSON, as the host wrote it. None: there is one.
    """

    __slots__ = ("_made", "form", "parts", "text")

    def __init__(self, text: str, form: TextForm, parts: list[bytes] | None = None) -> None:
        self.text: str | None = text
        self.form = form
        self.parts = parts
        self.usage = None
        self.served_model = None
        self.system_fingerprint = form.fingerprint
        self.continued_by = None

    @property
    def choices(self) -> list[dict[str, Any]]:  # type: ignore[override]  # made when somebody looks
        """See `Chunk`."""
        if self.text is not None:
            choice = self.form.choice
            self._made = [{**choice, "delta": {**choice["delta"], "content": self.text}}]
            self.text = None
        return self._made

    def __eq__(self, other: object) -> bool:
        """As `Chunk`'s."""
        if not isinstance(other, Chunk):
            return NotImplemented
        names = ("choices", "usage", "served_model", "system_fingerprint", "continued_by")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # as `Chunk`'s


class Around:
    """The bytes around the text in an event of a host.

    Attributes:
        before: From the beginning of the line.
    """

    __slots__ = ("_between", "_head", "_mark", "_tail", "_text", "before")

    def __init__(self, before: bytes, after: bytes) -> None:
        self.before = before
        end = after + b"\n\n"
        self._between = end + before
        # Events are told apart by their last bytes alone: CPython prepares a search for so long a needle as stands
        # between two texts anew for each of them, at more than it takes to read the event.
        self._mark, self._tail = end[-_MARK_BYTES:], end[:-_MARK_BYTES]
        self._head = slice(len(before))
        self._text: Callable[[bytes], bytes] = itemgetter(slice(len(before), -len(self._tail)))

    @classmethod
    def of(cls, line: bytes, text: str) -> Around | None:
        """What stands around ``text``, or None where that is not certain.

        A quotation mark inside a string has a backslash before it, so `_KEY` is found as a key only.
        """
        before, key, rest = line.partition(_KEY)
        if not key or _KEY in rest:
            return None
        found = _STRING.match(rest)
        if found is None or orjson.loads(found[1]) != text:
            return None
        start, end = found.span(1)
        return cls(before + key + rest[:start], rest[end:])

    @classmethod
    def instead(cls, line: bytes, delta: dict[str, Any]) -> Around | None:
        """What stands around a text where the event is ``line`` with nothing but a text for its ``delta``.

        None where it is not certain what is ``delta`` in it.
        """
        before, key, rest = line.partition(_DELTA)
        shown, end, after = rest.partition(b"}")
        if not key or _DELTA in rest:
            return None
        try:
            if orjson.loads(shown + end) != delta:
                return None
        except orjson.JSONDecodeError:
            return None
        return cls(before + key + b"{" + _KEY, end + after)

    def texts(self, data: bytes) -> list[bytes]:
        """The texts, as JSON, of the whole events that ``data`` begins with, up to the first of another kind.

        Args:
            data: Begins with `before`.
        """
        events = data.split(self._mark)[:-1]
        while events and not self._surrounds(events[-1]):  # the end of the answer
            del events[-1]
        texts = [*map(self._text, events)]
        if data.startswith(self._between.join(texts), len(self.before)):  # as a rule nothing else is in between
            return texts
        return [*map(self._text, takewhile(self._surrounds, events))]

    def size(self, texts: list[bytes]) -> int:
        """Bytes of the events with ``texts``."""
        return sum(map(len, texts)) + len(texts) * len(self._between)

    def _surrounds(self, event: bytes) -> bool:
        """Whether an event, without its last bytes, is one of text."""
        return event[self._head] == self.before and event.endswith(self._tail)


def run_of(parts: list[bytes], form: TextForm) -> TextChunk | None:
    """Several texts, each as JSON, in one chunk; None where one of them is no text, or empty.

    A part that is no JSON value by itself breaks the list or its length: no two of them can make up for each other.
    """
    try:
        texts = orjson.loads(b"[%s]" % b",".join(parts))
    except orjson.JSONDecodeError:
        return None
    if len(texts) != len(parts) or set(map(type, texts)) != _ONLY_TEXT or not all(texts):
        return None
    return TextChunk("".join(texts), form, parts)
