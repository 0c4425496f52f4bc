"""The third stage in operation: a local deployment is asked for the tier where the classifier is unsure.

One attempt through the chain, within a deadline, under the caller's rights and the request's privacy, with a record of
its own (surface ``judge``) that has no word of the prompt. Whatever goes wrong is counted by what it was, and the
classifier's own word stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self

from classifier import Tier, view_of
from classifier.judged import doubt, with_judge
from service.api.asking import deployment_of, plan_of
from service.api.exchange import Ending, Exchange
from service.config import Configuration, Deployment
from service.config.judge import JudgeSettings
from service.decisions.records import DecisionRecord
from service.errors import RequestError
from service.metrics import Metrics
from service.routing.constraints import Constraints, needs_of
from service.routing.judge import ANSWER_TOKENS, named_tier, tier_question
from service.routing.look import Look
from service.routing.request import CallerIdentity, ChatRequest
from service.upstream.collect import Answer
from service.upstream.interface import Outcome
from service.upstream.plan import Plan

log = logging.getLogger("autotier.routing")

ASKER = "classifier/judge"
"""In whose name it is asked: no caller can have it."""

MOST_AT_ONCE = 4
"""Questions of one process under way: more would stand in the way of the answers."""


class Sender(Protocol):
    """The chain."""

    async def complete(self, plan: Plan) -> Answer: ...


class Records(Protocol):
    """What is needed of ``service.decisions.recorder.Recorder``."""

    def record(self, record: Callable[[], DecisionRecord]) -> None: ...


class TierJudge:
    """Asks the deployment of ``classifier.judge``. Event loop only.

    Args:
        configuration: The running configuration, with ``classifier.judge``.
        settings: That key.
        sender: The chain.
        records: Get a record of each question.
        metrics: Count the questions by result.
    """

    def __init__(
        self, configuration: Configuration, settings: JudgeSettings, sender: Sender, records: Records, metrics: Metrics
    ) -> None:
        self._configuration = configuration
        self._settings = settings
        self._tier, deployment = deployment_of(configuration, settings.deployment)
        self._judge = unthinking(deployment)
        self._constraints = Constraints(configuration)
        self._sender = sender
        self._records = records
        self._metrics = metrics
        self._running = 0

    @classmethod
    def of(cls, configuration: Configuration, sender: Sender, records: Records, metrics: Metrics) -> Self | None:
        """The configured judge; None where there is none."""
        settings = configuration.classifier.judge
        return None if settings is None else cls(configuration, settings, sender, records, metrics)

    async def judged(self, request: ChatRequest, look: Look, matrix: Sequence[Sequence[float]]) -> Look:
        """See `service.routing.judge.Judge`."""
        before = look.classification
        if before is None or doubt(before, matrix) <= self._settings.bound:
            return look
        body = tier_question(look.view, json_schema=self._judge.capabilities.json_schema)
        if not self._may_ask(request, look, body):
            return self._left(look, "not_allowed")
        if self._running >= MOST_AT_ONCE:
            return self._left(look, "busy")
        self._running += 1
        try:
            said, result = await self._word(body, f"{before.tier} with {before.confidence:.2f}")
        finally:
            self._running -= 1
        if said is None:
            return self._left(look, result)
        after = with_judge(before, said, self._settings.accuracy, matrix)
        self._count("agreed" if after.tier is before.tier else "changed")
        return replace(look, classification=after)

    def _may_ask(self, request: ChatRequest, look: Look, body: dict[str, Any]) -> bool:
        """The constraints hold for the question as for any request: rights, privacy, capability, context."""
        tokens = view_of(body["messages"]).tokens
        needs = needs_of(body, request.caller, tokens=tokens, reserve=ANSWER_TOKENS, private=look.private)
        return self._judge.id in {d.id for d in self._constraints.of_tier(self._tier, needs).deployments}

    async def _word(self, body: dict[str, Any], classified: str) -> tuple[Tier | None, str]:
        """The tier that it names, or None and why; recorded in every case, also where the client has gone."""
        exchange = Exchange("judge", caller=CallerIdentity(ASKER))
        said, result = None, "aborted"
        try:
            said, result = await self._asked(body, exchange)
            return said, result
        finally:
            exchange.notes.append(f"the classifier says {classified}, the judge {said or f'nothing ({result})'}")
            self._record(exchange, result)

    async def _asked(self, body: dict[str, Any], exchange: Exchange) -> tuple[Tier | None, str]:
        plan = plan_of(self._configuration, (self._tier, self._judge), body, exchange.attempts, may_load=False)
        try:
            async with asyncio.timeout(self._settings.deadline_ms / 1000):
                answer = await self._sender.complete(plan)
        except TimeoutError:
            for attempt in exchange.attempts:
                attempt.detail = attempt.detail or f"no word within {self._settings.deadline_ms} ms"
            return None, "late"
        except RequestError as error:
            outcome = exchange.attempts[-1].outcome if exchange.attempts else "failed"
            log.warning("the judge gave no word: %s", str(error)[:200])
            return None, str(outcome)
        except Exception:  # the judge advises: its failure degrades loudly, it ends no request
            log.exception("the judge failed")
            return None, "failed"
        exchange.deployment_id, exchange.usage = answer.deployment.id, answer.usage
        exchange.finish_reason = answer.finish_reason
        said = named_tier(answer.choices[0]["message"].get("content"))
        return said, "answered" if said is not None else "no_tier"

    def _left(self, look: Look, result: str) -> Look:
        """The classifier's word stands."""
        self._count(result)
        return look

    def _count(self, result: str) -> None:
        self._metrics.judge.labels(result).inc()

    def _record(self, exchange: Exchange, result: str) -> None:
        ending: Ending = "answered" if exchange.deployment_id is not None else "failed"
        status = {"answered": 200, "no_tier": 200, "late": 504, "aborted": 499}.get(result, 503)
        if result == "aborted":
            ending = "aborted"
            self._count(result)
        for attempt in exchange.attempts:
            self._metrics.attempts.labels(attempt.deployment_id, str(attempt.outcome)).inc()
            if attempt.cost_usd:
                self._metrics.cost.labels(attempt.deployment_id).inc(attempt.cost_usd)
            if attempt.outcome is Outcome.UNAUTHORIZED:
                log.error("%s: %s refused our key: %s", exchange.id, attempt.deployment_id, attempt.detail)
        total_ms = exchange.elapsed_ms
        self._records.record(lambda: exchange.record(ending, status, total_ms, self._configuration, None))


def unthinking(deployment: Deployment) -> Deployment:
    """The deployment with Ollama's thinking off, as it is asked for a tier; other hosts have no such switch of ours."""
    return deployment.model_copy(update={"think": False}) if deployment.provider.startswith("ollama") else deployment
