"""Between decision and chain: a kept answer, somebody else's call under way, or a call whose answer is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson

from service.api.exchange import CacheUse, Exchange
from service.api.replay import Head, Kept, Shared, chunks_of
from service.api.verifying import Hit, Verifier
from service.cache.answers import AnswerCache, Found, Looked
from service.cache.eligible import Bypass, is_keepable, request_bypass
from service.cache.entry import Entry
from service.cache.flight import Flight, Flights, NotOpened, Reader
from service.cache.key import Key, NotCanonical, Question, key_of
from service.config import Configuration, Deployment
from service.errors import RequestError
from service.routing.decision import Reason, RouteDecision
from service.routing.fields import ANSWER_LIMITS, changes_answer
from service.routing.request import ChatRequest
from service.upstream.collect import Answer, Collector, Tally
from service.upstream.interface import Chunk, UpstreamFailure
from service.upstream.plan import Plan
from service.upstream.serving import Stream

log = logging.getLogger("autotier.cache")

_POLL_S = 0.25


class Sender(Protocol):
    """What makes and walks the plan of a request that nobody has answered yet."""

    async def open(self, plan: Plan) -> Stream: ...

    async def complete(self, plan: Plan) -> Answer: ...


class CachedReplies:
    """Answers requests of one configuration, from the cache where that is allowed.

    Args:
        configuration: The running configuration.
        cache: Kept answers; None: switched off.
        sender: The chain.
        verifier: Compares a share of hits with fresh answers; None: nobody does.
    """

    def __init__(
        self,
        configuration: Configuration,
        cache: AnswerCache | None,
        sender: Sender,
        verifier: Verifier | None = None,
    ) -> None:
        self._configuration = configuration
        self.cache = cache
        self._sender = sender
        self.verifier = verifier
        self._flights: Flights[Head, list[Chunk]] = Flights()
        self._texts: dict[str, str] = {}
        self._groups = {name: f"group:{group}" for group, names in configuration.cache.groups.items() for name in names}

    async def reply(
        self, asked: ChatRequest, exchange: Exchange, planned: Callable[[], Awaitable[Plan]]
    ) -> Stream | Answer:
        """A stream whose first token is there, or the whole answer for a client that asked for no stream.

        Args:
            asked: The request.
            exchange: Its decision is made; gets what the cache did.
            planned: Takes a place at work and makes the plan; called only where something is sent.

        Raises:
            RequestError: As ``planned`` and the chain do.
        """
        assert exchange.decision is not None
        key = self._key(asked, exchange.decision, exchange)
        if self.cache is None or key is None:
            plan = await planned()
            return await (self._sender.open(plan) if asked.stream else self._sender.complete(plan))
        exchange.cache.key = self.cache.place(key)
        refresh = asked.cache == "refresh" or exchange.decision.is_regeneration
        looked: Looked | None = None
        compares = self._compares(key, exchange.decision)
        while True:
            if not refresh:
                kept = self._served(await self.cache.find(key), key, asked, exchange)
                if kept is not None:
                    return kept if asked.stream else kept.answer()
            place = self.cache.place(key)
            reader = None if refresh else self._flights.join(place)
            if reader is None and compares and not refresh and looked is None:
                explores = self.verifier is not None and self.verifier.wants()
                looked = await self.cache.find_similar(key, explores=explores)
                kept = self._served(looked.found, key, asked, exchange)
                if kept is not None:
                    return kept if asked.stream else kept.answer()
                reader = self._flights.join(place)  # somebody may have begun meanwhile
            exchange.cache.status = "refresh" if refresh else "miss" if reader is None else "shared"
            leads = reader is None
            if reader is None:
                reader = self._lead(key, asked, exchange, planned, looked or Looked())
            try:
                return await self._read(reader, asked, exchange)
            except NotOpened as error:
                if leads and isinstance(error.__cause__, RequestError):
                    raise error.__cause__ from None
            except UpstreamFailure:
                pass  # somebody else's stream died; this client has seen nothing of it

    def snapshot(self) -> dict[str, float]:
        """The cache's numbers, ``joined_total`` (requests that shared another's call under way), and the verifier's."""
        if self.cache is None:
            return {}
        verified = self.verifier.snapshot() if self.verifier is not None else {}
        return {**self.cache.snapshot(), "joined_total": float(self._flights.joined), **verified}

    async def close(self) -> None:
        """Ends the verification of hits."""
        if self.verifier is not None:
            await self.verifier.close()

    async def reject(self, used: Mapping[str, Any]) -> bool:
        """Takes back the answer of a request that it did not help; whether there was one.

        Args:
            used: The record's `CacheUse`.
        """
        key, group = used.get("key"), used.get("group")
        if self.cache is None or not isinstance(key, str):
            return False
        if self.cache.verified is not None and isinstance(group, str) and used.get("source") is not None:
            self.cache.verified.add(group, float(used.get("similarity") or 1.0), same=False)
        return await self.cache.reject(key)

    async def _read(self, reader: Reader[Head, list[Chunk]], asked: ChatRequest, exchange: Exchange) -> Stream | Answer:
        shared = Shared(reader, exchange)
        try:
            shared.head = await reader.opened()
            if asked.stream:
                return shared
            answer = await shared.answer()
        except BaseException:
            await shared.aclose()
            raise
        await shared.aclose()
        return answer

    def _served(self, found: Found | None, key: Key, asked: ChatRequest, exchange: Exchange) -> Kept | None:
        """A kept answer that may be given, of which a share is verified behind it."""
        kept = None if found is None else self._kept(found, exchange)
        if found is None or kept is None:
            return None
        verifier, decision = self.verifier, exchange.decision
        if verifier is not None and decision is not None and found.kind != "exact" and verifier.wants():
            verifier.offer(Hit(asked, decision, key.ask, found))
        return kept

    def _kept(self, found: Found, exchange: Exchange, status: str = "") -> Kept | None:
        entry = found.entry
        assert exchange.decision is not None
        serving = (*exchange.decision.chain, *exchange.decision.stand_ins)
        deployment = next((d for d in serving if d.id == entry.deployment_id), None)
        if deployment is None:
            return None
        exchange.cache = CacheUse(
            status=status or f"hit-{found.kind}",
            key=found.key,
            age_s=found.age_s,
            similarity=found.similarity if found.kind == "semantic" else None,
            saved_usd=entry.cost_usd,
            saved_ms=entry.took_ms,
            source=entry.decision_id,
            group=found.group or None,
        )
        return Kept(entry, deployment)

    def _lead(
        self,
        key: Key,
        asked: ChatRequest,
        exchange: Exchange,
        planned: Callable[[], Awaitable[Plan]],
        looked: Looked,
    ) -> Reader[Head, list[Chunk]]:
        place = exchange.cache.key
        assert place is not None
        assert self.cache is not None
        answers = self.cache.answers

        async def work(flight: Flight[Head, list[Chunk]]) -> None:
            if exchange.cache.status == "miss":
                kept = await self._elsewhere(key, exchange)
                if kept is not None:
                    flight.opened(Head(None, kept.deployment, exchange.attempts))
                    flight.add(kept.chunks())
                    return
            try:
                await call(flight)
            except BaseException:
                answers.give(place)
                raise

        async def call(flight: Flight[Head, list[Chunk]]) -> None:
            try:
                plan = await planned()
            except RequestError as error:  # the caller's own limits: no reason for anybody else
                raise NotOpened from error
            if not asked.stream:
                answer = await self._sender.complete(plan)
                flight.opened(Head(None, answer.deployment, plan.attempts))
                flight.add(chunks_of(answer.choices, answer.usage, answer.system_fingerprint))
                return
            stream = await self._sender.open(plan)
            try:
                flight.opened(Head(stream, stream.deployment, plan.attempts))
                async for batch in stream:
                    flight.add(batch)
            finally:
                await stream.aclose()

        async def after(flight: Flight[Head, list[Chunk]]) -> None:
            try:
                if exchange.cache.source is None:
                    await self._keep(key, flight, exchange, looked, asked)
            finally:
                answers.give(place)

        return self._flights.lead(place, work, after)

    async def _elsewhere(self, key: Key, exchange: Exchange) -> Kept | None:
        """The answer that another replica is being given now; None where it is this one's turn to ask."""
        cache, decision = self.cache, exchange.decision
        assert cache is not None
        assert decision is not None
        loop = asyncio.get_running_loop()
        until = loop.time() + self._configuration.tiers[decision.tier].first_token_s
        while True:
            is_ours = await cache.answers.take(cache.place(key))
            found = await cache.find(key)  # also where it is ours: the one before may have ended since the last look
            if found is not None:
                return self._kept(found, exchange, "shared")
            if is_ours or loop.time() >= until:
                return None
            await asyncio.sleep(_POLL_S)

    def _compares(self, key: Key, decision: RouteDecision) -> bool:
        """Whether similar asks are looked for. What a local deployment may answer is embedded in the house."""
        assert self.cache is not None
        leaves = not any(self._configuration.is_local(d) for d in (*decision.chain, *decision.stand_ins))
        return self.cache.compares(key, leaves_house=leaves)

    async def _keep(
        self, key: Key, flight: Flight[Head, list[Chunk]], exchange: Exchange, looked: Looked, asked: ChatRequest
    ) -> None:
        head = flight.head
        assert head is not None
        assert self.cache is not None
        if head.stream is not None and head.stream.deployment.id != head.deployment.id:
            return  # two models' words in one answer
        collector, tally = Collector(), Tally()
        for chunk in (chunk for batch in flight.batches for chunk in batch):
            collector.add(chunk)
            tally.add(chunk)
        choices = collector.choices()
        if not is_keepable(choices):
            return
        entry = Entry(
            exact=key.exact,
            scope=key.scope,
            deployment_id=head.deployment.id,
            decision_id=exchange.id,
            created_s=exchange.created_s,
            took_ms=exchange.elapsed_ms,
            cost_usd=sum(attempt.cost_usd for attempt in head.attempts),
            choices=choices,
            usage=(tally.usage.prompt_tokens, tally.usage.completion_tokens) if tally.usage else None,
            fingerprint=tally.system_fingerprint,
        )
        await self.cache.keep(key, entry, looked.vector)
        if looked.almost is not None and self.verifier is not None and exchange.decision is not None:
            fresh = str(choices[0]["message"]["content"])
            self.verifier.offer(Hit(asked, exchange.decision, key.ask, looked.almost, fresh))

    def _key(self, asked: ChatRequest, decision: RouteDecision, exchange: Exchange) -> Key | None:
        """The request's key, or None where it goes past the cache, for the reason that the exchange gets."""
        if self.cache is None:
            return None
        fields = {k: v for k, v in asked.body.items() if k != "messages" and changes_answer(k, v)}
        bypass = self._bypass(asked, decision, fields)
        if bypass is None:
            limit = next((fields.pop(name) for name in ANSWER_LIMITS[::-1] if name in fields), None)
            fields.pop(ANSWER_LIMITS[0], None)
            serving = tuple(self._text(d) for d in (*decision.chain, *decision.stand_ins))
            owner = self._groups.get(asked.caller.name, f"caller:{asked.caller.name}")
            try:
                return key_of(
                    Question(owner, str(decision.tier), serving, asked.messages, {**fields, "answer_limit": limit})
                )
            except NotCanonical:
                bypass = Bypass.ATTACHMENT
        exchange.cache.status = f"bypass:{bypass}"
        return None

    def _bypass(self, asked: ChatRequest, decision: RouteDecision, fields: Mapping[str, Any]) -> Bypass | None:
        settings = self._configuration.cache
        if asked.cache == "bypass":
            return Bypass.ASKED
        if decision.private is not None:
            return Bypass.PRIVATE
        if decision.reason is Reason.DEGRADED:
            return Bypass.DEGRADED
        if decision.reason is Reason.EXPERIMENT:
            return Bypass.EXPERIMENT
        if decision.tier not in settings.tiers:
            return Bypass.TIER
        sent = {**fields, "temperature": asked.body.get("temperature")}
        return request_bypass(asked.messages, sent, max_temperature=settings.max_temperature)

    def _text(self, deployment: Deployment) -> str:
        """All that is configured about a deployment and changes its answers."""
        text = self._texts.get(deployment.id)
        if text is None:
            shown = deployment.model_dump(mode="json", include={"id", "provider", "model", "context", "think", "add"})
            shown["address"] = self._configuration.address_of(deployment)
            text = self._texts[deployment.id] = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS).decode()
        return text
