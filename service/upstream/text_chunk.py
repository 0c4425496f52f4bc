"""Chunks of nothing but text, which nearly all chunks of an answer are, in a form that costs next to nothing.

All of an answer's text chunks look the same but for their text. What stays is worked out once (`TextForm`); from then
on a chunk is its text, read between two known runs of bytes and written between two others.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from service.upstream.interface import Chunk

_KEY = b'"content":'
_STRING = re.compile(rb'\s*("(?:[^"\\]|\\.)*")')
_MARK = "\x00text\x00"


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
        self.head, _, self.tail = shown.partition(orjson.dumps(_MARK))

    @classmethod
    def of(cls, chunk: Chunk) -> TextForm | None:
        """The form of a chunk, or None where there is more in it than text."""
        if len(chunk.choices) != 1 or chunk.usage is not None or chunk.served_model or chunk.continued_by:
            return None
        choice = chunk.choices[0]
        if choice["index"] != 0:
            return None
        delta = choice["delta"]
        known = all(name == "role" or value is None for name, value in delta.items() if name != "content")
        others = all(value is None for name, value in choice.items() if name not in ("index", "delta"))
        if not (delta.get("content") and known and others):
            return None
        return cls(choice, chunk.system_fingerprint)


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
        after: Up to its end.
        end: After the text to the end of the event, an empty line.
        between: Between the texts of two events.
    """

    __slots__ = ("after", "before", "between", "end")

    def __init__(self, before: bytes, after: bytes) -> None:
        self.before = before
        self.after = after
        self.end = after + b"\n\n"
        self.between = self.end + before

    @classmethod
    def of(cls, line: bytes, text: str) -> Around | None:
        """What stands around ``text``, or None where that is not certain.

        A quotation mark inside a string has a backslash before it, so `_KEY` is found as a key only.
        """
        if line.count(_KEY) != 1:
            return None
        found = _STRING.match(line, line.index(_KEY) + len(_KEY))
        if found is None or orjson.loads(found.group(1)) != text:
            return None
        start, end = found.span(1)
        return cls(line[:start], line[end:])


def run_of(parts: list[bytes], form: TextForm) -> TextChunk | None:
    """Several texts, each as JSON, in one chunk; None where one of them is no text, or empty.

    A part that is no JSON value by itself breaks the list or its length: no two of them can make up for each other.
    """
    try:
        texts = orjson.loads(b"[%s]" % b",".join(parts))
    except orjson.JSONDecodeError:
        return None
    if len(texts) != len(parts) or not all(type(text) is str and text for text in texts):
        return None
    return TextChunk("".join(texts), form, parts)
