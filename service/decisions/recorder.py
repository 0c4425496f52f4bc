"""Records behind the answer: the event loop's side of the store. Nothing here waits on a disk in the loop.

What only advises (records, holds) degrades loudly: one log line per change of state and the counters of ``snapshot``.
What a caller was promised (feedback) raises.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from classifier import Tier
from service.decisions.backlog import Backlog
from service.decisions.records import ConversationRecord, DecisionRecord, FeedbackRecord, HoldRecord
from service.decisions.rows import DecisionRow
from service.decisions.store import DecisionStore
from service.decisions.writer import Writer
from service.errors import StoreError, StoreUnavailable

log = logging.getLogger("autotier.store")

MOST_WAITING = 4096
MOST_WAITING_BYTES = 64 * 1024 * 1024
MOST_HOLDS = 16_384
HOLD_LIMIT_S = 0.25
READ_LIMIT_S = 6.0
BUILD_LIMIT_S = 1.0
CLOSE_LIMIT_S = 12.0
REST_AFTER_SLOW_S = 5.0

V = TypeVar("V")
T = TypeVar("T")


class Recorder:
    """Keeps decisions, holds and feedback in a store. Starts its thread at once; end it with ``close``.

    Args:
        store: An open store; closing it is its owner's, after ``close``.
        flush_ms: Longest time that a record waits for its batch.
        clock: Unix seconds.
    """

    def __init__(self, store: DecisionStore, flush_ms: int = 500, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._backlog = Backlog(MOST_WAITING, MOST_WAITING_BYTES)
        self._writer = Writer(store, self._backlog, flush_ms / 1000)
        self._seen: _Recent[HoldRecord] = _Recent(MOST_HOLDS)
        self._solved: _Recent[bool] = _Recent(MOST_HOLDS)
        self._reads = ThreadPoolExecutor(2, thread_name_prefix="autotier-store")
        self._durable = ThreadPoolExecutor(1, thread_name_prefix="autotier-feedback")
        self._reads_rest_until = 0.0
        self._failed_reads = 0
        self._reads_fail = False
        self._writer.start()

    def record(self, record: DecisionRecord | Callable[[], DecisionRecord]) -> None:
        """Keeps a decision behind the answer.

        Args:
            record: The decision, or what makes it; that is called once, in the writer's thread.
        """
        self._backlog.add(record)
        self._writer.note()
        self._writer.wake()

    def keep(self, key: str, caller: str, tier: str, decision_id: str) -> None:
        """Stores a conversation's hold behind the answer; later ones replace earlier ones.

        Raises:
            ValueError: ``tier`` is none.
        """
        held = HoldRecord(Tier(tier), decision_id)
        self._backlog.put_hold(ConversationRecord(key, caller, str(held.tier), decision_id, self._clock()))
        self._seen.put(key, held)
        self._writer.wake()

    async def hold(self, key: str) -> HoldRecord | None:
        """The hold of a conversation, or None; also None, loudly, where the store does not answer in a moment."""
        waiting = self._backlog.hold(key)
        if waiting is not None:
            return self._judged(HoldRecord(Tier(waiting.tier), waiting.decision_id))
        # Another replica may have gone on with the conversation, so memory answers for a store of our own only.
        seen = None if self._store.shared else self._seen.get(key)
        if seen is not None:
            return self._judged(seen)
        if time.monotonic() < self._reads_rest_until:
            self._failed_reads += 1
            return None
        try:
            found = await self._limited(partial(self._store.hold, key), HOLD_LIMIT_S)
        except StoreError as error:
            self._read_failed(str(error))
            return None
        except TimeoutError:
            self._reads_rest_until = time.monotonic() + REST_AFTER_SLOW_S
            self._read_failed(f"{self._store.location.shown} did not answer in {HOLD_LIMIT_S} s")
            return None
        self._read_worked()
        if found is not None:
            self._seen.put(key, found)
        return found

    async def get(self, decision_id: str) -> DecisionRecord | None:
        """A decision, also one that still waits for its batch; None if there is none.

        Raises:
            StoreUnavailable: The store cannot be read.
        """
        return await self._promised(self._reads, partial(self._find, decision_id))

    async def feedback_of(self, decision_id: str) -> list[FeedbackRecord]:
        """What holds now about a decision: one record per caller and source.

        Raises:
            StoreUnavailable: The store cannot be read.
        """
        return await self._promised(self._reads, partial(self._store.feedback_of, decision_id))

    async def report(self, query: Callable[[DecisionStore], T], limit_s: float) -> T:
        """What a query over much of the log says; in a thread of its own, so that short reads do not wait for it.

        Raises:
            StoreUnavailable: The store cannot be read, or not in time.
        """
        threads = ThreadPoolExecutor(1, thread_name_prefix="autotier-report")
        try:
            return await self._promised(threads, partial(query, self._store), limit_s)
        finally:
            threads.shutdown(wait=False)

    async def feedback(self, record: FeedbackRecord) -> None:
        """Keeps a statement; on disk when this returns, together with its decision. The same again changes nothing.

        Raises:
            StoreUnavailable: It is not kept, or nobody knows.
        """
        await self._promised(self._durable, partial(self._add_feedback, record))
        if record.solved is not None and record.source == "caller":
            self._solved.put(record.decision_id, record.solved)

    def snapshot(self) -> dict[str, float]:
        """Numbers for metrics.

        ``written``, ``dropped``, ``dropped_holds``, ``failed_flushes``, ``failed_reads`` grow; ``pending`` and
        ``working`` (1, or 0 while the store refuses batches) are as of now; ``lost_before`` is what killed processes
        lost, as found at this start.
        """
        return {
            "written": self._writer.written,
            "pending": self._backlog.pending,
            "dropped": self._backlog.dropped,
            "dropped_holds": self._backlog.dropped_holds,
            "failed_flushes": self._writer.failed_flushes,
            "failed_reads": self._failed_reads,
            "lost_before": self._writer.lost_before,
            "working": float(self._writer.problem is None),
        }

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> None:
        """Writes what waits. Blocks: call it off the loop. What cannot be written in ``limit_s`` is logged and lost."""
        self._writer.close(limit_s)
        self._durable.shutdown(wait=False, cancel_futures=True)
        self._reads.shutdown(wait=False, cancel_futures=True)

    def _find(self, decision_id: str) -> DecisionRecord | None:
        for queued in (self._backlog.queued, 0):
            row = self._backlog.find(decision_id)
            found = row.record if row is not None else self._store.get(decision_id)
            if found is not None or not queued:
                return found
            self._writer.built(BUILD_LIMIT_S)
        return None

    def _add_feedback(self, record: FeedbackRecord) -> bool:
        if self._backlog.queued:
            self._writer.built(BUILD_LIMIT_S)
        row: DecisionRow | None = self._backlog.find(record.decision_id)
        return self._store.add_feedback(record, row, run_id=self._writer.run_id)

    def _judged(self, held: HoldRecord) -> HoldRecord:
        solved = self._solved.get(held.decision_id)
        return held if solved is None else replace(held, rejected=not solved)

    async def _limited(self, work: Callable[[], T], limit_s: float) -> T:
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._reads, work), limit_s)

    async def _promised(self, threads: ThreadPoolExecutor, work: Callable[[], T], limit_s: float = READ_LIMIT_S) -> T:
        try:
            asked = asyncio.get_running_loop().run_in_executor(threads, work)
            # What fails after the limit has been answered for; asyncio must not complain that nobody asked.
            asked.add_done_callback(lambda done: done.cancelled() or done.exception())
            return await asyncio.wait_for(asyncio.shield(asked), limit_s)
        except StoreError as error:
            log.error("%s", error)
            raise StoreUnavailable(
                f"the store of decisions does not work now ({error.problem})", retry_after_s=REST_AFTER_SLOW_S
            ) from error
        except TimeoutError as error:
            log.error("%s did not answer in %s s", self._store.location.shown, limit_s)
            raise StoreUnavailable(
                "the store of decisions does not answer now", retry_after_s=REST_AFTER_SLOW_S
            ) from error

    def _read_failed(self, words: str) -> None:
        self._failed_reads += 1
        if not self._reads_fail:
            log.error("conversations are not looked up, their tiers are computed again: %s", words)
        self._reads_fail = True

    def _read_worked(self) -> None:
        if self._reads_fail:
            log.warning("%s: conversations are looked up again", self._store.location.shown)
        self._reads_fail = False


class _Recent(Generic[V]):
    """The last used entries of a mapping. Event loop only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: str, value: V) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
