"""A challenger in the shadow: it classifies live traffic behind the answers, and decides nothing.

One thread, a bounded queue: what does not fit is dropped and counted, so that a slow challenger costs comparisons and
no request. It runs in this process alone, so nothing leaves the house for it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from classifier import Classifier, PromptView, Tier
from service.decisions.shadowing import Disagreement, Pair, day_of, put_shadows
from service.decisions.store import DecisionStore
from service.errors import StoreError
from service.routing.decision import RouteDecision

log = logging.getLogger("autotier.learning")

MOST_WAITING = 256
"""Requests that wait for the challenger; a view holds up to some 20 KB of text."""

MOST_KEPT = 5_000
"""Disagreements that wait for a store that fails."""

WRITE_EVERY_S = 1.0
CLOSE_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Asked:
    decision_id: str
    created_s: float
    view: PromptView
    matrix: str
    champion: str
    tier: Tier
    probability: float


class Shadow:
    """Asks a challenger what it would have decided. Starts its thread with ``start``.

    Args:
        challenger: The other classifier.
        matrices: Cost matrices of the running chain by name; what is missing is the artifact's own.
        store: Where disagreements and counts go.

    Attributes:
        challenger: As given.
        compared: Requests that both judged.
        disagreed: Those on which they did not agree.
        dropped: Requests for which there was no room in the queue.
        failed: Requests that the challenger failed on.
        failed_writes: Times that the store did not take what was found.
    """

    def __init__(
        self, challenger: Classifier, matrices: Mapping[str, Sequence[Sequence[float]]], store: DecisionStore
    ) -> None:
        self.challenger = challenger
        self._matrices = matrices
        self._store = store
        self._waiting: queue.Queue[_Asked | None] = queue.Queue(MOST_WAITING)
        self._found: list[Disagreement] = []
        self._counts: Counter[Pair] = Counter()
        self._thread = threading.Thread(target=self._run, name="autotier-shadow", daemon=True)
        self._stop = threading.Event()
        self.compared = 0
        self.disagreed = 0
        self.dropped = 0
        self.failed = 0
        self.failed_writes = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def offer(self, decision_id: str, created_s: float, decision: RouteDecision, matrix: str) -> None:
        """Queues a decided request; takes microseconds, never waits, never raises.

        Args:
            decision_id: Its id.
            created_s: Unix seconds.
            decision: What was decided; one without a classification, or without a signal, is passed over.
            matrix: Name of the cost matrix that it was decided under.
        """
        spoken, view = decision.classification, decision.view
        if spoken is None or view is None or not spoken.signal:
            return
        spoken = spoken.before or spoken  # the challenger had no judge either
        asked = _Asked(decision_id, created_s, view, matrix, spoken.artifact, spoken.tier, spoken.confidence)
        try:
            self._waiting.put_nowait(asked)
        except queue.Full:
            self.dropped += 1

    def snapshot(self) -> dict[str, float]:
        """Numbers for the metrics."""
        return {
            "compared_total": float(self.compared),
            "disagreed_total": float(self.disagreed),
            "dropped_total": float(self.dropped),
            "failed_total": float(self.failed),
            "store_failures_total": float(self.failed_writes),
            "waiting": float(self._waiting.qsize()),
        }

    def close(self) -> None:
        """Writes what was found and ends the thread; what still waits is dropped. It blocks."""
        self._stop.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            pass  # the thread has enough to wake it
        if self._thread.is_alive():
            self._thread.join(CLOSE_LIMIT_S)

    def _run(self) -> None:
        write_at = time.monotonic() + WRITE_EVERY_S
        while not self._stop.is_set():
            try:
                asked = self._waiting.get(timeout=max(0.0, write_at - time.monotonic()) if self._counts else None)
            except queue.Empty:
                asked = None
            if asked is not None:
                self._compare(asked)
            if self._counts and time.monotonic() >= write_at:
                self._write()
                write_at = time.monotonic() + WRITE_EVERY_S
        self.dropped += self._waiting.qsize()
        self._write()

    def _compare(self, asked: _Asked) -> None:
        try:
            said = self.challenger.classify_view(asked.view, matrix=self._matrices.get(asked.matrix, asked.matrix))
        except Exception as error:  # noqa: BLE001  # a background task's boundary: a challenger's defect is its own
            self.failed += 1
            # Its words may quote a prompt.
            log.error("the challenger failed on %s: %s", asked.decision_id, type(error).__name__)
            return
        self.compared += 1
        self._counts[day_of(asked.created_s), said.artifact, asked.champion, str(asked.tier), str(said.tier)] += 1
        if said.tier is asked.tier:
            return
        self.disagreed += 1
        self._found.append(
            Disagreement(
                asked.decision_id,
                said.artifact,
                asked.champion,
                asked.created_s,
                str(asked.tier),
                str(said.tier),
                asked.probability,
                said.confidence,
            )
        )

    def _write(self) -> None:
        if not self._counts:
            return
        try:
            self._store.change(partial(put_shadows, found=self._found, counts=self._counts))
        except StoreError as error:
            self.failed_writes += 1
            log.error("what the challenger said is not written, it is tried again: %s", error)
            del self._found[:-MOST_KEPT]
            return
        self._found, self._counts = [], Counter()
