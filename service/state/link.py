"""One Redis as this process sees it: calls on a request's way within its budget, a breaker, and a pulse behind.

Only the pulse tries a Redis that failed: no request pays for finding out that it is back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.config.model import State
from service.state.scripts import HEARTBEAT

log = logging.getLogger("autotier.state")

T = TypeVar("T")
Clock = Callable[[], float]

PERIOD_S = 0.25
"""Seconds between two pulses: so old may be what another replica found out."""
ALIVE_S = 5.0
"""A replica that has not shown itself for so long is gone."""
BEHIND_LIMIT_S = 2.0
FIRST_REST_S = 0.5
LONGEST_REST_S = 8.0
CALM_S = 10.0
"""A Redis that fails again so soon after it was back rests twice as long."""
MOST_LATE = 3
"""Answers too late in a row that open the breaker: one alone may be this process's own hiccup."""
MOST_WAITING = 16_384
MOST_CONNECTIONS = 32
_BATCH = 500


class SharedStateDown(Exception):
    """The Redis cannot be used now: go on with what this process knows."""


class Part(Protocol):
    """What is kept in step with the Redis."""

    async def pulse(self, redis: Redis, *, afresh: bool) -> None:
        """Writes what waits and takes in what others wrote.

        Args:
            redis: The server.
            afresh: The Redis has lost what it knew, or is seen for the first time: tell it again.
        """
        ...


@dataclass(slots=True)
class _Budget:
    """What the Redis may still add to one request."""

    left_s: float


_budget: ContextVar[_Budget | None] = ContextVar("autotier_state_budget", default=None)


class RedisLink:
    """The way to one Redis. Event loop only.

    Args:
        settings: Address, prefix and limit.
        replica: Name of this process among the others.
        clock: Seconds, monotonic.

    Attributes:
        redis: The client, for scripts.
        problem: Why the Redis is not used now, or None.
        replicas: Processes that share it, as of the last pulse.
    """

    def __init__(self, settings: State, replica: str, *, clock: Clock = time.monotonic) -> None:
        assert settings.redis_url is not None
        self.replica = replica
        self.problem: str | None = "not asked yet"
        self.replicas = 0
        self._prefix = settings.prefix
        self._limit_s = settings.timeout_ms / 1000
        self._clock = clock
        # RESP2 without CLIENT SETINFO: a new connection costs no round trip beyond AUTH.
        pool: Any = BlockingConnectionPool.from_url(
            settings.redis_url.get_secret_value(),
            max_connections=MOST_CONNECTIONS,
            timeout=BEHIND_LIMIT_S,
            socket_timeout=BEHIND_LIMIT_S,
            socket_connect_timeout=BEHIND_LIMIT_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            protocol=2,
            driver_info=None,
        )
        self.redis: Redis = Redis.from_pool(pool)
        self._heartbeat = self.redis.register_script(HEARTBEAT)
        self._parts: list[Part] = []
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._rest_s = FIRST_REST_S
        self._back_s = -CALM_S
        self._late = 0
        self._is_down_said = False
        self._is_closing = False
        self._life = ""
        self._numbers = {"failures_total": 0.0, "alone_total": 0.0, "dropped_total": 0.0}

    def key(self, *parts: str) -> str:
        """A Redis key of ours."""
        return ":".join((self._prefix, *parts))

    def add(self, part: Part) -> None:
        """Keeps ``part`` in step from now on."""
        self._parts.append(part)

    async def start(self) -> None:
        """First pulse, then one after the other in the background. A Redis that is down is waited for once, briefly."""
        if self._task is None:
            await self._pulse()
            self._task = asyncio.create_task(self._run(), name="autotier-state")

    async def close(self) -> None:
        """Writes what waits, if that goes at once, and closes the connections."""
        if self._task is not None:
            # redis-py may swallow a cancellation that meets it in the middle of a call: the flag ends the loop then.
            self._is_closing = True
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            if self.problem is None:
                await self._pulse()
        await self.redis.aclose()

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does ``work`` on a request's way: all its calls together take ``state.timeout_ms`` at most.

        Raises:
            SharedStateDown: It could not be done in time; whether it was done all the same is not known.
        """
        budget = _budget.get()
        if budget is None:
            budget = _Budget(self._limit_s)
            _budget.set(budget)
        started = self._clock()
        try:
            return await self._limited(work, budget.left_s)
        except SharedStateDown:
            self._numbers["alone_total"] += 1
            raise
        finally:
            budget.left_s -= self._clock() - started

    async def behind(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does ``work`` behind an answer.

        Raises:
            SharedStateDown: As `call`.
        """
        return await self._limited(work, BEHIND_LIMIT_S)

    def later(self, *command: Any) -> None:
        """Sends a command behind the answer, with others. Lost, and counted, while the Redis is down."""
        if self.problem is not None or len(self._waiting) >= MOST_WAITING:
            self._numbers["dropped_total"] += 1
            return
        self._waiting.append(command)
        self._wake.set()

    def soon(self) -> None:
        """Has the next pulse come at once."""
        self._wake.set()

    def snapshot(self) -> dict[str, float]:
        """``working`` and ``replicas`` as of now; ``failures_total``, ``alone_total``, ``dropped_total`` grow."""
        return {"working": float(self.problem is None), "replicas": float(self.replicas), **self._numbers}

    async def _limited(self, work: Callable[[], Awaitable[T]], limit_s: float, *, tries: bool = False) -> T:
        if self.problem is not None and not tries:
            raise SharedStateDown(self.problem)
        if limit_s <= 0:
            raise SharedStateDown("the time that it may take of this request is used up")
        try:
            async with asyncio.timeout(limit_s):
                done = await work()
        except TimeoutError:
            if limit_s >= self._limit_s * 0.9:  # less is what earlier calls of the request have left of its time
                self._late += 1
            if self._late >= MOST_LATE or self.problem is not None:
                self._failed(f"no answer in {limit_s * 1000:.0f} ms")
            raise SharedStateDown("no answer in time") from None
        except (RedisError, OSError) as error:
            self._failed(_words(error))
            raise SharedStateDown(_words(error)) from error
        self._late = 0
        return done

    def _failed(self, problem: str) -> None:
        self._numbers["failures_total"] += 1
        if not self._is_down_said:
            again = self._clock() - self._back_s < CALM_S
            self._rest_s = min(self._rest_s * 2, LONGEST_REST_S) if again else FIRST_REST_S
            log.error(
                "shared state: %s; this process goes on alone, its limits, cooldowns and conversations are its own",
                problem,
            )
        self._is_down_said = True
        self.problem = problem

    async def _run(self) -> None:
        while not self._is_closing:
            down = self.problem is not None
            try:
                async with asyncio.timeout(self._rest_s if down else PERIOD_S):
                    await (asyncio.Event() if down else self._wake).wait()
            except TimeoutError:
                pass  # nothing to write: time to look what others wrote
            self._wake.clear()
            try:
                await self._pulse()
            except Exception:  # a background task: it must go on, and say so
                log.exception("the pulse of the shared state failed")
                self._failed("a defect; see the log")

    async def _pulse(self) -> None:
        """One round over all parts, which also opens and closes the breaker."""
        was_down = self.problem is not None
        try:
            if was_down:
                await self.redis.connection_pool.disconnect()
            replicas, life = await self._limited(self._beat, self._limit_s, tries=True)
            afresh = life != self._life
            await self._limited(lambda: self._round(afresh=afresh), BEHIND_LIMIT_S, tries=True)
        except SharedStateDown:
            return  # said where it was found
        self._life, self.replicas = life, int(float(replicas))
        if was_down:
            self.problem, self._is_down_said, self._back_s = None, False, self._clock()
            log.warning("shared state: in use, %d process%s", self.replicas, "" if self.replicas == 1 else "es")

    async def _beat(self) -> list[str]:
        new_life = secrets.token_hex(8)
        answer: list[str] = await self._heartbeat(
            keys=[self.key("replicas"), self.key("life")], args=[self.replica, ALIVE_S, new_life]
        )
        return answer

    async def _round(self, *, afresh: bool) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            async with self.redis.pipeline(transaction=False) as pipeline:
                for command in batch:
                    pipeline.execute_command(*command)
                await pipeline.execute()
        for part in self._parts:
            await part.pulse(self.redis, afresh=afresh)


def _words(error: Exception) -> str:
    """What happened, in a line. redis-py names the address in it, never the password."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
