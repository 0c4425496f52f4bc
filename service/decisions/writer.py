"""The one thread that builds records and writes them in batches, and goes on when the store does not."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from pathlib import Path

from service.decisions.backlog import Backlog, Making
from service.decisions.rows import Batch, DecisionRow, decision_row
from service.decisions.store import DecisionStore
from service.decisions.tally import Tally, dead_runs
from service.errors import StoreError, StoreProblem

log = logging.getLogger("autotier.store")

BATCH = 500
BUILT_AT_ONCE = 4
"""Records, of about 0.1 ms each, between two chances for the event loop."""
BUILD_EVERY_S = 0.03
"""Until its record is built a request holds memory that the next one could use while the processor has it at hand."""

FIRST_REST_S = 0.5
LONGEST_REST_S = 15.0


class Writer:
    """Writes a backlog to a store.

    Args:
        store: Where to.
        backlog: What of.
        flush_s: Longest time that a record waits for its batch while the store works.

    Attributes:
        run_id: Of this process, in the store's table of runs.
        written: Decisions written.
        failed_flushes: Batches that the store refused.
        lost_before: Decisions that earlier, killed processes lost, found at this start.
        problem: What keeps the store from writing now, or None.
    """

    def __init__(self, store: DecisionStore, backlog: Backlog, flush_s: float) -> None:
        self._store = store
        self._backlog = backlog
        self._flush_s = flush_s
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._waiting: list[threading.Event] = []
        self.run_id = uuid.uuid4().hex
        self._tally: Tally | None = None
        self._noting = threading.Lock()
        self._rest_s = 0.0
        self._again_at = 0.0
        self._overflow_said = False
        self.written = 0
        self.failed_flushes = 0
        self.lost_before = 0
        self.problem: StoreProblem | None = None
        self._thread = threading.Thread(target=self._run, name="autotier-records", daemon=True)

    def start(self) -> None:
        """Counts what killed processes lost, then starts the thread."""
        self._begin()
        self._thread.start()

    def wake(self) -> None:
        """Says that something was added. Microseconds: the thread is woken for the first of a batch only."""
        if not self._wake.is_set():
            self._wake.set()

    def note(self) -> None:
        """Keeps how many decisions were accepted and dropped for the process that finds this one killed."""
        with self._noting:  # event loop and thread: the later numbers must be the ones that stay
            if self._tally is not None:
                self._tally.note(self._backlog.accepted, self._backlog.dropped)

    def built(self, limit_s: float) -> None:
        """Returns when everything that was added before is built, or after ``limit_s``. Never from the event loop."""
        done = threading.Event()
        self._waiting.append(done)
        self._hurry.set()
        self._wake.set()
        done.wait(limit_s)

    def close(self, limit_s: float) -> bool:
        """Writes what waits and ends the thread.

        Returns:
            Whether everything was written.
        """
        self._stop.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(limit_s)
        clean = not self._thread.is_alive() and self._backlog.empty
        if not clean:
            log.error("%s: %d decisions were not written at the end", self._where, self._backlog.pending)
        if self._thread.is_alive():
            return False  # the store hangs in it; the process's end frees the tally
        self._end(clean)
        return clean

    @property
    def _where(self) -> str:
        return self._store.location.shown

    def _run(self) -> None:
        due: float | None = None
        while True:
            if due is None:
                self._wake.wait()
                due = time.monotonic() + self._flush_s
            is_hurried = self._hurry.wait(max(0.0, min(BUILD_EVERY_S, due - time.monotonic())))
            self._hurry.clear()
            self._wake.clear()  # before the backlog is looked at: what is added from here on wakes again
            if not is_hurried and time.monotonic() < due:
                self._build()
                self._wake.wait(max(0.0, due - time.monotonic()))
                continue
            stopping = self._stop.is_set()
            due = self._flush(stopping)
            self.note()
            if stopping:
                return

    def _flush(self, stopping: bool) -> float | None:
        """Builds, then writes unless the store has to rest; returns when to come again."""
        waiting, self._waiting = self._waiting, []
        self._build()
        for done in waiting:
            done.set()
        if self._rest_s and time.monotonic() < self._again_at and not stopping:
            # The store rests, the queue does not: built records are bounded by size, callables hold whole requests.
            return min(self._again_at, time.monotonic() + self._flush_s)
        while True:
            batch = self._backlog.batch(BATCH)
            if not (batch.decisions or batch.holds):
                return None  # what was queued meanwhile has woken the thread again
            if not self._write(batch):
                return time.monotonic() + min(self._rest_s, self._flush_s)

    def _build(self) -> None:
        rows: list[DecisionRow] = []
        for number, making in enumerate(self._backlog.take()):
            row = self._built(making)
            if row is not None:
                rows.append(row)
            if number % BUILT_AT_ONCE == 0:
                # Else the event loop, which a batch has woken meanwhile, waits for the interpreter's lock.
                time.sleep(0)
        self._backlog.put_built(rows)
        if self._backlog.overflowed and not self._overflow_said:
            log.error("%s: records are dropped: more wait than may be kept in memory", self._where)
            self._overflow_said = True

    def _built(self, making: Making) -> DecisionRow | None:
        try:
            return decision_row(making() if callable(making) else making)
        except Exception as error:  # noqa: BLE001  # a background task's boundary: one bad record must not end the thread
            self._backlog.count_dropped(1)
            # Type and place only: the message may quote a prompt.
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
            log.error("a decision record could not be made: %s at %s", type(error).__name__, place)
            return None

    def _write(self, batch: Batch) -> bool:
        try:
            self._store.write(batch, run_id=self.run_id)
        except StoreError as error:
            if error.problem is StoreProblem.INVALID_ROW and len(batch.decisions) + len(batch.holds) > 1:
                return all(self._write(single) for single in _singles(batch))
            self.failed_flushes += 1
            if error.problem is StoreProblem.INVALID_ROW:
                log.error("a record was left out: %s", error)
                self._backlog.give_up(batch)
                return True
            self._failed(error)
            return False
        self.written += len(batch.decisions)
        self._backlog.settle(batch)
        self._recovered()
        return True

    def _failed(self, error: StoreError) -> None:
        self._rest_s = min(LONGEST_REST_S, 2 * self._rest_s or FIRST_REST_S)
        self._again_at = time.monotonic() + self._rest_s
        if self.problem is not error.problem:
            log.error("decisions are not written, requests go on: %s", error)
        self.problem = error.problem

    def _recovered(self) -> None:
        if self.problem is not None:
            log.warning("%s: decisions are written again; %d were dropped so far", self._where, self._backlog.dropped)
        self.problem = None
        self._rest_s = 0.0
        self._overflow_said = self._backlog.overflowed = False

    def _begin(self) -> None:
        path = self._store.location.path
        if path is None:
            return
        try:
            for dead in dead_runs(path):
                self.lost_before += self._store.end_run(dead.run_id, accepted=dead.accepted, dropped=dead.dropped)
            self._store.begin_run(self.run_id)
            self._tally = Tally.open(path, self.run_id)
        except (OSError, StoreError) as error:
            log.error("%s: what a crash loses will not be counted: %s", self._where, error)
        if self.lost_before:
            log.error("%s: a process that did not close lost %d decisions", self._where, self.lost_before)

    def _end(self, clean: bool) -> None:
        self.note()
        if clean and self._tally is not None:
            try:
                accepted, dropped = self._backlog.accepted, self._backlog.dropped
                self._store.end_run(self.run_id, accepted=accepted, dropped=dropped)
            except StoreError:
                clean = False  # the next process settles it from the file
        with self._noting:
            tally, self._tally = self._tally, None
        if tally is not None:
            tally.close(clean=clean)


def _singles(batch: Batch) -> list[Batch]:
    return [Batch([row], []) for row in batch.decisions] + [Batch([], [hold]) for hold in batch.holds]
