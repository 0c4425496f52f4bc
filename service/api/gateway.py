"""What the handlers share: the parts of one running configuration, and the life of a chat request through them.

``ChatGateway.answer`` reads like DESIGN's "life of a request": who, body, decision, chain, answer, record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from classifier import Tier
from service.api.auth import Authenticator
from service.api.body import check_messages, read_json
from service.api.exchange import Ending, Exchange
from service.api.stream import EventStream
from service.api.wire import Envelope, completion
from service.config import Configuration, Deployment
from service.decisions.records import DecisionRecord
from service.errors import DeploymentsFailed, RequestError, error_body
from service.metrics import Metrics
from service.routing.conversation import ConversationKeys
from service.routing.decision import RouteDecision
from service.routing.fields import expressed
from service.routing.flow import Flow
from service.routing.request import ChatRequest, chat_request
from service.upstream.collect import Answer
from service.upstream.interface import Call, Outcome
from service.upstream.plan import LocalNotAllowed, Plan
from service.upstream.serving import Serving

log = logging.getLogger("autotier.api")

T = TypeVar("T")


class ChainProtocol(Protocol):
    """What the gateway needs of ``service.upstream.chain.Chain``."""

    async def open(self, plan: Plan) -> Serving: ...

    async def complete(self, plan: Plan) -> Answer: ...

    def readiness(self) -> dict[Tier, bool]: ...

    def snapshot(self) -> dict[str, Any]: ...


class RecorderProtocol(Protocol):
    """What the gateway needs of ``service.decisions.recorder.Recorder``."""

    def record(self, record: Callable[[], DecisionRecord]) -> None: ...

    def keep(self, key: str, caller: str, tier: str, decision_id: str) -> None: ...


class ClientGone(Exception):
    """The client closed its connection before the answer."""


@dataclass(slots=True)
class ChatGateway:
    """Answers chat requests over one configuration.

    Attributes:
        configuration: The running configuration.
        flow: Decides.
        chain: Sends.
        recorder: Keeps records and holds.
        keys: Conversation keys.
        authenticator: Knows callers.
        metrics: Counts.
    """

    configuration: Configuration
    flow: Flow
    chain: ChainProtocol
    recorder: RecorderProtocol
    keys: ConversationKeys
    authenticator: Authenticator
    metrics: Metrics

    async def read(self, request: Request, exchange: Exchange) -> ChatRequest:
        """Authenticates and reads a chat request.

        Raises:
            RequestError: As its parts do.
        """
        exchange.caller = self.authenticator.caller_of(request)
        body = await read_json(request, self.configuration.server)
        check_messages(body, self.configuration.server)
        exchange.request = chat_request(body, request.headers, exchange.caller)
        return exchange.request

    async def answer(self, request: Request, surface: str = "chat") -> Response:
        """The whole life of one chat request; never raises a RequestError."""
        exchange = Exchange(surface)
        gone: asyncio.Task[Any] | None = None
        try:
            asked = await self.read(request, exchange)
            exchange.decision = await self.flow.decide(asked)
            plan = self.plan(asked, exchange.decision, exchange)
            gone = asyncio.ensure_future(_disconnected(request))
            if asked.stream:
                serving = await _unless(gone, self.chain.open(plan))
                return self._streamed(serving, exchange, asked, gone)
            answer = await _unless(gone, self.chain.complete(plan))
            gone.cancel()
            return self._whole(answer, exchange, asked)
        except ClientGone:
            self.finish(exchange, "aborted", 499)
            return Response(status_code=499)
        except LocalNotAllowed:
            log.exception("a plan for the reasoning tier held a local deployment")
            return self._refused(exchange, DeploymentsFailed("the reasoning tier refused a local deployment"), gone)
        except RequestError as error:
            return self._refused(exchange, error, gone)

    def plan(self, request: ChatRequest, decision: RouteDecision, exchange: Exchange) -> Plan:
        """What the chain gets: each deployment's own body, the tier's limit, the rule for local ones."""

        def call(deployment: Deployment) -> Call:
            body, dropped = expressed(request.body, deployment)
            if dropped:
                exchange.dropped_fields[deployment.id] = list(dropped)
            address = self.configuration.address_of(deployment)
            return Call(deployment, address, self.configuration.key_of(deployment), body, dropped)

        return Plan(
            tier=decision.tier,
            deployments=decision.chain,
            stand_ins=decision.stand_ins,
            call=call,
            first_token_s=self.configuration.tiers[decision.tier].first_token_s,
            prompt_tokens=decision.tokens_at_least,
            local_allowed=decision.tier is not Tier.REASONING,
            attempts=exchange.attempts,
            notes=exchange.notes,
        )

    def _whole(self, answer: Answer, exchange: Exchange, asked: ChatRequest) -> Response:
        exchange.deployment_id = answer.deployment.id
        exchange.usage = answer.usage
        exchange.finish_reason = answer.finish_reason
        exchange.first_token_ms = exchange.elapsed_ms
        self.remember(exchange, asked, answer.choices[0]["message"])
        envelope = Envelope(exchange.completion_id, int(exchange.created_s), answer.deployment.id, False)
        body = completion(answer.choices, exchange.counted_usage(), envelope, answer.system_fingerprint)
        self.finish(exchange, "answered", 200)
        return Response(body, media_type="application/json", headers=exchange.headers())

    def _streamed(
        self, serving: Serving, exchange: Exchange, asked: ChatRequest, gone: asyncio.Future[Any]
    ) -> Response:
        exchange.deployment_id = serving.deployment.id
        exchange.first_token_ms = exchange.elapsed_ms
        envelope = Envelope(exchange.completion_id, int(exchange.created_s), serving.deployment.id, asked.include_usage)
        return EventStream(serving, exchange, envelope, gone, _Ends(self, asked))

    def _refused(self, exchange: Exchange, error: RequestError, gone: asyncio.Future[Any] | None) -> Response:
        if gone is not None:
            gone.cancel()
        self.finish(exchange, "failed" if exchange.attempts else "refused", error.status, error)
        return error_response(error, exchange.error_headers(error))

    def remember(self, exchange: Exchange, asked: ChatRequest, message: Mapping[str, Any]) -> None:
        """Stores the conversation's hold under its messages up to this answer."""
        assert exchange.decision is not None  # set before anything was sent
        key = self.keys.after(asked, message)
        self.recorder.keep(key, asked.caller.name, str(exchange.decision.tier), exchange.id)

    def finish(self, exchange: Exchange, ending: Ending, status: int, error: RequestError | None = None) -> None:
        """Counts and records an exchange, once, whatever its end."""
        total_ms = exchange.elapsed_ms
        decision = exchange.decision
        tier = str(decision.tier) if decision else "none"
        self.metrics.requests.labels(tier, str(decision.reason) if decision else "none", ending).inc()
        for attempt in exchange.attempts:
            self.metrics.attempts.labels(attempt.deployment_id, str(attempt.outcome)).inc()
            if attempt.cost_usd:
                self.metrics.cost.labels(attempt.deployment_id).inc(attempt.cost_usd)
            if attempt.outcome is Outcome.UNAUTHORIZED:
                log.error("%s: %s refused our key: %s", exchange.id, attempt.deployment_id, attempt.detail)
        if exchange.first_token_ms is not None:
            self.metrics.first_token.labels(tier).observe(exchange.first_token_ms / 1000)
        self.recorder.record(lambda: exchange.record(ending, status, total_ms, self.configuration, error))


@dataclass(frozen=True, slots=True)
class _Ends:
    """How a stream reports its end (``service.api.stream.Ends``)."""

    gateway: ChatGateway
    asked: ChatRequest

    def remember(self, exchange: Exchange, message: Mapping[str, Any]) -> None:
        self.gateway.remember(exchange, self.asked, message)

    def finish(self, exchange: Exchange, ending: Ending, error: RequestError | None = None) -> None:
        self.gateway.finish(exchange, ending, 200, error)


def error_response(error: RequestError, headers: Mapping[str, str]) -> Response:
    """An error in OpenAI's format."""
    body = orjson.dumps(error_body(error))
    return Response(body, status_code=error.status, media_type="application/json", headers=dict(headers))


async def _disconnected(request: Request) -> None:
    """Returns when the client has gone. The body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _unless(gone: asyncio.Future[Any], work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, or ClientGone if the client leaves first; ``work`` is then cancelled and awaited."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
