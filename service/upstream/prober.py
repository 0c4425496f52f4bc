"""A task in the background that tries hosts again, so that no user pays for the try."""

from __future__ import annotations

import asyncio
import logging

from service.upstream.fleet import Fleet
from service.upstream.health import Health

log = logging.getLogger("autotier.upstream")

PERIOD_S = 1.0
"""A host that comes back is used again after this and one pre-flight."""


class Prober:
    """Reaches held hosts and ends holds whose cause is gone.

    Args:
        fleet: Reaches hosts.
        health: Holds.
        period_s: Seconds between two rounds.
    """

    def __init__(self, fleet: Fleet, health: Health, *, period_s: float = PERIOD_S) -> None:
        self._fleet = fleet
        self._health = health
        self._period_s = period_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins; a second call does nothing. Needs a running loop."""
        if self._task is None:
            self._health.prober_at_work()
            self._task = asyncio.create_task(self._run(), name="autotier-prober")

    async def close(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def round(self) -> None:
        """One round: held hosts are reached, half-open deployments are freed where their host is there."""
        endpoints = self._fleet.endpoints()
        half_open = [self._fleet.by_id[i] for i in self._health.half_open() if i in self._fleet.by_id]
        names = {*self._health.held_hosts(), *(self._fleet.endpoint(d).name for d in half_open)}
        known = [endpoints[name] for name in names if name in endpoints]
        reached = await asyncio.gather(*(self._fleet.reach(endpoint, afresh=True) for endpoint in known))
        up = {endpoint.name for endpoint, was_reached in zip(known, reached, strict=True) if was_reached}
        for deployment in half_open:
            if self._fleet.endpoint(deployment).name in up:
                self._health.rested(deployment.id)
        self._health.prober_at_work()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._period_s)
            try:
                await self.round()
            except Exception:  # a background task: it must go on, and say so
                log.exception("the prober failed; holds end by time alone until it works again")
