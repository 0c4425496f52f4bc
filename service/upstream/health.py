"""What is remembered about hosts and deployments, above both ways: verdicts, cooldowns, slots, counters.

A *hold* keeps the chain from trying: of a host after a failed pre-flight, of a deployment after a failed attempt. A
hold whose time is over is half-open while a prober is at work (``service.upstream.prober``): it ends when the prober
has reached the host, so that no user pays for the try. Without a prober it just ends.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.config import Deployment, Limits
from service.upstream.interface import Outcome, UpstreamFailure

log = logging.getLogger("autotier.upstream")

Clock = Callable[[], float]

LONGEST_RETRY_AFTER_S = 900.0
"""A host that asks for more than 15 minutes is asked again after 15 minutes."""

PROBER_ALIVE_S = 5.0
"""A prober that has not shown itself for so long is not waited for."""

OPERATORS_FAULT = frozenset({Outcome.UNAUTHORIZED, Outcome.MODEL_MISSING})
"""A key or a model is missing: nobody but the operator can mend it."""

NEVER_COOLS = frozenset(
    {Outcome.ANSWERED, Outcome.ABORTED, Outcome.BAD_REQUEST, Outcome.CONTEXT, Outcome.TRUNCATED, Outcome.CAP}
    | {Outcome.PREFLIGHT_FAILED, Outcome.REMEMBERED_DOWN, Outcome.COOLING_DOWN, Outcome.NO_FREE_SLOT}
)
"""These say something about the request, or are remembered elsewhere."""

HOST_MAY_BE_GONE = frozenset({Outcome.CONNECT, Outcome.CUT, Outcome.FIRST_TOKEN_TIMEOUT, Outcome.TOKEN_TIMEOUT})
"""Failures of a host that falls asleep or restarts: over as soon as it is back."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why something is not tried, since when and until when (seconds of the clock)."""

    since_s: float
    until_s: float
    outcome: Outcome
    detail: str


class HealthState(Protocol):
    """Where holds are kept: this process, or a store that replicas share.

    The calls are synchronous because every request makes them: a shared store mirrors its content into the process in
    the background.
    """

    def get(self, key: str) -> Hold | None:
        """The hold of ``key`` (``host:...`` or ``deployment:...``), over or not, or None."""
        ...

    def put(self, key: str, hold: Hold) -> None:
        """Sets or replaces a hold."""
        ...

    def drop(self, key: str) -> None:
        """Ends a hold; unknown keys are fine."""
        ...

    def items(self) -> Iterator[tuple[str, Hold]]:
        """All holds, over or not."""
        ...


class ProcessState:
    """Holds in this process's memory."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}

    def get(self, key: str) -> Hold | None:
        """See `HealthState`."""
        return self._holds.get(key)

    def put(self, key: str, hold: Hold) -> None:
        """See `HealthState`."""
        self._holds[key] = hold

    def drop(self, key: str) -> None:
        """See `HealthState`."""
        self._holds.pop(key, None)

    def items(self) -> Iterator[tuple[str, Hold]]:
        """See `HealthState`."""
        return iter(list(self._holds.items()))


class Health:
    """Verdicts on hosts, cooldowns and slots of deployments.

    Args:
        limits: Of the configuration.
        clock: Seconds, monotonic.
        state: Where holds are kept.
    """

    def __init__(self, limits: Limits, *, clock: Clock = time.monotonic, state: HealthState | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._state: HealthState = state if state is not None else ProcessState()
        self._in_flight: dict[str, list[float]] = {}
        self._mean_s: dict[str, float] = {}
        self._prober_seen_s: float | None = None
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._tokens_per_s: dict[str, float] = {}
        self._operator: dict[str, str] = {}

    # Hosts

    def host_down(self, host: str, detail: str) -> None:
        """Remembers that ``host`` failed its pre-flight."""
        if self._state.get(f"host:{host}") is None:
            log.warning("host %s is down: %s", host, detail)
        now = self._clock()
        hold = Hold(now, now + self._limits.remember_failed_s, Outcome.PREFLIGHT_FAILED, detail)
        self._state.put(f"host:{host}", hold)

    def host_up(self, host: str) -> None:
        """Forgets a failed pre-flight of ``host``."""
        if self._state.get(f"host:{host}") is not None:
            log.info("host %s is back", host)
            self._state.drop(f"host:{host}")

    def verdict(self, host: str) -> Hold | None:
        """The failed pre-flight that is still believed, or None."""
        return self._active(f"host:{host}")

    # Deployments

    def failed(self, deployment: Deployment, failure: UpstreamFailure, *, cools: bool = True) -> None:
        """Takes a failed attempt in: the deployment rests, unless the failure was the request's own.

        Args:
            deployment: Which one was tried.
            failure: What happened.
            cools: False where the caller knows that the failure says nothing about the deployment.
        """
        if failure.outcome in OPERATORS_FAULT:
            self._operator[deployment.id] = f"{failure.outcome}: {failure.detail}"
            log.error("deployment %s needs its operator: %s %s", deployment.id, failure.outcome, failure.detail)
        if not cools or failure.outcome in NEVER_COOLS:
            return
        rest = self._limits.cooldown_s
        if failure.outcome is Outcome.RATE_LIMITED and failure.retry_after_s is not None:
            rest = min(max(failure.retry_after_s, 0.0), LONGEST_RETRY_AFTER_S)
        now = self._clock()
        hold = Hold(now, now + rest, failure.outcome, failure.detail)
        self._state.put(f"deployment:{deployment.id}", hold)
        log.warning("deployment %s rests %.0f s: %s", deployment.id, rest, failure)

    def answered(self, deployment: Deployment) -> None:
        """Takes a good answer in."""
        self._state.drop(f"deployment:{deployment.id}")
        self._operator.pop(deployment.id, None)

    def cooldown(self, deployment: Deployment) -> Hold | None:
        """The rest that ``deployment`` still takes, or None."""
        return self._active(f"deployment:{deployment.id}")

    def count(self, deployment_id: str, outcome: Outcome) -> None:
        """Counts how an attempt ended."""
        self._outcomes[deployment_id, str(outcome)] += 1

    def generated(self, deployment_id: str, tokens: int, seconds: float) -> None:
        """Learns a deployment's speed from one answer; short ones say too little."""
        if tokens < 16 or seconds <= 0:
            return
        before, speed = self._tokens_per_s.get(deployment_id), tokens / seconds
        self._tokens_per_s[deployment_id] = speed if before is None else 0.8 * before + 0.2 * speed

    # Slots

    def take_slot(self, deployment: Deployment) -> float | None:
        """A slot of ``deployment``, to be given back with what this returns, or None where all are taken."""
        running = self._in_flight.setdefault(deployment.id, [])
        if deployment.parallel and len(running) >= deployment.parallel:
            return None
        started = self._clock()
        running.append(started)
        return started

    def give_slot(self, deployment: Deployment, started: float) -> None:
        """Gives a slot back and learns how long generations take."""
        self._in_flight[deployment.id].remove(started)
        took = self._clock() - started
        mean = self._mean_s.get(deployment.id)
        self._mean_s[deployment.id] = took if mean is None else 0.8 * mean + 0.2 * took

    def running(self, deployment_id: str) -> int:
        """Requests under way at a deployment."""
        return len(self._in_flight.get(deployment_id, ()))

    def rest_of_running_s(self, deployment_id: str, *, unknown_s: float = 10.0) -> float:
        """Expected seconds until a running generation ends; 0 where none runs.

        The mean length of generations so far less the time of the oldest one, at least half a second: one that is
        overdue may end at any moment, but has not yet.
        """
        running = self._in_flight.get(deployment_id)
        if not running:
            return 0.0
        return max(self._mean_s.get(deployment_id, unknown_s) - (self._clock() - running[0]), 0.5)

    def slot_free(self, deployment: Deployment) -> bool:
        """Whether `take_slot` would succeed."""
        return not deployment.parallel or self.running(deployment.id) < deployment.parallel

    # The prober and the metrics

    def prober_at_work(self) -> None:
        """The prober says that it is alive."""
        self._prober_seen_s = self._clock()

    def held_hosts(self) -> list[str]:
        """Hosts with a failed pre-flight."""
        return [key.removeprefix("host:") for key, _ in self._state.items() if key.startswith("host:")]

    def half_open(self) -> list[str]:
        """Ids of deployments whose rest is over and that wait for the prober."""
        now = self._clock()
        return [deployment_id for deployment_id, hold in self._resting() if hold.until_s <= now]

    def lost(self) -> list[str]:
        """Ids of deployments that rest because their host may have gone away."""
        return [deployment_id for deployment_id, hold in self._resting() if hold.outcome in HOST_MAY_BE_GONE]

    def _resting(self) -> list[tuple[str, Hold]]:
        prefix = "deployment:"
        return [(key.removeprefix(prefix), hold) for key, hold in self._state.items() if key.startswith(prefix)]

    def rested(self, deployment_id: str) -> None:
        """The prober has reached the host of a half-open deployment."""
        self._state.drop(f"deployment:{deployment_id}")

    def retry_after_s(self, hosts: Mapping[str, str]) -> float | None:
        """Seconds until the first of some deployments may be tried again.

        Args:
            hosts: Name of the host by id of the deployment.

        Returns:
            Whole seconds, at least 1; None where one of them is not held at all.
        """
        now, waits = self._clock(), []
        for deployment_id, host in hosts.items():
            held = [self._state.get(f"deployment:{deployment_id}"), self._state.get(f"host:{host}")]
            ends = [hold.until_s - now for hold in held if hold is not None]
            if not ends:
                return None
            waits.append(max(ends))
        return float(max(math.ceil(min(waits)), 1)) if waits else None

    def snapshot(self) -> dict[str, Any]:
        """Plain counters and states for ``/metrics`` and ``doctor``.

        Returns:
            ``outcomes`` {(deployment, outcome): count}, ``holds`` {key: (outcome, seconds left)}, ``running``
            {deployment: count}, ``operator`` {deployment: what to mend}, ``tokens_per_s`` {deployment: measured speed}.
        """
        now = self._clock()
        return {
            "outcomes": dict(self._outcomes),
            "holds": {key: (str(hold.outcome), max(hold.until_s - now, 0.0)) for key, hold in self._state.items()},
            "running": {deployment_id: len(running) for deployment_id, running in self._in_flight.items()},
            "operator": dict(self._operator),
            "tokens_per_s": dict(self._tokens_per_s),
        }

    def _active(self, key: str) -> Hold | None:
        hold = self._state.get(key)
        if hold is None:
            return None
        now = self._clock()
        if now < hold.until_s:
            return hold
        if self._prober_seen_s is not None and now - self._prober_seen_s < PROBER_ALIVE_S:
            return hold  # half-open: the prober tries first
        self._state.drop(key)
        return None
