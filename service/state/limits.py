"""Limits and spend of callers, counted by all replicas together, each step atomic in the Redis.

The process keeps a copy of the totals that it saw last. Without the Redis it goes on counting there, and what it
counted goes to the Redis afterwards, once: a caller whose day is spent does not get a new one from an outage.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from service.limits.state import Claim, ProcessState, Standing, Window
from service.state.link import RedisLink, SharedStateDown
from service.state.scripts import ADD, ENTER, RAISE, RENEW, TAKE

TICKET_S = 15.0
"""A running request of a replica that died is forgotten after this."""
RENEWED_S = 4.0
MARKER_S = 600
"""How long a step is known to have been taken, so that it is not taken again after an answer that never came."""
MOST_OWED = 100_000


@dataclass(frozen=True, slots=True)
class _Amount:
    """What belongs into one counter."""

    caller: str
    window: Window
    span: int
    amount: float


@dataclass(frozen=True, slots=True)
class _Owed:
    """A step that the Redis may not have taken."""

    marker: str
    amounts: tuple[_Amount, ...]


class SharedLimits:
    """`service.limits.state.LimitState` over a Redis.

    Args:
        link: The Redis.
        clock: Unix seconds, for the time without a Redis; else the server's own time counts.
    """

    def __init__(self, link: RedisLink, *, clock: Callable[[], float] = time.time) -> None:
        self._link = link
        self._clock = clock
        self._ahead_s = 0.0
        self._exact_s: float | None = None
        self._own = ProcessState(self._now)
        self._known: dict[tuple[str, Window], tuple[int, float]] = {}
        self._owed: deque[_Owed] = deque(maxlen=MOST_OWED)
        self._tickets: dict[str, set[str]] = {}
        self._leaving: set[tuple[str, str]] = set()
        self._renewed_s = 0.0
        self._steps = itertools.count(1)
        register = link.redis.register_script
        self._take, self._add, self._raise = register(TAKE), register(ADD), register(RAISE)
        self._enter, self._renew = register(ENTER), register(RENEW)

    async def take(self, caller: str, claims: Sequence[Claim]) -> tuple[Standing, ...]:
        """See `LimitState`."""
        marker = self._marker()
        keys = [marker, *(self._counter(caller, claim.window) for claim in claims)]
        arguments: list[str | int] = [MARKER_S]
        for claim in claims:
            arguments += [claim.window.seconds, int(claim.window.sliding), repr(claim.most), repr(claim.amount)]
        try:
            answer = await self._link.call(lambda: self._take(keys=keys, args=arguments))
        except SharedStateDown:
            return await self._take_alone(caller, claims, marker)
        self._exact_s = float(answer[0])
        self._ahead_s = self._exact_s - self._clock()
        try:
            return await self._standings(caller, claims, answer[1] == "1", [float(one) for one in answer[2:]])
        finally:
            self._exact_s = None

    async def add(self, caller: str, window: Window, amount: float) -> None:
        """See `LimitState`."""
        await self._own.add(caller, window, amount)
        owed = _Owed(self._marker(), (self._amount(caller, window, amount),))
        try:
            await self._link.behind(lambda: self._pay(owed))
        except SharedStateDown:
            self._owed.append(owed)

    async def at_least(self, caller: str, window: Window, used: float) -> None:
        """What was used in this span as the records have it; before the first pulse, which raises a lower count."""
        await self._own.add(caller, window, used)
        self._known[caller, window] = (self._span(window), used)

    async def enter(self, caller: str, ticket: str, most: int) -> bool:
        """See `LimitState`."""
        key = self._running(caller)
        try:
            inside = bool(await self._link.call(lambda: self._enter(keys=[key], args=[ticket, most, TICKET_S])))
            if inside:
                await self._own.enter(caller, ticket, most=1 << 62)
        except SharedStateDown:
            inside = await self._own.enter(caller, ticket, most)
            if not inside:
                self._leaving.add((caller, ticket))
        if inside:
            self._tickets.setdefault(caller, set()).add(ticket)
        return inside

    async def leave(self, caller: str, ticket: str) -> None:
        """See `LimitState`."""
        await self._own.leave(caller, ticket)
        tickets = self._tickets.get(caller, set())
        tickets.discard(ticket)
        if not tickets:
            self._tickets.pop(caller, None)
        try:
            await self._link.behind(lambda: self._link.redis.zrem(self._running(caller), ticket))
        except SharedStateDown:
            self._leaving.add((caller, ticket))

    @property
    def owed(self) -> int:
        """Steps that the Redis may not have taken yet."""
        return len(self._owed)

    async def pulse(self, redis: Redis, *, afresh: bool) -> None:
        """See `service.state.link.Part`."""
        for caller, ticket in list(self._leaving):
            await redis.zrem(self._running(caller), ticket)
            self._leaving.discard((caller, ticket))
        if afresh:
            await self._tell_again()
        while self._owed:
            await self._pay(self._owed[0])
            self._owed.popleft()
        now = time.monotonic()
        if self._tickets and (afresh or now - self._renewed_s > RENEWED_S):
            for caller, tickets in list(self._tickets.items()):
                await self._renew(keys=[self._running(caller)], args=[TICKET_S, *tickets])
            self._renewed_s = now

    async def _standings(
        self, caller: str, claims: Sequence[Claim], taken: bool, used: list[float]
    ) -> tuple[Standing, ...]:
        """By the arithmetic of `ProcessState`, on the server's numbers, which become the copy."""
        for claim, previous, current in zip(claims, used[::2], used[1::2], strict=True):
            self._own.load(caller, claim.window, previous, current)
            total = current + claim.amount if taken else current
            self._known[caller, claim.window] = (self._span(claim.window), total)
        standings = await self._own.take(caller, claims)
        if taken:
            return tuple(replace(standing, wait_s=0.0) for standing in standings)
        return standings

    async def _take_alone(self, caller: str, claims: Sequence[Claim], marker: str) -> tuple[Standing, ...]:
        standings = await self._own.take(caller, claims)
        if all(standing.wait_s == 0 for standing in standings):
            amounts = tuple(self._amount(caller, claim.window, claim.amount) for claim in claims)
            self._owed.append(_Owed(marker, amounts))
        return standings

    async def _pay(self, owed: _Owed) -> None:
        """Counts a step in the Redis unless it was counted; amounts of spans that are over are left out."""
        counters: list[str] = []
        arguments: list[str | int] = [MARKER_S]
        for one in owed.amounts:
            if one.span >= self._span(one.window) - int(one.window.sliding):
                counters.append(f"{self._counter(one.caller, one.window)}:{one.span}")
                arguments += [repr(one.amount), one.window.seconds * 2]
        if not counters or not int(await self._add(keys=[owed.marker, *counters], args=arguments)):
            return
        for one in owed.amounts:
            span, known = self._known.get((one.caller, one.window), (one.span, 0.0))
            if span == one.span:
                self._known[one.caller, one.window] = (span, known + one.amount)

    async def _tell_again(self) -> None:
        for (caller, window), (span, total) in list(self._known.items()):
            if span == self._span(window) and total > 0:
                counter = f"{self._counter(caller, window)}:{span}"
                await self._raise(keys=[counter], args=[repr(total), window.seconds * 2])

    def _now(self) -> float:
        return self._exact_s if self._exact_s is not None else self._clock() + self._ahead_s

    def _span(self, window: Window) -> int:
        return int(self._now() // window.seconds)

    def _amount(self, caller: str, window: Window, amount: float) -> _Amount:
        return _Amount(caller, window, self._span(window), amount)

    def _marker(self) -> str:
        return self._link.key("step", self._link.replica, str(next(self._steps)))

    def _counter(self, caller: str, window: Window) -> str:
        return self._link.key("used", caller, window.name)

    def _running(self, caller: str) -> str:
        return self._link.key("running", caller)
