"""Cooldowns and verdicts that all replicas see: a copy in the process, kept in step with the Redis behind requests.

What a replica knows of its own stands above what others say: a *host* that this process cannot reach stays down here
though another one reaches it, and one that it has reached stays up though another one goes on failing to.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from redis.asyncio import Redis

from service.state.link import RedisLink
from service.state.scripts import HOLDS
from service.upstream.health import Hold
from service.upstream.interface import Outcome

log = logging.getLogger("autotier.state")

FORGOTTEN_S = 3600.0
"""A hold that nobody ended is forgotten so long after its end: of a deployment that is no longer configured."""
MOST_ENDED = 4096
_HOST = "host:"


class SharedHolds:
    """`service.upstream.health.HealthState` over a Redis.

    Args:
        link: The Redis.
        clock: Seconds, monotonic; that of ``Health``.
    """

    def __init__(self, link: RedisLink, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock
        self._sync = link.redis.register_script(HOLDS)
        self._holds: dict[str, Hold] = {}
        self._ids: dict[str, str] = {}
        self._changed: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, None] = {}
        self._numbers = itertools.count(1)

    def get(self, key: str) -> Hold | None:
        """See `HealthState`."""
        return self._holds.get(key)

    def put(self, key: str, hold: Hold) -> None:
        """See `HealthState`."""
        # The same failure going on keeps its id, so that a replica that knows better need not say so every second.
        if not (key.startswith(_HOST) and self._is_own(key)):
            self._ids[key] = f"{self._link.replica}/{next(self._numbers)}"
        self._holds[key] = hold
        self._changed[key] = {}
        self._link.soon()

    def drop(self, key: str) -> None:
        """See `HealthState`."""
        if self._holds.pop(key, None) is None:
            return
        known = self._ids.pop(key)
        # Its writer may go on saying it, with the same id.
        self._ended[known] = None
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        self._changed[key] = {"key": key, "id": known}
        self._link.soon()

    def items(self) -> Iterator[tuple[str, Hold]]:
        """See `HealthState`."""
        return iter(list(self._holds.items()))

    async def pulse(self, redis: Redis, *, afresh: bool) -> None:
        """See `service.state.link.Part`."""
        sending, self._changed = self._changed, {}
        now = self._clock()
        changes = [ended or self._setting(key, now) for key, ended in sending.items()]
        if afresh:
            changes += [{**self._setting(key, now), "seed": True} for key in self._holds if key not in sending]
        try:
            answer = await self._sync(keys=[self._link.key("holds")], args=[json.dumps(changes or []), FORGOTTEN_S])
        except BaseException:
            self._changed = {**sending, **self._changed}
            raise
        found = dict(zip(answer[1::2], map(json.loads, answer[2::2]), strict=True))
        self._take_in(found, float(answer[0]) - self._clock())

    def _setting(self, key: str, now: float) -> dict[str, Any]:
        hold = self._holds[key]
        return {
            "key": key,
            "id": self._ids[key],
            "age": now - hold.since_s,
            "left": hold.until_s - now,
            "outcome": str(hold.outcome),
            "detail": hold.detail,
        }

    def _take_in(self, found: dict[str, dict[str, str]], ahead_s: float) -> None:
        """Brings the copy in step. ``ahead_s``: the server's time less that of our clock."""
        for key, one in found.items():
            if key in self._changed or one["id"] in self._ended:
                continue  # ours is newer; it goes out with the next pulse
            if key.startswith(_HOST) and self._is_own(key):
                continue
            if key not in self._holds:
                log.info("%s is held by another process: %s %s", key, one["outcome"], one["detail"])
            try:
                outcome = Outcome(one["outcome"])
            except ValueError:  # a newer version writes it
                outcome = Outcome.SERVER_ERROR
            self._ids[key] = one["id"]
            self._holds[key] = Hold(float(one["since"]) - ahead_s, float(one["ends"]) - ahead_s, outcome, one["detail"])
        for key in [k for k in self._holds if k not in found and k not in self._changed]:
            if not (key.startswith(_HOST) and self._is_own(key)):
                del self._holds[key], self._ids[key]

    def _is_own(self, key: str) -> bool:
        return self._ids.get(key, "").startswith(f"{self._link.replica}/")
