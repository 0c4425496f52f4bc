"""When the judge is asked, what comes of its word, and of its silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from classifier import TIERS, Classification, Tier, view_of
from service.api.judging import ASKER, MOST_AT_ONCE, TierJudge
from service.config import Configuration
from service.config.seed import seed_document
from service.decisions.records import DecisionRecord
from service.errors import DeploymentsFailed
from service.metrics import Metrics
from service.routing.look import Look
from service.routing.request import CallerIdentity, ChatRequest
from service.upstream.collect import Answer
from service.upstream.interface import Attempt, Outcome
from service.upstream.plan import Plan

MATRIX = ((0.0, 1.0, 4.0), (10.0, 0.0, 4.0), (60.0, 40.0, 0.0))
UNSURE = (0.5, 0.3, 0.2)


def configuration(change: Callable[[dict[str, Any]], None] = lambda _: None, **judge: Any) -> Configuration:
    """The shipped one with a judge."""
    document = seed_document()
    for host in document["hosts"].values():
        host.pop("key", None)
    document.pop("callers", None)
    document["classifier"] = {"judge": {"deployment": "lightweight-mini", **judge}}
    change(document)
    return Configuration.model_validate(yaml.safe_load(yaml.safe_dump(document)))


class Host:
    """Stands where the chain stands.

    Attributes:
        text: What it answers.
        plans: What was sent.
        error: Raised instead of an answer.
        outcome: Of its attempts.
        gate: Answers wait for it.
    """

    def __init__(self, text: str = '{"tier": "coding"}') -> None:
        self.text = text
        self.plans: list[Plan] = []
        self.error: Exception | None = None
        self.outcome = Outcome.ANSWERED
        self.gate = asyncio.Event()
        self.gate.set()

    async def complete(self, plan: Plan) -> Answer:
        """An answer of the plan's deployment."""
        self.plans.append(plan)
        attempt = Attempt(0, plan.deployments[0].id, Outcome.ABORTED)
        plan.attempts.append(attempt)
        await self.gate.wait()
        attempt.outcome = self.outcome
        if self.error is not None:
            raise self.error
        message = {"role": "assistant", "content": self.text}
        return Answer(plan.deployments[0], attempt, [{"index": 0, "message": message, "finish_reason": "stop"}])


class Rig:
    """A judge in front of a host."""

    def __init__(self, settings: Configuration | None = None, text: str = '{"tier": "coding"}') -> None:
        self.host = Host(text)
        self.records: list[DecisionRecord] = []
        self.metrics = Metrics()
        judge = TierJudge.of(settings or configuration(), self.host, self, self.metrics)
        assert judge is not None
        self.judge = judge

    def record(self, record: Callable[[], DecisionRecord]) -> None:
        """See `Records`."""
        self.records.append(record())

    async def ask(
        self,
        probabilities: tuple[float, float, float] = UNSURE,
        text: str = "Which of the two?",
        private: str | None = None,
        tiers: tuple[Tier, ...] = TIERS,
    ) -> Classification:
        """What is said of a request in the end."""
        messages = [{"role": "user", "content": text}]
        caller = CallerIdentity("anna", tiers=tiers)
        request = ChatRequest({"messages": messages}, caller, "auto", "default", None, False, False, None, "use", False)
        known = dict(zip(TIERS, probabilities, strict=True))
        tier = max(TIERS, key=known.__getitem__)
        runner_up = max((t for t in TIERS if t is not tier), key=known.__getitem__)
        before = Classification(tier, known[tier], known, runner_up, 5, "small-1", 2)
        look = await self.judge.judged(request, Look(view_of(text), before, "", private, None, "key"), MATRIX)
        assert look.classification is not None
        if look.classification.stage != 3:
            assert look.classification is before
        return look.classification

    def counted(self) -> dict[str, float]:
        """Questions by result."""
        samples = [s for metric in self.metrics.judge.collect() for s in metric.samples]
        return {s.labels["result"]: s.value for s in samples if s.name.endswith("_total")}


def test_without_the_key_there_is_no_judge() -> None:
    """It is off as shipped."""
    settings = configuration(lambda d: d["classifier"].update(judge=None))

    assert TierJudge.of(settings, Host(), Rig(), Metrics()) is None


async def test_an_unsure_request_is_put_to_it_once() -> None:
    """One deployment, no hedge, no load of its model, thinking off, the fixed question."""
    rig = Rig()

    after = await rig.ask()

    (plan,) = rig.host.plans
    assert [d.id for d in plan.deployments] == ["lightweight-mini"]
    assert (plan.stand_ins, plan.hedge_allowed, plan.may_load) == ((), False, False)
    call = plan.call(plan.deployments[0])
    assert call.deployment.think is False
    assert json.loads(call.body["messages"][1]["content"]) == {"request": "Which of the two?"}
    assert (after.stage, after.probabilities[Tier.CODING] > 0.6) == (3, True)
    assert rig.counted() == {"changed": 1}


async def test_a_sure_request_is_not_put_to_it() -> None:
    """The bound is a share of the matrix's greatest cost."""
    rig = Rig(configuration(bound=0.03))

    assert (await rig.ask((0.95, 0.049, 0.001))).stage == 2
    assert (await rig.ask((0.0, 0.5, 0.5))).stage == 3
    assert len(rig.host.plans) == 1


async def test_it_may_agree() -> None:
    """Then the tier stays, surer than before."""
    rig = Rig(configuration(bound=0.0), text='{"tier": "reasoning"}')

    after = await rig.ask((0.1, 0.3, 0.6))

    assert after.tier is Tier.REASONING
    assert after.confidence > 0.6
    assert rig.counted() == {"agreed": 1}


@pytest.mark.parametrize("accuracy", [0.34, 0.8, 0.99])
async def test_its_word_weighs_as_much_as_it_is_right(accuracy: float) -> None:
    """One that guesses changes next to nothing."""
    after = await Rig(configuration(accuracy=accuracy)).ask()

    assert after.probabilities[Tier.CODING] == pytest.approx(
        0.3 * accuracy / (0.3 * accuracy + 0.7 * (1 - accuracy) / 2)
    )


async def test_each_question_is_recorded_without_a_word_of_the_prompt() -> None:
    """A record of its own, in nobody's name, with the attempt."""
    rig = Rig()

    await rig.ask(text="My secret plan: which of the two?")

    (record,) = rig.records
    assert (record.surface, record.caller, record.outcome, record.status) == ("judge", ASKER, "answered", 200)
    assert [a.outcome for a in record.attempts] == ["answered"]
    assert record.decision["order_notes"] == ["the classifier says lightweight with 0.50, the judge coding"]
    assert (record.tier, record.features, record.messages) == (None, None, None)
    assert "secret" not in json.dumps(record.decision)
    assert (
        'autotier_attempts_total{deployment="lightweight-mini",outcome="answered"} 1.0' in rig.metrics.text().decode()
    )


async def test_a_late_judge_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """At its deadline the classifier's word stands, and the attempt says why it ended."""
    rig = Rig(configuration(deadline_ms=30))
    rig.host.gate.clear()

    after = await rig.ask()

    assert after.stage == 2
    assert rig.counted() == {"late": 1}
    assert rig.records[0].outcome == "failed"
    assert rig.records[0].attempts[0].detail == "no word within 30 ms"


@pytest.mark.parametrize(
    "outcome", [Outcome.COOLING_DOWN, Outcome.PREFLIGHT_FAILED, Outcome.NO_FREE_SLOT, Outcome.SERVER_ERROR]
)
async def test_a_judge_that_cannot_be_had_is_counted_by_what_it_was(outcome: Outcome) -> None:
    """Resting, gone, full or broken: never a failed request."""
    rig = Rig()
    rig.host.outcome, rig.host.error = outcome, DeploymentsFailed("Every deployment failed.")

    assert (await rig.ask()).stage == 2
    assert rig.counted() == {str(outcome): 1}
    assert rig.records[0].attempts[0].outcome == str(outcome)


async def test_a_defect_of_ours_is_no_failed_request_either(caplog: pytest.LogCaptureFixture) -> None:
    """It is in the log with its trace."""
    rig = Rig()
    rig.host.error = ZeroDivisionError("a defect")

    assert (await rig.ask()).stage == 2
    assert rig.counted() == {"failed": 1}
    assert "a defect" in caplog.text


@pytest.mark.parametrize("text", ["coding", '{"tier": "hard"}', "", '{"simulated": true}'])
async def test_a_word_that_is_none_is_left(text: str) -> None:
    """It answered, and said no tier."""
    rig = Rig(text=text)

    assert (await rig.ask()).stage == 2
    assert rig.counted() == {"no_tier": 1}
    assert rig.records[0].outcome == "answered"


async def test_a_private_request_is_put_to_it() -> None:
    """It stands in the house."""
    assert (await Rig().ask(private="keys")).stage == 3


async def test_a_caller_without_its_tier_does_not_get_it_asked() -> None:
    """Rights hold for the question too."""
    rig = Rig()

    assert (await rig.ask(tiers=(Tier.CODING, Tier.REASONING))).stage == 2
    assert rig.counted() == {"not_allowed": 1}
    assert not rig.host.plans
    assert not rig.records


async def test_a_question_that_does_not_fit_is_not_asked() -> None:
    """Constraints hold: an ask of 4,000 Chinese characters does not fit a context of 2,048."""
    small = configuration(lambda d: d["tiers"]["lightweight"]["deployments"][0].update(context=2048))
    rig = Rig(small)

    assert (await rig.ask(text="为什么" * 3_000)).stage == 2
    assert rig.counted() == {"not_allowed": 1}


async def test_few_questions_run_at_once() -> None:
    """More than these would stand in the way of the answers."""
    rig = Rig()
    rig.host.gate.clear()
    waiting = [asyncio.create_task(rig.ask()) for _ in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)

    beyond = await rig.ask()
    rig.host.gate.set()
    within = await asyncio.gather(*waiting)

    assert beyond.stage == 2
    assert [c.stage for c in within] == [3] * MOST_AT_ONCE
    assert rig.counted() == {"busy": 1, "changed": MOST_AT_ONCE}
    assert (await rig.ask()).stage == 3


async def test_a_client_that_leaves_ends_the_question() -> None:
    """And it is recorded as aborted."""
    rig = Rig()
    rig.host.gate.clear()
    asking = asyncio.create_task(rig.ask())
    await asyncio.sleep(0.01)

    asking.cancel()
    await asyncio.wait((asking,))

    assert asking.cancelled()
    assert (rig.records[0].outcome, rig.records[0].status) == ("aborted", 499)
    assert rig.counted() == {"aborted": 1}


async def test_a_host_without_schemas_is_asked_for_an_object() -> None:
    """Its capabilities decide, so that the constraint does not take it out."""
    plain = configuration(
        lambda d: d["tiers"]["lightweight"]["deployments"][0].update(capabilities={"json_schema": False})
    )
    rig = Rig(plain)

    assert (await rig.ask()).stage == 3
    body = rig.host.plans[0].call(rig.host.plans[0].deployments[0]).body
    assert body["response_format"] == {"type": "json_object"}
