"""The life of a request up to its chain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import TIERS, Tier
from service.config import Configuration
from service.config.seed import seed_configuration
from service.errors import (
    ConstraintUnmet,
    ContextLengthExceeded,
    RequestError,
    TierEmpty,
    TierForbidden,
    UnsupportedField,
)
from service.routing.conversation import ConversationKeys
from service.routing.decision import Reason, RouteDecision
from service.routing.flow import Flow
from service.routing.look import Looker
from service.routing.request import CallerIdentity, chat_request
from tests.fakes import FixedClassifier, MemoryHolds, without

KEYS = ConversationKeys(b"0123456789abcdef")
SECRET = "here is my key ghp_" + "a1B2" * 9
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}


class House:
    """A flow with a clock and a classifier that can be told what to say."""

    def __init__(self, configuration: Configuration | None = None, tier: Tier = Tier.LIGHTWEIGHT) -> None:
        self.configuration = configuration or seed_configuration()
        self.spoken = FixedClassifier(tier)
        self.holds = MemoryHolds()
        self.now_s = 1000.0
        looker = Looker(self.spoken, {}, self.configuration, KEYS)  # type: ignore[arg-type]
        self.flow = Flow(self.configuration, looker, self.holds, lambda: self.now_s)

    async def decide(
        self,
        text: str | list[dict[str, Any]] = "hello",
        *,
        caller: CallerIdentity | None = None,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> RouteDecision:
        """The decision on one request."""
        messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
        body = {"model": "auto", "messages": messages, **fields}
        return await self.flow.decide(chat_request(body, headers or {}, caller or CallerIdentity()))


@pytest.mark.parametrize("tier", TIERS)
async def test_the_classifier_names_the_tier_and_its_whole_chain_stands(tier: Tier) -> None:
    """Without constraints the chain is the group in its order."""
    house = House(tier=tier)

    decision = await house.decide()

    assert (decision.tier, decision.reason) == (tier, Reason.CLASSIFIER)
    assert [d.id for d in decision.chain] == [d.id for d in house.configuration.tiers[tier].deployments]
    assert decision.confidence == pytest.approx(0.9)


async def test_a_classifier_that_fails_degrades_loudly(caplog: pytest.LogCaptureFixture) -> None:
    """The request goes on as coding, with the reason, and the log says why."""
    house = House()
    house.spoken.error = RuntimeError("broken weights")

    decision = await house.decide()

    assert (decision.tier, decision.reason) == (Tier.CODING, Reason.DEGRADED)
    assert "degraded" in caplog.text


async def test_local_deployments_of_higher_tiers_that_may_serve_stand_in() -> None:
    """In their order; the constraints hold for them too, and a cloud never stands in."""
    house = House(tier=Tier.LIGHTWEIGHT)
    above = [d for d in house.configuration.tiers.coding.deployments if house.configuration.is_local(d)]

    plain = await house.decide()
    seeing = await house.decide([IMAGE, {"role": "user", "content": "hello"}])
    lonely = await house.decide("hi", caller=CallerIdentity(tiers=(Tier.LIGHTWEIGHT,)))

    assert above
    assert [d.id for d in plain.stand_ins] == [d.id for d in above]
    assert {d.id for d in seeing.stand_ins} <= {d.id for d in above if d.capabilities.images}
    assert lonely.stand_ins == ()


async def test_images_move_auto_up_and_name_what_was_displaced() -> None:
    """A tier without a deployment that sees images is left upwards by capability."""
    decision = await House().decide([IMAGE])

    assert decision.reason in (Reason.CAPABILITY, Reason.CLASSIFIER, Reason.DEFAULT)
    assert all(d.capabilities.images for d in decision.chain)
    assert {r.constraint for r in decision.removed} <= {Reason.CAPABILITY}


async def test_context_skips_deployments_within_the_tier_first() -> None:
    """A prompt too long for the local models keeps its tier where another deployment of it holds it."""
    decision = await House().decide("word " * 20_000)

    assert decision.tier is Tier.LIGHTWEIGHT
    assert decision.displaced is None
    assert all(d.context > 20_000 for d in decision.chain)
    assert {r.constraint for r in decision.removed} == {Reason.CONTEXT}


async def test_what_fits_nowhere_is_a_context_error() -> None:
    """Longer than every deployment: 400 with OpenAI's code."""
    with pytest.raises(ContextLengthExceeded) as caught:
        await House().decide("word " * 30, max_tokens=100_000_000)

    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


async def test_the_reserve_is_the_clients_limit_or_ours() -> None:
    """5,000 tokens without max_tokens stay on an 8k deployment; with max_tokens 4,000 they do not."""
    house = House(tier=Tier.CODING)

    small = await house.decide("word " * 5_000)
    large = await house.decide("word " * 5_001, max_tokens=4_000)

    assert small.chain[0].id == house.configuration.tiers.coding.deployments[0].id
    assert large.chain[0].id != small.chain[0].id


async def test_a_private_request_stays_in_the_house() -> None:
    """A key in the prompt keeps only local deployments; reasoning gives way to the highest local tier."""
    house = House(tier=Tier.REASONING)

    decision = await house.decide(SECRET)

    assert (decision.tier, decision.reason, decision.displaced) == (Tier.CODING, Reason.PRIVACY, Tier.REASONING)
    assert all(house.configuration.is_local(d) for d in decision.chain)


async def test_an_explicit_reasoning_with_privacy_is_refused() -> None:
    """The client's own tier is never changed by privacy: 400 that names it."""
    with pytest.raises(ConstraintUnmet, match="privacy"):
        await House().decide(headers={"x-autotier-privacy": "local"}, model="reasoning")


async def test_rights_are_a_403_that_names_the_tier() -> None:
    """A caller without the right never gets a lower tier instead."""
    guest = CallerIdentity("guest", tiers=(Tier.LIGHTWEIGHT, Tier.CODING), override=True, admin=False)

    with pytest.raises(TierForbidden, match="reasoning"):
        await House(tier=Tier.REASONING).decide(caller=guest)
    with pytest.raises(TierForbidden, match="reasoning"):
        await House().decide(caller=guest, model="reasoning-tier")


async def test_an_empty_reasoning_tier_says_which_key_to_set() -> None:
    """503 with the fix, for auto and for an override."""
    house = House(without(seed_configuration(), Tier.REASONING), tier=Tier.REASONING)

    with pytest.raises(TierEmpty, match="OPENAI_API_KEY"):
        await house.decide()
    with pytest.raises(TierEmpty, match="OPENAI_API_KEY"):
        await house.decide(model="reasoning")


async def test_an_explicit_tier_does_not_move_by_capability() -> None:
    """A field that no deployment of the named tier can express is a 400 with that field."""
    configuration = seed_configuration()
    local = configuration.tiers.coding.deployments[:1]
    only_local = configuration.tiers.coding.model_copy(update={"deployments": local})
    house = House(
        configuration.model_copy(update={"tiers": configuration.tiers.model_copy(update={"coding": only_local})})
    )

    with pytest.raises(UnsupportedField) as caught:
        await house.decide(model="coding", logprobs=True)

    assert caught.value.param == "logprobs"


async def test_a_follow_up_keeps_its_tier_from_the_store() -> None:
    """The hold stored after the answer decides the short follow-up."""
    house = House(tier=Tier.LIGHTWEIGHT)
    house.spoken.continues = 0.9
    turns = [
        {"role": "user", "content": "Why does it deadlock?"},
        {"role": "assistant", "content": "Two locks."},
        {"role": "user", "content": "yes, go on"},
    ]
    house.holds.keep(KEYS.by_history("local", turns[:2]), "local", "reasoning", "dec_1")

    decision = await house.decide(turns)

    assert (decision.tier, decision.reason, decision.recomputed) == (Tier.REASONING, Reason.CONVERSATION, False)


async def test_an_unknown_history_is_classified_again() -> None:
    """On a replica without the store the asks in the history give the tier, and the record says so."""
    house = House(tier=Tier.CODING)
    turns = [
        {"role": "user", "content": "Refactor it"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "and the second one?"},
    ]

    decision = await house.decide(turns)

    assert (decision.tier, decision.recomputed) == (Tier.CODING, True)


async def test_a_repeat_keeps_its_tier_and_a_refresh_goes_up() -> None:
    """The same request is a repeat; with refresh within 120 s it is a regeneration, one tier up."""
    house = House()

    first = await house.decide()
    repeat = await house.decide()
    refreshed = await house.decide(headers={"x-autotier-cache": "refresh"})
    house.now_s += 121
    later = await house.decide(headers={"x-autotier-cache": "refresh"})

    assert [d.tier for d in (first, repeat, refreshed, later)] == [
        Tier.LIGHTWEIGHT, Tier.LIGHTWEIGHT, Tier.CODING, Tier.LIGHTWEIGHT,
    ]  # fmt: skip
    assert refreshed.is_regeneration


async def test_stand_ins_are_local_and_never_for_reasoning() -> None:
    """A lightweight request may fall on a loaded coder at home; a reasoning request on nothing local."""
    house = House()

    light = await house.decide()
    hard = await house.decide("hm", model="reasoning")

    assert light.stand_ins
    assert all(house.configuration.is_local(d) for d in light.stand_ins)
    assert hard.stand_ins == ()


@settings(max_examples=150, deadline=None)
@given(
    tier=st.sampled_from(TIERS),
    model=st.sampled_from(["auto", "auto:eco", "auto:quality", *TIERS]),
    text=st.sampled_from(["hi", SECRET, "word " * 9_000, ""]),
    image=st.booleans(),
    private=st.booleans(),
    fields=st.dictionaries(
        st.sampled_from(["n", "logprobs", "tools", "user"]), st.sampled_from([1, 2, [], True]), max_size=2
    ),
)
async def test_reasoning_never_holds_a_local_deployment(
    tier: Tier, model: str, text: str, image: bool, private: bool, fields: dict[str, Any]
) -> None:
    """Whatever is asked: no local deployment for reasoning, and nothing but local ones for what is private."""
    house = House(tier=tier)
    content: Any = [{"type": "text", "text": text}, *(IMAGE["content"] if image else [])]
    headers = {"x-autotier-privacy": "local"} if private else {}
    try:
        decision = await house.decide([{"role": "user", "content": content}], headers=headers, model=model, **fields)
    except RequestError:
        return  # refused: nothing is sent anywhere

    local = [house.configuration.is_local(d) for d in (*decision.chain, *decision.stand_ins)]
    assert decision.chain
    assert not (decision.tier is Tier.REASONING and any(local))
    assert not (decision.private and not all(local))
