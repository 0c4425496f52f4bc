"""What the handlers share: the parts of one running configuration, and the life of a chat request through them.

``ChatGateway.answer`` reads like DESIGN's "life of a request": who, body, decision, chain, answer, record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from classifier import Tier
from service.api.auth import Authenticator
from service.api.body import check_messages, read_json
from service.api.caching import CachedReplies
from service.api.drain import ClientGone, Drain, Watch, unless
from service.api.exchange import Ending, Exchange
from service.api.header import headers_with
from service.api.stream import EventStream
from service.api.whole import WholeAnswer
from service.api.wire import Envelope, completion
from service.config import Configuration, Deployment
from service.decisions.records import DecisionRecord
from service.errors import DeploymentsFailed, RequestError, TooManyRequests, error_body
from service.limits.estimate import estimate_of
from service.limits.limits import Allowances, Estimate
from service.limits.queue import Slots
from service.metrics import Metrics
from service.routing.conversation import ConversationKeys, ConversationStore
from service.routing.decision import RouteDecision
from service.routing.fields import expressed
from service.routing.flow import Flow
from service.routing.request import HEADER_PREFIX, ChatRequest, chat_request
from service.upstream.collect import Answer
from service.upstream.interface import Call, Outcome
from service.upstream.plan import LocalNotAllowed, Plan
from service.upstream.serving import Stream

log = logging.getLogger("autotier.api")

OURS = HEADER_PREFIX.encode()


class ChainProtocol(Protocol):
    """What the gateway needs of ``service.upstream.chain.Chain``."""

    async def open(self, plan: Plan) -> Stream: ...

    async def complete(self, plan: Plan) -> Answer: ...

    def readiness(self) -> dict[Tier, bool]: ...

    def snapshot(self) -> dict[str, Any]: ...


class RecorderProtocol(Protocol):
    """What the gateway needs of ``service.decisions.recorder.Recorder``."""

    def record(self, record: Callable[[], DecisionRecord]) -> None: ...


class ShadowProtocol(Protocol):
    """What the gateway needs of ``service.learning.shadow.Shadow``."""

    def offer(self, decision_id: str, created_s: float, decision: RouteDecision, matrix: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Overload:
    """What keeps the service from collapse; outlives reloads.

    Attributes:
        allowances: What callers may still use.
        slots: Places at work and the queue for them.
        drain: Requests at work, and the end of the service.
    """

    allowances: Allowances
    slots: Slots
    drain: Drain


@dataclass(slots=True)
class ChatGateway:
    """Answers chat requests over one configuration.

    Attributes:
        configuration: The running configuration.
        flow: Decides.
        chain: Sends.
        recorder: Keeps records.
        holds: Keeps conversations' holds.
        keys: Conversation keys.
        authenticator: Knows callers.
        metrics: Counts.
        overload: Refuses and cuts.
        replies: Answers, from the cache or the chain.
        shadow: Asks a challenger behind the answer, or None.
    """

    configuration: Configuration
    flow: Flow
    chain: ChainProtocol
    recorder: RecorderProtocol
    holds: ConversationStore
    keys: ConversationKeys
    authenticator: Authenticator
    metrics: Metrics
    overload: Overload
    replies: CachedReplies
    shadow: ShadowProtocol | None = None

    async def read(self, request: Request, exchange: Exchange) -> ChatRequest:
        """Authenticates and reads a chat request.

        Raises:
            RequestError: As its parts do.
        """
        exchange.caller = self.authenticator.caller_of(request)
        body = await read_json(request, self.configuration.server)
        check_messages(body, self.configuration.server)
        exchange.request = chat_request(body, headers_with(request, OURS), exchange.caller)
        return exchange.request

    async def answer(self, request: Request, surface: str = "chat") -> Response:
        """The whole life of one chat request; never raises a RequestError."""
        exchange = Exchange(surface)
        watch: Watch | None = None
        try:
            asked = await self.read(request, exchange)
            watch = self.overload.drain.watch(lambda: _disconnected(request))
            reply = await unless(watch, self._reply(asked, exchange))
            if not isinstance(reply, Answer):
                return self._streamed(reply, exchange, asked, watch)
            watch.over()
            return self._whole(reply, exchange, asked)
        except (ClientGone, ClientDisconnect):
            self.finish(exchange, "aborted", 499)
            return Response(status_code=499)
        except LocalNotAllowed:
            log.exception("a plan for the reasoning tier held a local deployment")
            return self._refused(exchange, DeploymentsFailed("the reasoning tier refused a local deployment"), watch)
        except RequestError as error:
            return self._refused(exchange, error, watch)
        except Exception:  # the boundary of a request: a defect is logged, recorded, answered without its trace
            log.exception("%s: unexpected error", exchange.id)
            unexpected = RequestError("autotier failed on this request; its log has the trace")
            return self._refused(exchange, unexpected, watch)
        except BaseException:
            exchange.release()  # a defect, or the end of the process: what it took of the limits is given back
            raise

    async def dry_run(self, request: Request) -> RouteDecision:
        """What a chat request with this body would be decided as. It counts as a request of its caller's.

        Raises:
            RequestError: As a chat request would be refused.
        """
        exchange = Exchange("route")
        asked = await self.read(request, exchange)
        exchange.admission = self.overload.allowances.admission(asked.caller, exchange.id)
        try:
            await exchange.admission.enter()
            return await self.flow.decide(asked, dry_run=True)
        finally:
            exchange.release()

    async def _reply(self, asked: ChatRequest, exchange: Exchange) -> Stream | Answer:
        """The caller's limits, the decision, the cache, a place at work: the cheapest first.

        A kept answer counts as a request, but takes no tokens, no money and no place.
        """
        exchange.admission = self.overload.allowances.admission(asked.caller, exchange.id)
        await exchange.admission.enter()
        decision = exchange.decision = await self.flow.decide(asked)

        async def planned() -> Plan:
            assert exchange.admission is not None
            if exchange.admission.needs_estimate:
                await exchange.admission.claim(self._estimate(asked, decision))
            exchange.slot = await self.overload.slots.take()
            return self.plan(asked, decision, exchange)

        return await self.replies.reply(asked, exchange, planned)

    def _estimate(self, asked: ChatRequest, decision: RouteDecision) -> Estimate:
        reserve = self.configuration.limits.answer_reserve_tokens
        return estimate_of(asked.body, decision.tokens, decision.chain, reserve)

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
            hedge_allowed=decision.private is None,
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
        return WholeAnswer(body, exchange.headers())

    def _streamed(self, serving: Stream, exchange: Exchange, asked: ChatRequest, watch: Watch) -> Response:
        exchange.deployment_id = serving.deployment.id
        exchange.first_token_ms = exchange.elapsed_ms
        envelope = Envelope(exchange.completion_id, int(exchange.created_s), serving.deployment.id, asked.include_usage)
        slow_client_s = self.configuration.server.slow_client_s
        return EventStream(serving, exchange, envelope, watch, _Ends(self, asked), slow_client_s=slow_client_s)

    def _refused(self, exchange: Exchange, error: RequestError, watch: Watch | None) -> Response:
        if watch is not None:
            watch.over()
        self.finish(exchange, "failed" if exchange.attempts else "refused", error.status, error)
        return error_response(error, exchange.error_headers(error))

    def remember(self, exchange: Exchange, asked: ChatRequest, message: Mapping[str, Any]) -> None:
        """Stores the conversation's hold under its messages up to this answer."""
        assert exchange.decision is not None  # set before anything was sent
        key = self.keys.after(asked, message)
        self.holds.keep(key, asked.caller.name, str(exchange.decision.tier), exchange.id)

    def finish(self, exchange: Exchange, ending: Ending, status: int, error: RequestError | None = None) -> None:
        """Counts and records an exchange, once, whatever its end, and gives back what it took of the limits."""
        exchange.release()
        if isinstance(error, TooManyRequests) and error.limit is not None:
            self.metrics.limited.labels(exchange.caller.name if exchange.caller else "unknown", error.limit).inc()
        total_ms = exchange.elapsed_ms
        decision = exchange.decision
        tier = str(decision.tier) if decision else "none"
        count = self.metrics.count
        count(self.metrics.requests, tier, str(decision.reason) if decision else "none", ending)
        count(self.metrics.cache, tier, exchange.cache.status)
        if exchange.cache.source is not None:
            self.metrics.saved_usd.labels(tier).inc(exchange.cache.saved_usd)
            self.metrics.saved_s.labels(tier).inc(max(exchange.cache.saved_ms - total_ms, 0.0) / 1000)
        for attempt in exchange.attempts:
            count(self.metrics.attempts, attempt.deployment_id, str(attempt.outcome))
            if attempt.cost_usd:
                count(self.metrics.cost, attempt.deployment_id, amount=attempt.cost_usd)
            if attempt.outcome is Outcome.UNAUTHORIZED:
                log.error("%s: %s refused our key: %s", exchange.id, attempt.deployment_id, attempt.detail)
        if exchange.first_token_ms is not None:
            self.metrics.observe_first_token(tier, exchange.first_token_ms / 1000)
        if self.shadow is not None and decision is not None and exchange.request is not None:
            self.shadow.offer(exchange.id, exchange.created_s, decision, exchange.request.matrix)
        self.recorder.record(lambda: exchange.record(ending, status, total_ms, self.configuration, error, self.keys))


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
