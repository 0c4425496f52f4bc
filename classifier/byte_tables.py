"""Tables for `bytes.translate`: ASCII, which is most of what is read, without expressions.

An expression takes hundreds of instructions a character, a table four.
"""

from __future__ import annotations

from collections.abc import Callable

_ASCII = bytes(range(128))


def table(of: Callable[[str], str]) -> bytes:
    """What each ASCII character becomes."""
    return bytes.maketrans(_ASCII, "".join(map(of, map(chr, _ASCII))).encode())


def members(of: Callable[[str], bool]) -> bytes:
    """The ASCII characters of a kind, to be left out."""
    return bytes(code for code in _ASCII if of(chr(code)))


WORDS_ALONE = table(lambda c: c.lower() if c.isalnum() or c == "_" else " ")
"""Lower case, and blanks for what belongs to no word."""
