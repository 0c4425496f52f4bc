"""glibc's heap in a process that runs for weeks: what requests give back goes back to the system.

Left alone, glibc gives every thread that meets another one in ``malloc`` an arena of its own, and raises the size from
which blocks are mapped one by one whenever a large one is freed; holes are then kept that nothing fits into. In the
soak of ``tests.bench`` memory in use stayed the same while the process grew; with these settings it grows half as
much.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_SETTINGS: Final = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: 128 * 1024, _M_TRIM_THRESHOLD: 128 * 1024}
"""Parameters of ``mallopt(3)``: one arena (Python's own lock lets one thread through at a time anyway), and glibc's own
starting values for the other two, which it no longer moves once they are set."""


def steady_heap() -> bool:
    """Sets glibc's heap for a long life, before threads have arenas; whoever set ``MALLOC_*`` knows better.

    Returns:
        Whether it was set: not on another C library.
    """
    name = "CS_GNU_LIBC_VERSION"
    if name not in getattr(os, "confstr_names", ()) or not str(os.confstr(name)).startswith("glibc"):
        return False
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(name, value) == 1 for name, value in _SETTINGS.items())
