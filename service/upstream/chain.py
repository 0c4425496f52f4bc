"""The one place that walks the chain: which deployment next, its limits, and when to stop.

Limits (DESIGN, "Limits"): per tier a limit to the first token over the whole chain; per attempt 8 s for a local
model seen loaded, 45 s for one seen cold or not seen yet (which adds 37 s to the tier's limit, once per host),
whatever is left for a cloud; 30 s between tokens; 15 minutes for an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NoReturn

from classifier import Tier
from service.config import Configuration, Deployment
from service.upstream import verdicts
from service.upstream.collect import Answer, Collector
from service.upstream.continuing import Continued
from service.upstream.fleet import Fleet
from service.upstream.health import Clock, Health
from service.upstream.hedge import Begun, first_of
from service.upstream.interface import Attempt, Outcome, UpstreamFailure
from service.upstream.plan import LocalNotAllowed, Plan
from service.upstream.prober import Prober
from service.upstream.serving import Serving, Stream
from service.upstream.walk import Prefix, Walk
from service.upstream.ways import Ways


class Chain:
    """Sends a request along its plan until a deployment answers.

    Args:
        configuration: Limits and hosts.
        ways: How deployments are reached.
        health: Verdicts, cooldowns and slots.
        fleet: Hosts and order.
        prober: Tries held hosts in the background, or None.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        configuration: Configuration,
        ways: Ways,
        health: Health,
        fleet: Fleet,
        prober: Prober | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._limits = configuration.limits
        self.configuration = configuration
        self._ways = ways
        self._fleet = fleet
        self._prober = prober
        self._clock = clock
        self.health = health

    def start(self) -> None:
        """Starts the prober and what ways need long for. Needs a running loop."""
        self._ways.start()
        if self._prober is not None:
            self._prober.start()

    async def close(self) -> None:
        """Ends the prober and closes all connections."""
        if self._prober is not None:
            await self._prober.close()
        await self._ways.close()
        await self._fleet.close()

    async def open(self, plan: Plan) -> Stream:
        """The first deployment's stream that has a first token.

        With ``upstream.on_stream_death: continue``, it goes on with the tier's next deployment where it dies.

        Raises:
            UpstreamRefused: A deployment says that the request is wrong.
            ContextLengthExceeded: All say that it is too long.
            DeadlineExceeded: The tier's limit ran out.
            DeploymentsFailed: All failed.
            LocalNotAllowed: The plan holds a local deployment though it must not.
        """
        walk = self._walk(plan)
        serving = await self._next_serving(walk)
        if self.configuration.upstream.on_stream_death == "error":
            return serving

        async def resume(prefix: Prefix, died: Deployment, failure: UpstreamFailure) -> Serving:
            return await self._resume(walk, prefix, died, failure)

        return Continued(serving, resume)

    async def complete(self, plan: Plan) -> Answer:
        """A whole answer, for a client that did not ask for a stream: one that dies is a failed attempt.

        Raises:
            RequestError: As `open`; `DeadlineExceeded` also where the answer's cap ran out.
        """
        walk = self._walk(plan)
        while True:
            serving = await self._next_serving(walk)
            first_token_s = self._clock()
            collector = Collector()
            try:
                async for batch in serving:
                    for chunk in batch:
                        collector.add(chunk)
            except UpstreamFailure as failure:
                if failure.outcome is Outcome.CAP:
                    raise verdicts.too_late(plan.attempts, "The longest time for an answer ran out") from failure
                self._stop_if_refused(walk, failure)
                # Its client has seen nothing: the limit to the first token stood still while tokens came.
                walk.deadline_s += self._clock() - first_token_s
                continue
            finally:
                await serving.aclose()
            tally = serving.tally
            return Answer(
                serving.deployment, serving.attempt, collector.choices(), tally.usage, tally.system_fingerprint
            )

    async def prepare(self, deployment: Deployment) -> None:
        """Waits until the way of ``deployment`` can send (litellm takes seconds to import)."""
        await self._ways.prepare(deployment)

    def readiness(self) -> dict[Tier, bool]:
        """Per tier that has deployments, whether a request would be sent upstream at once, to a host once reached."""
        return {
            tier: any(self._would_send(d) for d in self.configuration.tiers[tier].deployments)
            for tier in Tier
            if self.configuration.tiers[tier].deployments
        }

    def snapshot(self) -> dict[str, Any]:
        """Plain counters and states for ``/metrics`` and ``doctor``: those of `Health`, ``swaps`` and ``hosts``."""
        return {**self.health.snapshot(), "swaps": dict(self._fleet.swaps), "hosts": self._fleet.hosts()}

    def _would_send(self, deployment: Deployment) -> bool:
        held = self.health.cooldown(deployment) or self.health.verdict(self._fleet.endpoint(deployment).name)
        is_there = held is None and self._fleet.is_seen(deployment)
        return is_there and self.health.slot_free(deployment) and self._ways.is_ready(deployment)

    def _walk(self, plan: Plan) -> Walk:
        if not plan.local_allowed:
            self._forbid_local(*plan.deployments, *plan.stand_ins)
        now = self._clock()
        unique = list({d.id: d for d in plan.deployments}.values())
        stand_ins = [s for s in plan.stand_ins if s.id not in {d.id for d in unique}]
        return Walk(plan, now, now + plan.first_token_s, now + self._limits.answer_cap_s, unique, stand_ins)

    async def _next_serving(self, walk: Walk) -> Serving:
        plan = walk.plan
        while walk.remaining:
            if self._clock() >= walk.ends_s:
                raise verdicts.too_late(plan.attempts, "No first token within the tier's limit")
            deployment = await self._fleet.next(plan, walk.remaining, walk.stand_ins)
            walk.take(deployment)
            try:
                return await self._hedged(walk, deployment)
            except UpstreamFailure as failure:
                self._stop_if_refused(walk, failure)
        raise self._used_up(walk)

    async def _resume(self, walk: Walk, prefix: Prefix, died: Deployment, failure: UpstreamFailure) -> Serving:
        """Goes on after ``prefix`` with what is left of the tier's own deployments."""
        walk.remaining = [d for d in walk.remaining if self._fleet.tier_of(d) is walk.plan.tier]
        walk.stand_ins = []
        walk.prefix = prefix
        walk.deadline_s = self._clock() + walk.plan.first_token_s
        serving = await self._next_serving(walk)
        walk.plan.notes.append(
            f"{serving.deployment.id} continues after {len(prefix.text)} characters of {died.id}: {failure.outcome}"
        )
        return serving

    async def _hedged(self, walk: Walk, head: Deployment) -> Serving:
        """One attempt, or two where the first is late and another host holds the same model."""
        plan, after_ms = walk.plan, self._limits.hedge_after_ms
        if after_ms is None or not plan.hedge_allowed:
            return await self._attempt(walk, head)

        def second() -> Begun | None:
            other = self._fleet.twin(head, walk.remaining)
            if other is None:
                return None
            walk.take(other)
            plan.notes.append(f"{other.id} asked beside {head.id}: no first token within {after_ms} ms")
            return self._attempt(walk, other)

        try:
            serving = await first_of(self._attempt(walk, head), after_s=after_ms / 1000, second=second)
        except UpstreamFailure as failure:
            _note_losers(plan, None, f"cancelled: {failure.outcome} beside it ended both")
            raise
        _note_losers(plan, serving.attempt, f"cancelled: {serving.deployment.id} had its first token before")
        return serving

    def _stop_if_refused(self, walk: Walk, failure: UpstreamFailure) -> None:
        if failure.outcome is Outcome.BAD_REQUEST:
            raise verdicts.refused(failure, walk.plan.attempts) from failure

    def _used_up(self, walk: Walk) -> Exception:
        attempts = walk.plan.attempts
        if self._clock() >= walk.ends_s and attempts and attempts[-1].outcome is Outcome.FIRST_TOKEN_TIMEOUT:
            return verdicts.too_late(attempts, "No first token within the tier's limit")
        hosts = {
            a.deployment_id: self._fleet.endpoint(self._fleet.by_id[a.deployment_id]).name
            for a in attempts
            if a.outcome is not Outcome.NO_FREE_SLOT
        }
        busy = any(a.outcome is Outcome.NO_FREE_SLOT for a in attempts)
        return verdicts.used_up(attempts, retry_after_s=1.0 if busy else self.health.retry_after_s(hosts))

    async def _attempt(self, walk: Walk, deployment: Deployment) -> Serving:
        """One deployment: pre-flight, call, first token. Its record is in the plan from the start.

        Raises:
            UpstreamFailure: The chain moves on.
        """
        plan = walk.plan
        if not plan.local_allowed:
            self._forbid_local(deployment)
        started = self._clock()
        attempt = Attempt(len(plan.attempts), deployment.id, Outcome.ABORTED, prompt_tokens_counted=plan.prompt_tokens)
        plan.attempts.append(attempt)
        try:
            await self._gate(walk, deployment, attempt, started)
            serving = await self._send(walk, deployment, attempt, started)
        finally:
            if not attempt.total_ms:
                attempt.total_ms = (self._clock() - started) * 1000
        if not plan.local_allowed and self._fleet.is_local(serving.deployment):  # again, on the answer
            await serving.aclose()
            self._forbid_local(serving.deployment)
        return serving

    async def _gate(self, walk: Walk, deployment: Deployment, attempt: Attempt, started: float) -> None:
        """What keeps a deployment from being called at all: rests, verdicts, slots, the pre-flight."""
        endpoint = self._fleet.endpoint(deployment)
        cooldown = self.health.cooldown(deployment)
        if cooldown is not None:
            self._pass_over(attempt, Outcome.COOLING_DOWN, f"rests after {cooldown.outcome}: {cooldown.detail}")
        verdict = self.health.verdict(endpoint.name)
        if verdict is not None:
            # Asked for by this very request: it is the pre-flight's own verdict, not a remembered one.
            fresh = verdict.since_s >= walk.started_s
            outcome = Outcome.PREFLIGHT_FAILED if fresh else Outcome.REMEMBERED_DOWN
            self._pass_over(attempt, outcome, verdict.detail)
        if not self.health.slot_free(deployment):
            self._pass_over(attempt, Outcome.NO_FREE_SLOT, f"all {deployment.parallel} are taken")
        if self._fleet.waits_for_another_model(deployment) and self._elsewhere(walk, endpoint.name):
            self._pass_over(attempt, Outcome.NO_FREE_SLOT, "its host is busy with a model that would have to make room")
        if not await self._fleet.reach(endpoint):
            down = self.health.verdict(endpoint.name)
            self._pass_over(attempt, Outcome.PREFLIGHT_FAILED, down.detail if down else "")
        if not walk.plan.may_load and self._fleet.is_local(deployment) and self._fleet.is_loaded(deployment) is False:
            self._pass_over(attempt, Outcome.NO_FREE_SLOT, "its model would have to load")
        attempt.connect_ms = (self._clock() - started) * 1000

    def _elsewhere(self, walk: Walk, host: str) -> bool:
        """Whether another host is left to try."""
        return any(self._fleet.endpoint(d).name != host and not self._fleet.is_out(d) for d in walk.remaining)

    async def _send(self, walk: Walk, deployment: Deployment, attempt: Attempt, started: float) -> Serving:
        plan = walk.plan
        if not self._ways.is_ready(deployment):
            try:
                async with asyncio.timeout(max(walk.ends_s - self._clock(), 0.0)):
                    await self.prepare(deployment)
            except TimeoutError:
                self._pass_over(attempt, Outcome.FIRST_TOKEN_TIMEOUT, "the way upstream was not ready yet")
        call, way = walk.call(deployment), self._ways.of(deployment)
        slot = self.health.take_slot(deployment)
        if slot is None:
            self._pass_over(attempt, Outcome.NO_FREE_SLOT, f"all {deployment.parallel} are taken")
        sent = self._clock()
        cold = self._is_cold(walk, deployment)
        attempt.way = way.name
        serving = Serving(
            deployment,
            attempt,
            way.stream(call),
            limits=self._limits,
            health=self.health,
            clock=self._clock,
            started_s=started,
            cap_s=walk.cap_s,
            is_local=self._fleet.is_local(deployment),
            prompt_tokens=plan.prompt_tokens,
            release=self._releaser(deployment, slot),
            usd_per_s=self._fleet.usd_per_s(deployment),
        )
        try:
            await self._first_token(walk, serving, cold=cold)
        except BaseException:  # also a client that leaves: the connection must not stay open
            await serving.aclose()
            raise
        took = self._clock() - sent
        self._fleet.first_token(deployment, cold=cold, took_s=took)
        return serving

    async def _first_token(self, walk: Walk, serving: Serving, *, cold: bool) -> None:
        deployment = serving.deployment
        left = max(walk.ends_s - self._clock(), 0.0)
        limit = left
        if self._fleet.is_local(deployment):
            limit = min(left, self._limits.cold_attempt_s if cold else self._limits.loaded_attempt_s)
        try:
            with serving.alarm.after(limit):
                await self._watched(serving)
        except TimeoutError:
            failure = UpstreamFailure(Outcome.FIRST_TOKEN_TIMEOUT, f"no first token within {limit:.1f} s")
            # Short rations say nothing about the deployment: it had less than a loaded model may take.
            await serving.fail(failure, cools=limit >= self._limits.loaded_attempt_s)
        except UpstreamFailure as failure:
            if failure.outcome is Outcome.CONNECT:
                self._fleet.lost(deployment, failure.detail)
            raise

    async def _watched(self, serving: Serving) -> None:
        """Waits for the first token; a local host that is silent meanwhile is looked at once more.

        A pooled connection to a host that fell asleep after its pre-flight shows nothing for as long as one waits.

        Raises:
            UpstreamFailure: Of the attempt; ``CONNECT`` where the host is not there any more.
        """
        deployment = serving.deployment
        if not self._fleet.is_local(deployment):
            await serving.until_first_token()
            return
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # a coroutine that awaits has one
        looking: asyncio.Task[None] | None = None
        is_lost = False

        async def look() -> None:
            nonlocal is_lost
            if not await self._fleet.reach(self._fleet.endpoint(deployment), afresh=True):
                is_lost = True
                task.cancel()

        def begin() -> None:
            nonlocal looking
            looking = loop.create_task(look())

        timer = loop.call_later(self._limits.connect_ms / 1000, begin)
        try:
            await serving.until_first_token()
            return
        except asyncio.CancelledError:
            if not is_lost or task.uncancel() > 0:  # somebody else's
                raise
        finally:
            timer.cancel()
            if looking is not None and not looking.done():
                looking.cancel()
        await serving.fail(UpstreamFailure(Outcome.CONNECT, "the host stopped answering after its pre-flight"))

    def _is_cold(self, walk: Walk, deployment: Deployment) -> bool:
        """Whether a local model must load first, or nobody knows; the first one at a host adds to the tier's limit."""
        if not self._fleet.is_local(deployment) or self._fleet.is_loaded(deployment):
            return False
        host = self._fleet.endpoint(deployment).name
        if host not in walk.cold_hosts:
            walk.cold_hosts.add(host)
            walk.deadline_s += self._limits.cold_extra_s
        self._fleet.loads(deployment)
        return True

    def _releaser(self, deployment: Deployment, slot: float) -> Callable[[], None]:
        return lambda: self.health.give_slot(deployment, slot)

    def _pass_over(self, attempt: Attempt, outcome: Outcome, detail: str) -> NoReturn:
        attempt.outcome, attempt.detail = outcome, detail[:500]
        self.health.count(attempt.deployment_id, outcome)
        raise UpstreamFailure(outcome, detail)

    def _forbid_local(self, *deployments: Deployment) -> None:
        local = [d.id for d in deployments if self._fleet.is_local(d)]
        if local:
            raise LocalNotAllowed(f"the plan forbids local deployments and holds {', '.join(local)}")


def _note_losers(plan: Plan, winner: Attempt | None, why: str) -> None:
    """Says in the record why an attempt was given up that nobody but the chain ended."""
    for attempt in plan.attempts:
        if attempt.outcome is Outcome.ABORTED and attempt is not winner and not attempt.detail:
            attempt.detail = why
