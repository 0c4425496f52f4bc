"""``kill -9``: what was promised is there, what was not is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from service.decisions.recorder import Recorder
from service.decisions.store import DecisionStore

PROCESS = Path(__file__).with_name("recording_process.py")
ROOT = Path(__file__).resolve().parents[3]


def kill_a_recording_process(path: Path) -> None:
    """Starts a process that records, and kills it while decisions wait in it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(PROCESS), f"sqlite:///{path}"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert said == "ready\n"
    assert process.returncode == -signal.SIGKILL


def test_a_killed_process_keeps_its_promises_and_its_losses_are_counted(sqlite_path: Path) -> None:
    """The store opens, flushed decisions and feedback with its decision are there, and the rest is counted, once."""
    kill_a_recording_process(sqlite_path)

    store = DecisionStore.open(f"sqlite:///{sqlite_path}")
    first = Recorder(store)
    lost = first.snapshot()["lost_before"]
    first.close()
    second = Recorder(store)
    lost_again = second.snapshot()["lost_before"]
    second.close()

    stored = [row["id"] for row in store.export()]
    feedback = store.feedback_of(f"dec_{25:032x}")
    summed = store.lost()
    store.close()
    assert stored == [f"dec_{number:032x}" for number in range(26)]
    assert [one.solved for one in feedback] == [False]
    assert (lost, lost_again, summed) == (14, 0, 14)
    assert [one.name for one in sqlite_path.parent.iterdir()] == [sqlite_path.name]


def test_a_process_that_lives_is_not_counted_as_killed(sqlite_path: Path) -> None:
    """Two processes on one file: the one that starts later does not take the other's numbers for a dead one's."""
    store = DecisionStore.open(f"sqlite:///{sqlite_path}")
    living = Recorder(store, flush_ms=3_600_000)

    other = Recorder(store)
    seen = other.snapshot()["lost_before"]
    other.close()
    tallies = list(sqlite_path.parent.glob("*-run-*"))

    living.close()
    store.close()
    assert seen == 0
    assert len(tallies) == 1
