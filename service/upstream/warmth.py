"""Keeps models in memory where ``keep_warm`` says so, at nobody's cost: an idle host, and no other model put out."""

from __future__ import annotations

import asyncio
import logging
import time

from service.config import Configuration, Deployment
from service.upstream.fleet import Fleet
from service.upstream.health import Clock, Health
from service.upstream.host_status import StatusClient, StatusUnavailable
from service.upstream.lean_ollama import duration
from service.upstream.preflight import Endpoint

log = logging.getLogger("autotier.upstream")

BEFORE_IT_LEAVES_S = 30.0
"""A model that would leave the memory so soon is asked to stay."""

LONGEST_LOAD_S = 300.0
AGAIN_AFTER_S = 60.0
"""A host that did not load a model is asked again after a minute."""


class Warmth:
    """Loads models that shall stay loaded.

    Args:
        configuration: Deployments with ``keep_warm``; others are left alone.
        fleet: What is loaded where.
        health: What runs and what rests.
        clock: Seconds, monotonic.
        client: Asks hosts; None makes one.
    """

    def __init__(
        self,
        configuration: Configuration,
        fleet: Fleet,
        health: Health,
        *,
        clock: Clock = time.monotonic,
        client: StatusClient | None = None,
    ) -> None:
        self._configuration = configuration
        self._fleet = fleet
        self._health = health
        self._clock = clock
        self._client = client or StatusClient()
        self._kept = [d for _, d in configuration.deployments() if d.keep_warm and fleet.endpoint(d).ollama]
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._not_before_s: dict[str, float] = {}

    def look(self) -> None:
        """Begins what is due; returns at once. Called once per round of the prober."""
        for deployment in self._kept:
            host = self._fleet.endpoint(deployment).name
            if host not in self._loading and self._is_due(deployment):
                self._loading[host] = asyncio.create_task(self._warm(deployment), name=f"autotier-warm-{deployment.id}")

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def _is_due(self, deployment: Deployment) -> bool:
        if self._clock() < self._not_before_s.get(deployment.id, 0.0) or self._fleet.is_out(deployment):
            return False
        status = self._fleet.status(deployment)
        if status is None or status.loaded is None or self._fleet.running_beside(deployment):
            return False
        if not status.has_loaded(deployment.model):
            return not self._fleet.would_put_out(deployment)
        left = status.stays_s(deployment.model)
        return left is not None and left < BEFORE_IT_LEAVES_S

    async def _warm(self, deployment: Deployment) -> None:
        endpoint = self._fleet.endpoint(deployment)
        try:
            await self._loaded(deployment, endpoint)
        finally:
            self._loading.pop(endpoint.name, None)

    async def _loaded(self, deployment: Deployment, endpoint: Endpoint) -> None:
        keep = duration(deployment.keep_alive) if deployment.keep_alive is not None else None
        started = self._clock()
        self._not_before_s[deployment.id] = started + AGAIN_AFTER_S
        try:
            async with asyncio.timeout(LONGEST_LOAD_S):
                await self._client.warm(
                    endpoint.base, deployment.model, context=deployment.context, keep_alive=keep, key=endpoint.key
                )
        except (TimeoutError, StatusUnavailable) as error:
            log.warning("%s could not be kept warm: %s", deployment.id, error or "no answer")
            return
        self._not_before_s.pop(deployment.id, None)
        self._fleet.warmed(deployment, took_s=self._clock() - started)
        log.info("%s is warm after %.1f s", deployment.id, self._clock() - started)
