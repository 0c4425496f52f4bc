"""What waits for the store: bounded, seen by readers while it waits. Every method takes microseconds."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from service.decisions.records import ConversationRecord, DecisionRecord
from service.decisions.rows import Batch, DecisionRow

Making = DecisionRecord | Callable[[], DecisionRecord]


class Backlog:
    """Decisions that are not built yet, built ones, and holds.

    A built decision and a hold stay readable until the batch that holds them is written.

    Args:
        most: Decisions of either kind, and holds, that wait at once.
        most_bytes: Bytes of JSON in built decisions.

    Attributes:
        overflowed: Something was dropped for want of room; the writer sets it back.
        accepted: Decisions that were given to it, dropped ones too.
        dropped: Decisions that were given up.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._queue: deque[Making] = deque()
        self._building = 0  # taken and not built yet: neither in the queue nor among the built, but not gone either
        self._built: OrderedDict[str, DecisionRow] = OrderedDict()
        self._holds: OrderedDict[str, ConversationRecord] = OrderedDict()
        self._bytes = 0
        self.overflowed = False
        self.accepted = 0
        self.dropped = 0
        self.dropped_holds = 0

    def add(self, making: Making) -> bool:
        """Queues a decision; False if there is no room and it was dropped."""
        with self._lock:
            self.accepted += 1
            if len(self._queue) >= self._most:
                self.dropped += 1
                self.overflowed = True
                return False
            self._queue.append(making)
            return True

    def take(self) -> list[Making]:
        """Empties the queue of decisions that are not built yet; they count as queued until ``put_built``."""
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
            self._building = len(taken)
            return taken

    def put_built(self, rows: Iterable[DecisionRow]) -> int:
        """Adds built decisions, all that were taken and could be; the oldest give way where there is no room.

        Returns:
            How many were dropped.
        """
        dropped = 0
        with self._lock:
            self._building = 0
            for row in rows:
                self._forget(row.record.id)
                self._built[row.record.id] = row
                self._bytes += row.size
            while self._built and (len(self._built) > self._most or self._bytes > self._most_bytes):
                self._forget(next(iter(self._built)))
                dropped += 1
            self.dropped += dropped
            self.overflowed = self.overflowed or dropped > 0
        return dropped

    def put_hold(self, hold: ConversationRecord) -> None:
        """Adds a hold; a later one of the same key replaces an earlier one."""
        with self._lock:
            self._holds[hold.key] = hold
            self._holds.move_to_end(hold.key)
            if len(self._holds) > self._most:
                self._holds.popitem(last=False)
                self.dropped_holds += 1

    def batch(self, most: int) -> Batch:
        """The oldest of what is built, at most ``most`` decisions and as many holds; nothing is taken out."""
        with self._lock:
            rows = [row for _, row in zip(range(most), self._built.values(), strict=False)]
            holds = [hold for _, hold in zip(range(most), self._holds.values(), strict=False)]
        return Batch(rows, holds)

    def settle(self, batch: Batch) -> None:
        """Takes out what was written. A hold that changed meanwhile stays."""
        with self._lock:
            for row in batch.decisions:
                if self._built.get(row.record.id) is row:
                    self._forget(row.record.id)
            for hold in batch.holds:
                if self._holds.get(hold.key) is hold:
                    del self._holds[hold.key]

    def give_up(self, batch: Batch) -> None:
        """Takes out what cannot be written at all, and counts it as dropped."""
        with self._lock:
            self.dropped += len(batch.decisions)
            self.dropped_holds += len(batch.holds)
        self.settle(batch)

    def count_dropped(self, number: int) -> None:
        """Counts decisions that could not be built."""
        with self._lock:
            self.dropped += number

    def find(self, decision_id: str) -> DecisionRow | None:
        """A built decision that waits, or None."""
        with self._lock:
            return self._built.get(decision_id)

    def hold(self, key: str) -> ConversationRecord | None:
        """A hold that waits, or None."""
        with self._lock:
            return self._holds.get(key)

    @property
    def queued(self) -> int:
        """Decisions that are not built yet, those that are being built included."""
        with self._lock:
            return len(self._queue) + self._building

    @property
    def pending(self) -> int:
        """Decisions that wait."""
        return self.queued + len(self._built)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not (self.queued or self._built or self._holds)

    def _forget(self, decision_id: str) -> None:
        row = self._built.pop(decision_id, None)
        if row is not None:
            self._bytes -= row.size
