"""What is verified, with whose money, and where: the task beside the requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from classifier import Tier
from service.api.verifying import MOST_WAITING, SPENDER, Hit, Verifier
from service.cache.answers import AnswerCache, Found
from service.cache.entry import Entry
from service.cache.judge import JudgeError
from service.cache.ledger import MemoryLedger
from service.cache.memory import MemoryAnswers
from service.cache.verified import Verified
from service.config import Configuration
from service.config.seed import seed_document
from service.decisions.records import DecisionRecord
from service.errors import DeploymentsFailed
from service.limits.state import SPEND, Claim, ProcessState
from service.routing.decision import Reason, RouteDecision
from service.routing.request import CallerIdentity, ChatRequest
from service.upstream.collect import Answer
from service.upstream.interface import Attempt, Outcome
from service.upstream.plan import Plan

ASK = "How do I undo my last commit in Git?"
PLACE = "p" * 32
SCOPE = "caller:anna/lightweight/en"


def configuration(judge: str = "coding-local", **verify: Any) -> Configuration:
    """The shipped one with a judge."""
    document = seed_document()
    for host in document["hosts"].values():
        host.pop("key", None)
    document.pop("callers", None)
    document["cache"] = {"verify": {"judge": judge, "share": 1.0, **verify}}
    return Configuration.model_validate(yaml.safe_load(yaml.safe_dump(document)))


class Hosts:
    """Stands where the chain stands: answers, and judges by a word of the test's.

    Attributes:
        plans: What was sent.
        same: The judge's verdicts.
        usd: What each call costs.
        gate: Calls wait for it.
    """

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.same: bool | None = True
        self.usd = 0.01
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def complete(self, plan: Plan) -> Answer:
        """An answer of the plan's first deployment."""
        self.plans.append(plan)
        await self.gate.wait()
        if self.fails:
            raise DeploymentsFailed("all failed")
        deployment = plan.deployments[0]
        body = plan.call(deployment).body
        is_judge = "answer_a" in body["messages"][-1]["content"]
        text = json.dumps({"same": self.same}) if is_judge else "Use git reset."
        attempt = Attempt(len(plan.attempts), deployment.id, Outcome.ANSWERED, cost_usd=self.usd)
        plan.attempts.append(attempt)
        message = {"role": "assistant", "content": text}
        return Answer(deployment, attempt, [{"index": 0, "message": message, "finish_reason": "stop"}])


class Rig:
    """A verifier with one kept answer."""

    def __init__(self, settings: Configuration, tier: Tier = Tier.LIGHTWEIGHT) -> None:
        self.settings = settings
        self.hosts = Hosts()
        self.records: list[DecisionRecord] = []
        self.state = ProcessState()
        error = JudgeError("j:m", 100, 0, 100, 0)
        self.verified = Verified({}, frozenset(), 0.05, error, MemoryLedger())
        self.cache = AnswerCache(MemoryAnswers(100_000, 60), settings.cache, None, self.verified)
        assert settings.cache.verify is not None
        judge = next(found for found in settings.deployments() if found[1].id == settings.cache.verify.judge)
        self.verifier = Verifier(
            settings, judge, self.cache, self.verified, self.hosts, self.state, self, chance=lambda: 0.0
        )
        message = {"role": "assistant", "content": "Use git reset --soft."}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        self.entry = Entry("e" * 32, "s" * 32, "lightweight-mini", "dec_1", 0.0, 1.0, 0.0, choices, (20, 10), ask=ASK)
        body = {"messages": [{"role": "user", "content": ASK}]}
        caller = CallerIdentity("anna")
        self.asked = ChatRequest(body, caller, "auto", "default", None, False, False, None, "use", False)
        chain = settings.tiers[tier].deployments
        self.decision = RouteDecision(tier, Reason.CLASSIFIER, 0.9, tuple(chain), tokens=20)

    def record(self, record: Callable[[], DecisionRecord]) -> None:
        """See `Records`."""
        self.records.append(record())

    def hit(self, fresh: str | None = None, similarity: float = 0.8) -> Hit:
        """A semantic hit, or nearly one."""
        found = Found(self.entry, PLACE, "semantic", 5.0, similarity, SCOPE)
        return Hit(self.asked, self.decision, ASK, found, fresh)

    async def verify(self, *hits: Hit) -> None:
        """Lets the task do all of them."""
        await self.cache.answers.put(PLACE, self.entry)
        self.verifier.start()
        for hit in hits:
            self.verifier.offer(hit)
        done = ("same_total", "wrong_total", "undecided_total", "failed_total", "over_budget_total")
        async with asyncio.timeout(10):
            while sum(self.verifier.snapshot()[f"verify_{name}"] for name in done) < len(hits):
                await asyncio.sleep(0.005)
        await self.verifier.close()


async def test_a_hit_is_held_against_a_fresh_answer() -> None:
    """Made by the request's own chain, judged by the configured deployment; the verdict counts for its scope."""
    rig = Rig(configuration())

    await rig.verify(rig.hit())

    fresh, judged = rig.hosts.plans
    assert fresh.deployments == rig.decision.chain
    assert not fresh.hedge_allowed
    assert [d.id for d in judged.deployments] == ["coding-local"]
    shown = json.loads(judged.call(judged.deployments[0]).body["messages"][1]["content"])
    assert shown == {"question": ASK, "answer_a": "Use git reset --soft.", "answer_b": "Use git reset."}
    (standing,) = rig.verified.standings()
    assert (standing.scope, standing.verified, standing.wrong) == (SCOPE, 1, 0)
    assert await rig.cache.answers.get(PLACE) is not None


async def test_a_wrong_hit_is_taken_back() -> None:
    """And counted with its rate and bound."""
    rig = Rig(configuration())
    rig.hosts.same = False

    await rig.verify(rig.hit())

    assert await rig.cache.answers.get(PLACE) is None
    numbers = rig.verifier.snapshot()
    assert (numbers["verified_hits"], numbers["false_hits"], numbers["false_hit_rate"]) == (1, 1, 1)
    assert numbers["false_hit_bound"] == 1


async def test_nearly_a_hit_needs_the_judge_alone() -> None:
    """Its fresh answer is there; where it differs, nothing was served and nothing is taken back."""
    rig = Rig(configuration())
    rig.hosts.same = False

    await rig.verify(rig.hit(fresh="Use git revert.", similarity=0.5))

    assert len(rig.hosts.plans) == 1
    assert await rig.cache.answers.get(PLACE) is not None
    assert rig.verified.totals() == (1, 1)


async def test_each_verification_is_recorded_without_a_word_of_the_prompt() -> None:
    """Under a name that no caller can have, with what it cost; the caller's text stays under the caller's name."""
    rig = Rig(configuration())

    await rig.verify(rig.hit())

    (record,) = rig.records
    assert (record.surface, record.caller, record.outcome) == ("verify", SPENDER, "answered")
    assert record.cost_usd == pytest.approx(0.02)
    assert record.messages is None
    assert record.features is None
    assert record.conversation is None
    assert record.prompt_tokens is None
    assert record.decision["cache"]["status"] == "verify:same"
    assert len(record.attempts) == 2


async def test_the_days_money_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """Once it is spent nothing is sent, which is said once; what callers may spend is not touched."""
    rig = Rig(configuration(budget_per_day=0.05))
    rig.hosts.usd = 0.03

    await rig.verify(rig.hit(), rig.hit(), rig.hit())

    assert len(rig.hosts.plans) == 2
    assert rig.verifier.snapshot()["verify_over_budget_total"] == 2
    assert rig.verifier.snapshot()["verify_spent_usd_total"] == pytest.approx(0.06)
    assert len([r for r in caplog.records if "budget_per_day" in r.getMessage()]) == 1
    (standing,) = await rig.state.take("anna", (Claim(SPEND, 1.0, 0.0),))
    assert standing.used == 0


async def test_what_a_host_in_the_house_may_answer_is_not_judged_outside() -> None:
    """A judge in a cloud gets requests of clouds only."""
    rig = Rig(configuration("reasoning-cloud"))

    assert not rig.verifier.offer(rig.hit())
    assert rig.verifier.snapshot()["verify_kept_in_house_total"] == 1

    outside = Rig(configuration("reasoning-cloud"), Tier.REASONING)
    assert outside.verifier.offer(outside.hit())


def test_a_caller_without_the_right_to_the_judges_tier_is_not_judged_there() -> None:
    """Constraints hold here too."""
    rig = Rig(configuration())
    caller = CallerIdentity("anna", tiers=(Tier.LIGHTWEIGHT,))
    rig.asked = replace(rig.asked, caller=caller)

    assert not rig.verifier.offer(rig.hit())
    assert rig.verifier.snapshot()["verify_not_allowed_total"] == 1


@pytest.mark.parametrize("fails", [True, False], ids=["hosts fail", "no verdict"])
async def test_without_a_verdict_nothing_is_concluded(fails: bool) -> None:
    """The answer stays, the task goes on."""
    rig = Rig(configuration())
    rig.hosts.fails, rig.hosts.same = fails, None

    await rig.verify(rig.hit(), rig.hit())

    assert rig.verified.totals() == (0, 0)
    assert await rig.cache.answers.get(PLACE) is not None
    assert len(rig.records) == 2
    assert {r.outcome for r in rig.records} == ({"failed"} if fails else {"answered"})


async def test_too_many_are_dropped_and_the_end_waits_for_none() -> None:
    """The queue has an end, and closing ends what is under way."""
    rig = Rig(configuration())
    rig.hosts.gate.clear()
    rig.verifier.start()
    offered = [rig.verifier.offer(rig.hit()) for _ in range(MOST_WAITING + 5)]
    await asyncio.sleep(0.02)

    async with asyncio.timeout(2):
        await rig.verifier.close()

    assert offered.count(False) == 5
    assert rig.verifier.snapshot()["verify_dropped_total"] == 5
    assert len(rig.hosts.plans) == 1
    (standing,) = await rig.state.take(SPENDER, (Claim(SPEND, 10.0, 0.0),))
    assert standing.used == 0
