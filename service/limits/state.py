"""Where used amounts and running requests of callers are kept: this process, or a store that replicas share.

A minute is a *sliding window counter*: the last whole minute counts with the part of it that the window still covers,
so two numbers per caller do, and no burst of twice the limit fits around a full minute. A day is the UTC day. (The
library ``limits`` was weighed: it takes no correction after the fact, neither a refund nor a debt, and tokens and spend
are corrected after each answer.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

MINUTE_S = 60
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Window:
    """A span over which amounts are added up.

    Attributes:
        name: Its part of a stored key: ``requests``, ``tokens``, ``spend``.
        seconds: Its length.
        sliding: True: the last ``seconds``; False: since the last whole multiple of ``seconds`` (a day is the UTC day).
    """

    name: str
    seconds: int
    sliding: bool = True


REQUESTS = Window("requests", MINUTE_S)
TOKENS = Window("tokens", MINUTE_S)
SPEND = Window("spend", DAY_S, sliding=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """An amount that shall fit into a window beside what is used already."""

    window: Window
    most: float
    amount: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a claim stands.

    Attributes:
        used: Amount in the window now, the claim's own included if it was taken.
        wait_s: Seconds until the claim fits: 0.0 now, None never (it is larger than the whole limit).
        reset_s: Seconds until nothing of what is used counts any more.
    """

    used: float
    wait_s: float | None
    reset_s: float


class LimitState(Protocol):
    """Used amounts and running requests by caller. A shared store does each call in one atomic step."""

    async def take(self, caller: str, claims: Sequence[Claim]) -> tuple[Standing, ...]:
        """Adds all claims if all of them fit, else none.

        Returns:
            One standing per claim; all were taken if every ``wait_s`` is 0.
        """
        ...

    async def add(self, caller: str, window: Window, amount: float) -> None:
        """Corrects what is used, up or down; may go beyond a limit."""
        ...

    async def enter(self, caller: str, ticket: str, most: int) -> bool:
        """Counts a running request in, unless ``most`` are running. A shared store forgets tickets of dead replicas."""
        ...

    async def leave(self, caller: str, ticket: str) -> None:
        """Counts it out; an unknown ticket is fine."""
        ...


class ProcessState:
    """Amounts and running requests in this process's memory.

    Args:
        clock: Unix seconds; wall time, because a day is a UTC day.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._running: dict[str, set[str]] = {}

    async def take(self, caller: str, claims: Sequence[Claim]) -> tuple[Standing, ...]:
        """See `LimitState`."""
        now = self._clock()
        counters = [self._counter(caller, claim.window, now) for claim in claims]
        waits = [counter.wait_s(claim, now) for counter, claim in zip(counters, claims, strict=True)]
        if all(wait == 0 for wait in waits):
            for counter, claim in zip(counters, claims, strict=True):
                counter.current += claim.amount
        return tuple(
            Standing(counter.used(now), wait, counter.reset_s(now))
            for counter, wait in zip(counters, waits, strict=True)
        )

    async def add(self, caller: str, window: Window, amount: float) -> None:
        """See `LimitState`."""
        self._counter(caller, window, self._clock()).current += amount

    async def enter(self, caller: str, ticket: str, most: int) -> bool:
        """See `LimitState`."""
        running = self._running.setdefault(caller, set())
        if len(running) >= most:
            return False
        running.add(ticket)
        return True

    async def leave(self, caller: str, ticket: str) -> None:
        """See `LimitState`."""
        running = self._running.get(caller, set())
        running.discard(ticket)
        if not running:
            self._running.pop(caller, None)

    def load(self, caller: str, window: Window, previous: float, current: float) -> None:
        """Takes over what a shared store counts, in the last span and in the present one."""
        self._counter(caller, window, self._clock()).load(previous, current)

    def _counter(self, caller: str, window: Window, now: float) -> _Counter:
        counter = self._counters.setdefault((caller, window.name), _Counter(window))
        counter.roll(now)
        return counter


class _Counter:
    """What was used in the present span and the one before it. Spans are multiples of the window since 1970."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._span = 0
        self._previous = 0.0
        self.current = 0.0

    def load(self, previous: float, current: float) -> None:
        """Sets both amounts."""
        self._previous, self.current = previous, current

    def roll(self, now: float) -> None:
        """Moves on to the span of ``now``. A clock that was set back stays in the later span."""
        span = int(now // self._window.seconds)
        if span > self._span:
            # A refund of the span before may have left less than nothing.
            self._previous = max(self.current, 0.0) if span == self._span + 1 and self._window.sliding else 0.0
            self._span, self.current = span, 0.0

    def used(self, now: float) -> float:
        """The amount in the window."""
        return max(self._previous * (1 - self._elapsed_s(now) / self._window.seconds) + self.current, 0.0)

    def wait_s(self, claim: Claim, now: float) -> float | None:
        """Seconds until the claim fits if nothing else comes; see `Standing`."""
        if claim.amount > claim.most:
            return None
        if self.used(now) + claim.amount <= claim.most:
            return 0.0
        length, left = self._window.seconds, self._window.seconds - self._elapsed_s(now)
        if not self._window.sliding:
            return left
        room = claim.most - claim.amount
        if self.current <= room:
            # The last span has to shrink to what the present one leaves: previous * (left - wait) / length.
            return left - length * (room - self.current) / self._previous
        return left + length * (1 - room / self.current)

    def reset_s(self, now: float) -> float:
        """See `Standing`."""
        left = self._window.seconds - self._elapsed_s(now)
        if self.current > 0 and self._window.sliding:
            return left + self._window.seconds
        return left if self.used(now) > 0 else 0.0

    def _elapsed_s(self, now: float) -> float:
        return min(max(now - self._span * self._window.seconds, 0.0), float(self._window.seconds))
