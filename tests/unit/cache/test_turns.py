"""One replica after the other asks the same: an answer that came between looking and asking is found."""

from __future__ import annotations

from classifier import Tier
from service.api.caching import CachedReplies
from service.api.exchange import Exchange
from service.cache.answers import AnswerCache
from service.cache.entry import Entry
from service.cache.memory import MemoryAnswers
from service.routing.decision import Reason, RouteDecision
from service.routing.request import CallerIdentity, ChatRequest
from service.upstream.collect import Answer
from service.upstream.plan import Plan
from tests.unit.cache.test_verifying import ASK, Hosts, configuration


class EndsBetween(MemoryAnswers):
    """Another replica keeps its answer and ends its turn just before this one gets its own."""

    async def take(self, key: str) -> bool:
        choices = [{"index": 0, "message": {"role": "assistant", "content": "theirs"}, "finish_reason": "stop"}]
        await self.put(key, Entry(key, "s" * 32, "lightweight-mini", "dec_1", 0.0, 1.0, 0.0, choices, (20, 10)))
        return True


async def test_an_answer_that_another_replica_has_just_kept_is_not_asked_for_again() -> None:
    """The turn is free, because the other one is ready: nothing is sent upstream."""
    settings, hosts = configuration(), Hosts()
    replies = CachedReplies(settings, AnswerCache(EndsBetween(100_000, 60), settings.cache), hosts)  # type: ignore[arg-type]
    exchange = Exchange("chat")
    chain = tuple(settings.tiers[Tier.LIGHTWEIGHT].deployments)
    exchange.decision = RouteDecision(Tier.LIGHTWEIGHT, Reason.CLASSIFIER, 0.9, chain, tokens=20)
    body = {"messages": [{"role": "user", "content": ASK}]}
    asked = ChatRequest(body, CallerIdentity("anna"), "auto", "default", None, False, False, None, "use", False)

    async def planned() -> Plan:
        raise AssertionError("asked again")

    reply = await replies.reply(asked, exchange, planned)

    assert isinstance(reply, Answer)
    assert reply.choices[0]["message"]["content"] == "theirs"
    assert exchange.cache.status == "shared"
    assert hosts.plans == []
