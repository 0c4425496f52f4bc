"""Memory that stays, in pages of 2 MB: a request touches some thousand places of it, and each needs its page's address.

With pages of 4 KB the processor finds few of these addresses in its own table and walks through memory for the others,
twice in a virtual machine. With large pages a request takes less CPU, for about a megabyte that is resident. Linux
only, from 6.1 (madvise(2), ``MADV_COLLAPSE``); elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MADV_COLLAPSE: Final = 25
_LARGE: Final = 2 * 1024 * 1024
"""Bytes. Where the system's large pages are larger (Arm with base pages of 64 KB: 512 MB), too much would be filled."""

_SYSTEM: Final = Path("/sys/kernel/mm/transparent_hugepage")
_MAPS: Final = Path("/proc/self/maps")


def use_large_pages() -> int:
    """Moves what the process has in memory now into large pages; takes some tenths of a second.

    Returns:
        How many there are then; 0 where the system has none, or is told never to use any.
    """
    if sys.platform != "linux" or not _wanted():
        return 0
    library = ctypes.CDLL(None)  # ctypes gives the interpreter's lock back around each call
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        return sum(library.madvise(start, _LARGE, _MADV_COLLAPSE) == 0 for start in _own())
    except OSError:  # no /proc
        return 0


def _wanted() -> bool:
    try:
        size = int((_SYSTEM / "hpage_pmd_size").read_text())
        return size == _LARGE and "[never]" not in (_SYSTEM / "enabled").read_text()
    except (OSError, ValueError):
        return False


def _own() -> Iterator[int]:
    """Addresses of whole large pages within writable memory that belongs to no file."""
    for line in _MAPS.read_text().splitlines():
        addresses, rights, _, _, _, *name = line.split(maxsplit=5)
        if rights.startswith("rw-p") and (not name or name[0] == "[heap]"):
            start, end = (int(address, 16) for address in addresses.split("-"))
            yield from range(-(-start // _LARGE) * _LARGE, end // _LARGE * _LARGE, _LARGE)
