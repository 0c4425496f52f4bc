"""A request's way through its caller's limits."""

from __future__ import annotations

import asyncio

import pytest

from service.config.model import CallerLimits
from service.errors import TooManyRequests
from service.limits.limits import Admission, Allowances, Estimate, Used
from service.limits.state import ProcessState
from service.routing.request import CallerIdentity


class House:
    """One caller with limits, over one state."""

    def __init__(self, **limits: float) -> None:
        self.caller = CallerIdentity("ann", limits=CallerLimits.model_validate(limits))
        self.allowances = Allowances(ProcessState(lambda: 1_000_000_000.0))
        self.number = 0

    def admission(self) -> Admission:
        """A new request's."""
        self.number += 1
        return self.allowances.admission(self.caller, str(self.number))

    async def ended(self, admission: Admission, used: Used) -> None:
        """After its answer."""
        admission.settle(used)
        await self.allowances.close()


async def test_without_limits_nothing_is_counted_or_shown() -> None:
    """The default for a house costs nothing."""
    house = House()
    admission = house.admission()

    await admission.enter()
    await admission.claim(Estimate(10**9, 10**6))

    assert admission.headers == {}


async def test_requests_are_limited_and_headers_say_what_is_left() -> None:
    """OpenAI's header names; the refused one says when to come again."""
    house = House(requests_per_minute=2)
    first, second, third = house.admission(), house.admission(), house.admission()

    await first.enter()
    await second.enter()
    with pytest.raises(TooManyRequests, match="2 requests a minute") as refused:
        await third.enter()

    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert [one.headers["x-ratelimit-remaining-requests"] for one in (first, second, third)] == ["1", "0", "0"]
    assert refused.value.limit == "requests"
    assert refused.value.retry_after_s is not None


async def test_the_estimate_is_held_until_the_answer_tells() -> None:
    """Two estimates do not fit together; what the first did not use the second may."""
    house = House(tokens_per_minute=1000)
    first, second, third = house.admission(), house.admission(), house.admission()
    await first.enter()
    await first.claim(Estimate(800, 0))
    await second.enter()

    with pytest.raises(TooManyRequests, match="801 are used") as refused:
        await second.claim(Estimate(800, 0))
    await house.ended(second, Used())
    await house.ended(first, Used(100))
    await third.enter()
    await third.claim(Estimate(800, 0))

    assert refused.value.limit == "tokens"
    assert third.headers["x-ratelimit-remaining-tokens"] == "100"


async def test_what_can_never_fit_has_no_retry_after() -> None:
    """A request larger than the whole minute is told to shrink, not to wait."""
    house = House(tokens_per_minute=1000)
    admission = house.admission()
    await admission.enter()

    with pytest.raises(TooManyRequests, match="max_tokens") as refused:
        await admission.claim(Estimate(2000, 0))

    assert refused.value.retry_after_s is None


async def test_spent_is_spent() -> None:
    """After a day's dollars even a request that costs nothing is refused, before any work."""
    house = House(usd_per_day=0.5)
    first, second = house.admission(), house.admission()
    await first.enter()
    await first.claim(Estimate(10, 0.1))
    await house.ended(first, Used(10, 0.5))

    with pytest.raises(TooManyRequests) as refused:
        await second.enter()

    assert refused.value.limit == "spend"
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s > 60


async def test_only_so_many_at_once() -> None:
    """A third is refused, and let in the moment one has ended."""
    house = House(parallel=2)
    first, second, third = house.admission(), house.admission(), house.admission()
    await first.enter()
    await second.enter()

    with pytest.raises(TooManyRequests) as refused:
        await third.enter()
    await house.ended(third, Used())
    later = asyncio.create_task(third.enter())
    await asyncio.sleep(0.02)
    await house.ended(first, Used())
    await later

    assert refused.value.limit == "parallel"


async def test_an_admission_settles_once() -> None:
    """A second end neither gives back twice nor lets another in."""
    house = House(tokens_per_minute=1000, parallel=1)
    first = house.admission()
    await first.enter()
    await first.claim(Estimate(900, 0))

    await house.ended(first, Used(500))
    await house.ended(first, Used(0))
    second = house.admission()
    await second.enter()

    assert second.headers["x-ratelimit-remaining-tokens"] == "499"
