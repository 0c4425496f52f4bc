"""The heap of a long-lived process: one arena, and a block of a body's size is mapped, and given back, for itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from service.cli.heap import steady_heap

CHILD = """
import ctypes, sys, threading
from service.cli.heap import steady_heap

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
said = steady_heap() if sys.argv[1] == "steady" else None
bytearray(20_000_000)  # freed at once: left alone, glibc maps only larger blocks than this from here on
before = libc.mallinfo2().hblks
kept = bytearray(300_000)
print(said, libc.mallinfo2().hblks - before, flush=True)
threads = [threading.Thread(target=bytearray, args=(5_000,)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
GLIBC = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", ())
RECENT = GLIBC and tuple(int(n) for n in str(os.confstr("CS_GNU_LIBC_VERSION")).split()[-1].split(".")) >= (2, 33)


def child(program: str, *argv: str, **more: str) -> str:
    """What a process of its own says."""
    command = [sys.executable, "-c", program, *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**CLEAN, **more}).stdout


@pytest.mark.skipif(not RECENT, reason="glibc of 2.33 or later only: others do not tell")
def test_a_large_block_is_mapped_alone_after_a_larger_one_was_freed() -> None:
    """With the settings it is; without them it becomes a hole in the heap."""
    assert child(CHILD, "steady").startswith("True 1")
    assert child(CHILD, "as it is").startswith("None 0")


@pytest.mark.skipif(not RECENT, reason="glibc of 2.33 or later only: others do not tell")
def test_threads_share_one_arena() -> None:
    """Left alone, those that come later have arenas of their own, each with its own holes."""
    assert child(CHILD, "steady").count("<heap nr=") == 1
    assert child(CHILD, "as it is").count("<heap nr=") > 1


@pytest.mark.skipif(not GLIBC, reason="glibc only")
@pytest.mark.parametrize(
    "setting", [{"MALLOC_ARENA_MAX": "4"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}], ids=["old", "new"]
)
def test_settings_of_the_environment_stay(setting: dict[str, str]) -> None:
    """Whoever set an arena count has reasons, by either way."""
    program = "from service.cli.heap import steady_heap; print(steady_heap())"

    assert child(program, **setting).strip() == "False"
    assert child(program).strip() == "True"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl and macOS know none of these."""
    monkeypatch.setattr(os, "confstr", lambda name: "musl 1.2", raising=False)

    assert steady_heap() is False
