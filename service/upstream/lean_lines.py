"""A body that arrives in pieces, line by line: what both protocols of the lean way share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

import orjson

from service.upstream.interface import Chunk, UpstreamFailure
from service.upstream.lean_failures import garbage
from service.upstream.think_tags import ThinkTags

RUN_BYTES = 16 * 1024
"""Looked at together: a run of text chunks ends here at the latest, so that hosts that mix them cost no more."""

AFTER_END_S = 0.05
"""How long the end of the body may follow the protocol's end, so that the connection can be used again."""

_LINE_END = 0x0A

LONGEST_LINE = 4 * 1024 * 1024
"""Bytes. A line without an end must not fill the memory."""


class LineReader(ABC):
    """Turns pieces of a body into chunks; one piece of the network is one batch.

    Args:
        tags: Takes thinking out of the text, where the host may leave it there.

    Attributes:
        done: The protocol's own end was seen.
        failure: What is wrong with the body, to be raised once the chunks before it are delivered.
        received: Anything but white space came.
    """

    __slots__ = ("_named", "_rest", "_tags", "done", "failure", "received")

    def __init__(self, tags: ThinkTags | None = None) -> None:
        self.done = False
        self.failure: UpstreamFailure | None = None
        self.received = False
        self._rest = b""
        self._named = False
        self._tags = tags

    @property
    def complete(self) -> bool:
        """Whether the answer is whole if nothing more comes."""
        return self.done

    def feed(self, data: bytes) -> list[Chunk]:
        """Takes a piece in and gives the chunks that it completes."""
        if self._rest:
            data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        chunks: list[Chunk] = []
        try:
            self._lines(data, end, chunks)
            if len(self._rest) > LONGEST_LINE:
                raise garbage(f"a line of more than {LONGEST_LINE >> 20} MB")
        except UpstreamFailure as failure:
            self.failure = failure
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # JSON of another shape than the protocol's
            self.failure = garbage(f"JSON of another shape ({type(error).__name__}: {error})")
        if self._tags is not None:
            self._tags.part(chunks, ended=self.done)
            if self._tags.over:
                self._tags = None
        return chunks

    def end(self) -> list[Chunk]:
        """The body has ended; a last line without a line end counts."""
        rest, self._rest = self._rest, b""
        return self.feed(rest + b"\n\n") if rest else []

    def _lines(self, data: bytes, end: int, chunks: list[Chunk]) -> None:
        """Reads whole lines, up to ``end``; raises as `_line`."""
        at = 0
        while at < end:
            if data[at] == _LINE_END:  # between two events: no run begins here
                after = at + 1
                self._line(b"", chunks)
            elif (after := self._run(data, at, end, chunks)) == at:
                after = data.index(b"\n", at) + 1
                self._line(data[at : after - 1], chunks)
            at = after

    def _run(self, data: bytes, at: int, end: int, chunks: list[Chunk]) -> int:
        """Reads text chunks that look like those before, all at once; returns where it has come to."""
        return at

    @abstractmethod
    def _line(self, line: bytes, chunks: list[Chunk]) -> None:
        """Reads one line, without its end; a carriage return may still be there.

        Raises:
            UpstreamFailure: The line is no part of the protocol, or an error of the host.
        """


def parsed(line: bytes) -> Any:
    """The JSON value of a line.

    Raises:
        ValueError: It is none. Numbers such as ``NaN`` and single broken characters, which some hosts send, are borne.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(line.decode(errors="replace"))
    except RecursionError:
        raise ValueError("nested too deep") from None
