"""How many decisions a killed process took with it.

Each process that records keeps a small locked file beside the SQLite store with two numbers: decisions that it
accepted and those that it gave up loudly. The store counts what was written, in the transaction that writes it. When
the process ends without closing, the kernel drops the lock, and the next one reads the file: accepted - given up -
written were lost. What a killed process wrote there is in the page cache, so they survive ``kill -9`` (not a power
cut, after which the number may be low).
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_NUMBERS = struct.Struct("<QQ")
_INFIX = "-run-"


@dataclass(frozen=True, slots=True)
class DeadRun:
    """What a run that did not close left behind.

    Attributes:
        run_id: Its id.
        accepted: Decisions that it was given.
        dropped: Those of them that it gave up.
        path: Its file.
    """

    run_id: str
    accepted: int
    dropped: int
    path: Path


class Tally:
    """The numbers of a running process. Make one with ``open``.

    Args:
        descriptor: Of the locked file.
        path: The file.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        # Written for every decision, from the event loop: an assignment to memory, where a write would be a call into
        # the kernel. The file has its one page already, so that a full disk cannot take it away.
        self._numbers = mmap.mmap(descriptor, _NUMBERS.size)

    @classmethod
    def open(cls, store: Path, run_id: str) -> Tally | None:
        """Starts a tally beside ``store``; None where the platform cannot lock files.

        Raises:
            OSError: The file cannot be made.
        """
        if sys.platform == "win32":
            return None
        path = store.with_name(f"{store.name}{_INFIX}{run_id}")
        # Locked before it has the name that others look for: else a process that starts now takes it for a dead one's.
        hidden = path.with_name(f".{path.name}")
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(descriptor, _NUMBERS.pack(0, 0), 0)
            os.rename(hidden, path)
            return cls(descriptor, path)
        except (OSError, ValueError) as error:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise error if isinstance(error, OSError) else OSError(str(error)) from error

    def note(self, accepted: int, dropped: int) -> None:
        """Writes the numbers. Takes less than a microsecond."""
        _NUMBERS.pack_into(self._numbers, 0, accepted, dropped)

    def close(self, *, clean: bool) -> None:
        """Ends the tally. An unclean end leaves the file for the next process to read."""
        self._numbers.close()
        if clean:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def dead_runs(store: Path) -> Iterator[DeadRun]:
    """Runs beside ``store`` whose process is gone; each file stays locked while the caller looks, then goes."""
    if sys.platform == "win32":
        return
    for path in sorted(store.parent.glob(f"{_escaped(store.name)}{_INFIX}*")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # another process has just settled it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                data = os.pread(descriptor, _NUMBERS.size, 0)
                accepted, dropped = _NUMBERS.unpack(data) if len(data) == _NUMBERS.size else (0, 0)
                yield DeadRun(path.name.rpartition(_INFIX)[2], accepted, dropped, path)
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue  # its process lives
        finally:
            os.close(descriptor)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
