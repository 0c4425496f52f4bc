"""The heap of a long-lived process: a block of a body's size is mapped, and given back, for itself."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from service.api.heap import steady_heap

CHILD = """
import ctypes, sys
from service.api.heap import steady_heap

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
said = steady_heap() if sys.argv[1] == "steady" else None
bytearray(20_000_000)  # freed at once: left alone, glibc maps only larger blocks than this from here on
before = libc.mallinfo2().hblks
kept = bytearray(300_000)
print(said, libc.mallinfo2().hblks - before)
"""
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}


def child(way: str, **more: str) -> str:
    """What a process of its own says."""
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, way], capture_output=True, text=True, check=True, env={**CLEAN, **more}
    )
    return ran.stdout.strip()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc of 2.33 or later only")
@pytest.mark.parametrize(("way", "said"), [("steady", "True 1"), ("as it is", "None 0")])
def test_a_large_block_is_mapped_alone_after_a_larger_one_was_freed(way: str, said: str) -> None:
    """With the settings it is; without them it becomes a hole in the heap."""
    assert child(way) == said


def test_settings_of_the_environment_stay() -> None:
    """Whoever set an arena count has reasons."""
    assert child("steady", MALLOC_ARENA_MAX="4").startswith("False")


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl and macOS know none of these."""
    monkeypatch.setattr(os, "confstr", lambda name: "musl 1.2")

    assert steady_heap() is False
