"""Hits are verified behind the answers: a fresh one is made, a deployment judges whether both say the same.

One at a time, within a budget a day, through the chain like any request, recorded like one (surface ``verify``). What
a deployment in the house may answer is judged in the house or not at all. Nothing waits for it, and it may be dropped
at any point: it only adds evidence, and takes wrong answers back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from classifier import Tier
from service.api.asking import call_of, plan_of
from service.api.exchange import CacheUse, Ending, Exchange
from service.cache.answers import AnswerCache, Found
from service.cache.judge import question, verdict
from service.cache.verified import Verified
from service.config import Configuration, Deployment
from service.config.cache import VerifySettings
from service.decisions.records import DecisionRecord
from service.errors import RequestError
from service.limits.state import SPEND, Claim, LimitState
from service.routing.constraints import Constraints, needs_of
from service.routing.decision import RouteDecision
from service.routing.request import CallerIdentity, ChatRequest
from service.upstream.collect import Answer
from service.upstream.interface import Attempt
from service.upstream.plan import Plan

log = logging.getLogger("autotier.cache")

SPENDER = "cache/verify"
"""Whose money it is: no caller can have this name."""
MOST_WAITING = 64
SYNC_S = 10.0
JUDGED_TOKENS = 1_000
"""Reserve for a judge that thinks before it answers."""


class Sender(Protocol):
    """The chain."""

    async def complete(self, plan: Plan) -> Answer: ...


class Records(Protocol):
    """What is needed of ``service.decisions.recorder.Recorder``."""

    def record(self, record: Callable[[], DecisionRecord]) -> None: ...


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit to be verified, or an ask that was nearly one.

    Attributes:
        ask: The ask that it answered.
        fresh: The fresh answer where there is one already (nearly a hit: it went upstream), else None.
    """

    asked: ChatRequest
    decision: RouteDecision
    ask: str
    found: Found
    fresh: str | None = None


class Verifier:
    """Verifies hits of one configuration in a task of its own. Event loop only.

    Args:
        configuration: The running configuration, with ``cache.verify``.
        judge: Its deployment, and the tier that it stands in.
        cache: The answers; one that is wrong is taken back.
        verified: Gets the verdicts.
        sender: The chain.
        state: Counts the money that is spent, beside that of callers.
        records: Get a record of each verification.
        chance: Gives numbers from 0 to 1, to choose the share.
    """

    def __init__(
        self,
        configuration: Configuration,
        judge: tuple[Tier, Deployment],
        cache: AnswerCache,
        verified: Verified,
        sender: Sender,
        state: LimitState,
        records: Records,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        assert configuration.cache.verify is not None
        self._configuration = configuration
        self._settings: VerifySettings = configuration.cache.verify
        self._tier, self._judge = judge
        self._cache = cache
        self.verified = verified
        self._sender = sender
        self._state = state
        self._records = records
        self._chance = chance
        self._constraints = Constraints(configuration)
        self._waiting: asyncio.Queue[Hit] = asyncio.Queue(MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._counts: Counter[str] = Counter()
        self._spent_usd = 0.0
        self._is_budget_said = False
        self._is_house_said = False

    def start(self) -> None:
        """Starts the task."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="autotier-verify")

    async def close(self) -> None:
        """Ends what is under way and drops what waits."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.verified.sync()

    def wants(self) -> bool:
        """Whether the next hit is of the share that is verified."""
        return self._chance() < self._settings.share

    def offer(self, hit: Hit) -> bool:
        """Takes a hit in, unless it may not be judged or too many wait; whether it was."""
        if not self._may_judge(hit):
            return False
        try:
            self._waiting.put_nowait(hit)
        except asyncio.QueueFull:
            self._counts["dropped_total"] += 1
            return False
        return True

    def snapshot(self) -> dict[str, float]:
        """For metrics: verdicts, what was not verified and why, money, and the share of wrong hits with its bound."""
        names = ("same_total", "wrong_total", "undecided_total", "failed_total", "dropped_total", "over_budget_total",
                 "kept_in_house_total", "not_allowed_total", "explored_total")  # fmt: skip
        tried, wrong = self.verified.totals()
        return {
            **{f"verify_{name}": float(self._counts[name]) for name in names},
            "verify_spent_usd_total": self._spent_usd,
            "verified_hits": float(tried),
            "false_hits": float(wrong),
            "false_hit_rate": wrong / tried if tried else 0.0,
            "false_hit_bound": self.verified.bound(),
        }

    def _may_judge(self, hit: Hit) -> bool:
        """What must stay in the house is judged in the house or not at all, and rights hold for the judge too."""
        if self._tier not in hit.asked.caller.tiers:
            self._counts["not_allowed_total"] += 1
            return False
        serving = (*hit.decision.chain, *hit.decision.stand_ins)
        local = self._configuration.is_local
        if local(self._judge) or not any(map(local, serving)):
            return True
        self._counts["kept_in_house_total"] += 1
        if not self._is_house_said:
            self._is_house_said = True
            log.warning(
                "the judge %s is outside: what a host in the house may answer is not verified by it", self._judge.id
            )
        return False

    async def _run(self) -> None:
        await self.verified.sync()
        while True:
            try:
                async with asyncio.timeout(SYNC_S):
                    hit = await self._waiting.get()
            except TimeoutError:
                await self.verified.sync()  # what other replicas found out
                continue
            try:
                await self._verify(hit)
            except Exception:  # a background task: it must go on, and say so
                self._counts["failed_total"] += 1
                log.exception("a hit could not be verified")
            await self.verified.sync()

    async def _verify(self, hit: Hit) -> None:
        estimate = self._estimate(hit)
        claim = Claim(SPEND, self._settings.budget_per_day, estimate)
        (standing,) = await self._state.take(SPENDER, (claim,))
        if standing.wait_s != 0:
            self._counts["over_budget_total"] += 1
            if not self._is_budget_said:
                log.warning("cache.verify.budget_per_day is used up: hits go unverified until tomorrow (UTC)")
            self._is_budget_said = True
            return
        self._is_budget_said = False
        exchange = Exchange("verify", caller=CallerIdentity(SPENDER))
        # No text of the caller's: what is kept of a prompt is kept, and deleted, under the caller's own name.
        exchange.decision = replace(hit.decision, view=None, conversation=None, assignment=None)
        exchange.cache = CacheUse("verify", hit.found.key, hit.found.age_s, hit.found.similarity)
        exchange.cache.group = hit.found.group
        try:
            same = await self._same(hit, exchange)
        finally:
            self._spent_usd += exchange.cost_usd
            await self._state.add(SPENDER, SPEND, exchange.cost_usd - estimate)
            self._record(exchange)
        await self._conclude(hit, same)

    async def _same(self, hit: Hit, exchange: Exchange) -> bool | None:
        """The judge's verdict; None where there is none, and why is counted."""
        try:
            fresh = hit.fresh if hit.fresh is not None else await self._fresh(hit, exchange)
            body = None if fresh is None else self._question(hit, fresh)
            plan = None if body is None else self._judging(hit, body, exchange)
            if plan is None:
                self._counts["undecided_total"] += 1
                return None
            answer = await self._sender.complete(plan)
        except RequestError as error:
            self._counts["failed_total"] += 1
            exchange.cache.status = "verify:failed"
            log.warning("a hit could not be verified: %s", str(error)[:200])
            return None
        same = verdict(answer.choices[0]["message"].get("content"))
        if same is None:
            self._counts["undecided_total"] += 1
        exchange.deployment_id = answer.deployment.id
        exchange.cache.status = f"verify:{ {True: 'same', False: 'wrong', None: 'undecided'}[same] }"
        return same

    async def _conclude(self, hit: Hit, same: bool | None) -> None:
        if same is None:
            return
        served = hit.fresh is None
        self._counts["same_total" if same else "wrong_total"] += 1
        self._counts["explored_total"] += not served
        self.verified.add(hit.found.group, hit.found.similarity, same=same)
        if not same and served:
            log.warning("a %s hit was wrong: its answer is taken back, with its neighbours", hit.found.kind)
            await self._cache.reject(hit.found.key)

    async def _fresh(self, hit: Hit, exchange: Exchange) -> str | None:
        """What the chain answers now; None where it is not whole."""
        answer = await self._sender.complete(self._asking(hit, exchange.attempts))
        text = answer.choices[0]["message"].get("content")
        return text if answer.finish_reason == "stop" and isinstance(text, str) and text.strip() else None

    def _question(self, hit: Hit, fresh: str) -> dict[str, Any] | None:
        kept = hit.found.entry.choices[0]["message"].get("content") or ""
        return question(hit.ask, kept, fresh, json_schema=self._judge.capabilities.json_schema)

    def _asking(self, hit: Hit, attempts: list[Attempt]) -> Plan:
        decision = hit.decision
        return Plan(
            tier=decision.tier,
            deployments=decision.chain,
            stand_ins=decision.stand_ins,
            call=lambda deployment: call_of(self._configuration, deployment, hit.asked.body),
            first_token_s=self._configuration.tiers[decision.tier].first_token_s,
            prompt_tokens=decision.tokens_at_least,
            local_allowed=decision.tier is not Tier.REASONING,
            hedge_allowed=False,
            attempts=attempts,
        )

    def _judging(self, hit: Hit, body: dict[str, Any], exchange: Exchange) -> Plan | None:
        """The judge's call, under the same constraints as any; None where they leave it out."""
        tokens = sum(len(message["content"]) for message in body["messages"])  # a token has a character at least
        needs = needs_of(
            {"messages": body["messages"]}, hit.asked.caller, tokens=tokens // 2, reserve=JUDGED_TOKENS, private=None
        )
        if self._judge not in self._constraints.of_tier(self._tier, needs).deployments:
            return None
        return plan_of(self._configuration, (self._tier, self._judge), body, exchange.attempts)

    def _estimate(self, hit: Hit) -> float:
        """US dollars that it may cost: the answer as long as the kept one, at the dearest prices of the chain."""
        usage = hit.found.entry.usage or (hit.decision.tokens, 500)
        answered = [] if hit.fresh is not None else hit.decision.chain
        fresh = max(
            (hit.decision.tokens * d.prices.input_per_mtok + usage[1] * d.prices.output_per_mtok for d in answered),
            default=0.0,
        )
        prices = self._judge.prices
        judged = (2 * usage[1] + 500) * prices.input_per_mtok + JUDGED_TOKENS * prices.output_per_mtok
        return (fresh + judged) / 1e6

    def _record(self, exchange: Exchange) -> None:
        total_ms = exchange.elapsed_ms
        ending: Ending = "answered" if exchange.deployment_id is not None else "failed"
        status = 200 if ending == "answered" else 503

        def made() -> DecisionRecord:
            # Without tokens: accounts must not take it for a request that another tier might have answered.
            record = exchange.record(ending, status, total_ms, self._configuration, None)
            return replace(record, prompt_tokens=None, completion_tokens=None)

        self._records.record(made)
