"""A task in the background that tries hosts, so that no user pays for the try."""

from __future__ import annotations

import asyncio
import logging

from service.upstream.fleet import Fleet
from service.upstream.health import Health
from service.upstream.preflight import Endpoint
from service.upstream.warmth import Warmth

log = logging.getLogger("autotier.upstream")


class Prober:
    """Reaches every host once, held ones again, and ends holds whose cause is gone.

    A cloud that is not in use gets a connection and no request: nothing is said to it, and it costs nothing.

    Args:
        fleet: Reaches hosts.
        health: Holds.
        warmth: Keeps models loaded, or None.
        period_s: Seconds between two rounds; a host that comes back is used again after this and one pre-flight.
    """

    def __init__(self, fleet: Fleet, health: Health, warmth: Warmth | None = None, *, period_s: float = 1.0) -> None:
        self._fleet = fleet
        self._health = health
        self._warmth = warmth
        self._period_s = period_s
        self._gone: set[str] = set()
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
        if self._warmth is not None:
            await self._warmth.close()

    async def round(self) -> None:
        """One round, the first at the start: who is there, what hosts have loaded, who is back, what is kept warm."""
        await asyncio.gather(*(self._look_at(endpoint) for endpoint in self._fleet.unseen()))
        await self._look_again()

    async def _look_again(self) -> None:
        """What hosts have loaded, who is back, what is kept warm.

        Held hosts are reached; deployments are freed whose rest is over or whose host was gone.
        """
        endpoints = self._fleet.endpoints()
        half_open, lost = self._hosts_of(self._health.half_open()), self._hosts_of(self._health.lost())
        names = {*self._health.held_hosts(), *half_open.values(), *lost.values()}
        names |= {endpoint.name for endpoint in self._fleet.fading()}
        known = [name for name in names if name in endpoints]
        reached = await asyncio.gather(*(self._look_at(endpoints[name]) for name in known))
        up = {name for name, was_reached in zip(known, reached, strict=True) if was_reached}
        back = up & self._gone
        self._gone = (self._gone | set(known)) - up
        free = [i for i, host in half_open.items() if host in up] + [i for i, host in lost.items() if host in back]
        for deployment_id in free:
            self._health.rested(deployment_id)
        self._health.prober_at_work()
        if self._warmth is not None:
            self._warmth.look()

    async def _look_at(self, endpoint: Endpoint) -> bool:
        if not await self._fleet.reach(endpoint, afresh=True):
            return False
        await self._fleet.learn_sizes(endpoint)
        return True

    def _hosts_of(self, deployment_ids: list[str]) -> dict[str, str]:
        by_id = self._fleet.by_id
        return {i: self._fleet.endpoint(by_id[i]).name for i in deployment_ids if i in by_id}

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except Exception:  # a background task: it must go on, and say so
                log.exception("the prober failed; holds end by time alone until it works again")
            await asyncio.sleep(self._period_s)
