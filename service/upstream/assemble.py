"""The chain and everything below it, put together from a configuration. Only ``service.bootstrap`` calls this."""

from __future__ import annotations

import time

from service.config import Configuration
from service.upstream.chain import Chain
from service.upstream.fleet import Fleet
from service.upstream.health import Clock, Health, HealthState
from service.upstream.interface import Way
from service.upstream.lean_way import LeanWay
from service.upstream.preflight import Preflight
from service.upstream.prober import Prober
from service.upstream.router_way import RouterWay
from service.upstream.warmth import Warmth
from service.upstream.ways import LEAN_PROVIDERS, Ways


def assemble(configuration: Configuration, *, clock: Clock = time.monotonic, state: HealthState | None = None) -> Chain:
    """A chain for ``configuration``. Nothing is imported late, connected or started before `Chain.start`.

    Args:
        configuration: Hosts, groups, limits and ``upstream.way``.
        clock: Seconds, monotonic.
        state: Where holds are kept; None: in this process.
    """
    health = Health(configuration.limits, clock=clock, state=state)
    fleet = Fleet(configuration, health, Preflight(configuration.limits, clock=clock), clock=clock)
    warmth = Warmth(configuration, fleet, health, clock=clock)
    prober = Prober(fleet, health, warmth, period_s=configuration.limits.probe_every_s)
    return Chain(configuration, _ways(configuration), health, fleet, prober, clock=clock)


def _ways(configuration: Configuration) -> Ways:
    at_home = frozenset(d.id for _, d in configuration.deployments() if configuration.is_local(d))
    lean: Way | None = LeanWay(at_home) if configuration.upstream.way == "auto" else None
    needs_router = lean is None or any(d.provider not in LEAN_PROVIDERS for _, d in configuration.deployments())
    return Ways(router=RouterWay(configuration) if needs_router else None, lean=lean)
