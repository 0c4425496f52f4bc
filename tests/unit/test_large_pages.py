"""Large pages: what is in memory moves into them where the system has any, and stays what it was."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from service import large_pages
from service.large_pages import use_large_pages

CHILD = """
from pathlib import Path
from service.large_pages import use_large_pages

def large_kb():
    return int(next(l for l in Path("/proc/self/smaps_rollup").read_text().splitlines() if "AnonHuge" in l).split()[1])

kept = bytes(range(256)) * 65_536  # 16 MB of the heap, each page of it in use
before = large_kb()
made = use_large_pages()
print(made, large_kb() - before, kept == bytes(range(256)) * 65_536)
"""
RELEASE = tuple(int(part) for part in platform.release().split(".")[:2]) if sys.platform == "linux" else (0, 0)


@pytest.mark.skipif(RELEASE < (6, 1), reason="Linux from 6.1 only: nothing happens elsewhere")
@pytest.mark.skipif(not large_pages._wanted(), reason="this system uses no large pages")
def test_what_is_in_memory_moves_into_large_pages() -> None:
    """The kernel counts them; the bytes are the same."""
    said = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout.split()

    made, grown_kb, same = int(said[0]), int(said[1]), said[2]
    assert made >= 7  # of 16 MB that need not begin at a large page
    assert grown_kb >= 14_000
    assert same == "True"


@pytest.mark.parametrize(
    ("size", "enabled"),
    [("2097152", "always madvise [never]"), ("536870912", "always [madvise] never"), ("", ""), (None, None)],
    ids=["never", "512 MB", "empty", "no files"],
)
def test_a_system_without_them_is_left_alone(
    size: str | None, enabled: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told never to, with pages too large, or with none at all."""
    for name, text in (("hpage_pmd_size", size), ("enabled", enabled)):
        if text is not None:
            (tmp_path / name).write_text(text)
    monkeypatch.setattr(large_pages, "_SYSTEM", tmp_path)

    assert use_large_pages() == 0
