"""The bounded queue in front of the chain: so many requests at work, so many waiting in order, the rest refused."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from service.config.model import Server
from service.errors import TooManyRequests

LONGEST_RETRY_AFTER_S = 60.0
FIRST_GUESS_S = 1.0
WEIGHT = 0.1
"""Of the newest request in the running mean of how long one is at work."""


class Slots:
    """The places of the service. One event loop.

    Args:
        server: ``most_running`` and ``queue`` of it.
        clock: Seconds, monotonic.
    """

    def __init__(self, server: Server, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean_s = FIRST_GUESS_S
        self._refused = 0

    @property
    def is_free(self) -> bool:
        """Whether a request would be at work at once."""
        return self._running < self._server.most_running

    def resize(self, server: Server) -> None:
        """Takes the numbers of a new configuration; who is at work or waits stays."""
        self._server = server
        self._hand_over()

    async def take(self) -> Slot:
        """A place, after a wait in order if none is free.

        Raises:
            TooManyRequests: The queue is full, or the wait was too long.
        """
        if self.is_free and not self._waiting:
            self._running += 1
            return Slot(self, self._clock())
        if len(self._waiting) >= self._server.queue.most:
            raise self._refusal(f"{self._running} requests are at work and {len(self._waiting)} wait")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait((turn,), timeout=self._server.queue.wait_s)
        except asyncio.CancelledError:
            self._give_up(turn)
            raise
        if not turn.done():
            self._give_up(turn)
            waited = f"this request waited {self._server.queue.wait_s:g} s"
            raise self._refusal(f"{self._running} requests are at work, {waited}")
        return Slot(self, self._clock())

    def snapshot(self) -> dict[str, float]:
        """``running`` and ``waiting`` now; ``refused_total`` grows."""
        return {"running": self._running, "waiting": len(self._waiting), "refused_total": self._refused}

    def returned(self, taken_s: float) -> None:
        """A place is free again, taken at ``taken_s`` of the clock. `Slot.release` calls it."""
        self._running -= 1
        self._mean_s += WEIGHT * (self._clock() - taken_s - self._mean_s)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self.is_free:
            self._running += 1
            self._waiting.popleft().set_result(None)

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done():  # its turn came in the same moment
            self._running -= 1
            self._hand_over()
        else:
            self._waiting.remove(turn)

    def _refusal(self, why: str) -> TooManyRequests:
        self._refused += 1
        wait_s = self._mean_s * (len(self._waiting) + 1) / self._server.most_running
        return TooManyRequests(
            f"the service is full: {why}; try again later",
            limit="queue",
            retry_after_s=min(max(wait_s, 1.0), LONGEST_RETRY_AFTER_S),
        )


class Slot:
    """One place at work; given back once."""

    __slots__ = ("_slots", "_taken_s")

    def __init__(self, slots: Slots, taken_s: float) -> None:
        self._slots: Slots | None = slots
        self._taken_s = taken_s

    def release(self) -> None:
        """Gives it back; a second call does nothing."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.returned(self._taken_s)
