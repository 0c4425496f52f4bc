"""What a run was made on, and what /proc says of processes and cores."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench-results"
BUSY_LIMIT = 0.8
"""A generator or host core that is busier makes a run invalid: its queue is measured, not the service."""
FOREIGN_LIMIT = 0.15
"""Share of a core that other programs may take before a row is marked as disturbed."""
PRIORITY = -10
"""Nice value of a run, where it is allowed: strangers on the machine then hardly wait in front of it."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the service has to itself, and which one the generator and the hosts share; None: not pinned."""

    service: int | None
    other: int | None

    @property
    def pinned(self) -> bool:
        """Whether the run can be valid at all."""
        return self.service is not None


def cores() -> Cores:
    """Two cores of this process's, where the platform can pin (Linux)."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    mine = sorted(os.sched_getaffinity(0))
    return Cores(mine[-1], mine[0]) if len(mine) > 1 else Cores(None, None)


def pin(core: int | None) -> None:
    """Keeps this process, and what it starts from now on, on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextmanager
def preferred() -> Iterator[bool]:
    """Gives this process and all that it starts inside a higher priority; says whether it may.

    Where Linux schedules sessions as groups (sched(7), "The autogroup feature"), a nice value counts inside the
    session only, so the session's own is set too.
    """
    try:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except OSError:
        yield False
        return
    group = Path("/proc/self/autogroup")
    try:
        _set_group(group, PRIORITY)
        yield True
    finally:
        _set_group(group, 0)
        os.setpriority(os.PRIO_PROCESS, 0, before)


def _set_group(file: Path, nice: int) -> None:
    try:
        file.write_text(str(nice))
    except OSError:
        pass  # no groups here: the nice value alone counts


def verdict(*, own_busy: float, foreign: float, preferred: bool) -> str:
    """What a row is worth: ``valid``, ``disturbed`` or ``invalid``.

    Args:
        own_busy: Share of the generator's core that the generator and the hosts took themselves.
        foreign: Larger share of the two cores that other programs took.
        preferred: Whether the run goes before others; else they count as if they were its own.
    """
    if own_busy + (0.0 if preferred else foreign) > BUSY_LIMIT:
        return "invalid"
    return "disturbed" if foreign > FOREIGN_LIMIT else "valid"


@contextmanager
def started_on(core: int | None) -> Iterator[None]:
    """What is started inside inherits ``core``; this process goes back to where it was."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it that are there now."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """CPU seconds of a process tree so far.

    From ``/proc/PID/task/*/schedstat`` (nanoseconds; https://docs.kernel.org/scheduler/sched-stats.html) where it is
    kept, else from the ticks of psutil. Threads that have ended are missing from the first.
    """
    total = 0.0
    for process in tree(pid):
        try:
            files = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
            if files:
                total += sum(int(file.read_text().split()[0]) for file in files) / 1e9
            else:
                times = process.cpu_times()
                total += times.user + times.system
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue  # a child or thread that ended between the listing and the reading
    return total


def rss_mb(pid: int) -> float:
    """Resident memory of a process tree in MB (1e6 bytes)."""
    total = 0
    for process in tree(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


@dataclass(frozen=True, slots=True)
class CoreTime:
    """Busy and whole seconds of one core since boot."""

    busy_s: float
    whole_s: float

    def busy_since(self, before: CoreTime) -> float:
        """Share of the time since ``before`` in which the core worked, 0 to 1."""
        whole = self.whole_s - before.whole_s
        return (self.busy_s - before.busy_s) / whole if whole > 0 else 0.0


def core_time(core: int | None) -> CoreTime:
    """The clock of one core; zeros where the run is not pinned."""
    if core is None:
        return CoreTime(0.0, 0.0)
    times = psutil.cpu_times(percpu=True)[core]
    whole = sum(times[:8])  # guest times are inside user
    return CoreTime(whole - times.idle - getattr(times, "iowait", 0.0), whole)


def facts() -> dict[str, Any]:
    """Machine, commit, command, load: what stands beside each number."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changed = subprocess.run(["git", "status", "--porcelain", "service", "classifier"], cwd=ROOT, capture_output=True)
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": (commit.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else ""),
        "command": "python -m tests.bench " + " ".join(sys.argv[1:]),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def _cpu_name() -> str:
    """The processor's name with its model number, where /proc says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    name = found.get("model name", platform.machine())
    return f"{name} (family {found.get('cpu family')}, model {found.get('model')})"
