"""Holds, slots and counters, under a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from service.config import Deployment, Limits
from service.upstream.health import Health
from service.upstream.interface import Outcome, UpstreamFailure


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """Nothing held."""
    return Health(Limits(), clock=clock)


def one(**changes: Any) -> Deployment:
    """A deployment."""
    return Deployment.model_validate(
        {"id": "one", "host": "h", "provider": "openai", "model": "m", "context": 8192, **changes}
    )


def test_failure_cools_for_the_configured_time(health: Health, clock: Clock) -> None:
    """One failure rests a deployment for 15 s, then it is free by itself."""
    health.failed(one(), UpstreamFailure(Outcome.SERVER_ERROR, "boom"))

    clock.now += 14.9
    assert health.cooldown(one()) is not None
    clock.now += 0.2
    assert health.cooldown(one()) is None


@pytest.mark.parametrize(("asked", "rest"), [(60.0, 60.0), (86_400.0, 900.0), (0.5, 0.5), (None, 15.0)])
def test_rate_limit_rests_as_long_as_the_host_asks(
    health: Health, clock: Clock, asked: float | None, rest: float
) -> None:
    """Retry-After decides, up to 15 minutes."""
    health.failed(one(), UpstreamFailure(Outcome.RATE_LIMITED, retry_after_s=asked))

    clock.now += rest - 0.1
    assert health.cooldown(one()) is not None
    clock.now += 0.2
    assert health.cooldown(one()) is None


@pytest.mark.parametrize("outcome", [Outcome.BAD_REQUEST, Outcome.CONTEXT, Outcome.TRUNCATED, Outcome.CAP])
def test_requests_own_faults_never_cool(health: Health, outcome: Outcome) -> None:
    """What the request did wrong says nothing about the deployment."""
    health.failed(one(), UpstreamFailure(outcome))

    assert health.cooldown(one()) is None


@pytest.mark.parametrize("outcome", [Outcome.UNAUTHORIZED, Outcome.MODEL_MISSING])
def test_operators_faults_cool_and_are_named(health: Health, outcome: Outcome) -> None:
    """A wrong key or a missing model rests the deployment and stands in the snapshot until it answers."""
    health.failed(one(), UpstreamFailure(outcome, "told"))

    assert health.cooldown(one()) is not None
    assert health.snapshot()["operator"] == {"one": f"{outcome}: told"}
    health.answered(one())
    assert health.snapshot()["operator"] == {}


def test_half_open_waits_for_a_prober_that_is_alive(health: Health, clock: Clock) -> None:
    """A hold that is over stays until the prober has ended it; a dead prober is not waited for."""
    health.prober_at_work()
    health.failed(one(), UpstreamFailure(Outcome.SERVER_ERROR))
    clock.now += 15.1
    health.prober_at_work()

    assert health.cooldown(one()) is not None
    assert health.half_open() == ["one"]
    clock.now += 5.1
    assert health.cooldown(one()) is None


def test_probed_deployment_is_free(health: Health, clock: Clock) -> None:
    """The prober's word ends a half-open hold at once."""
    health.prober_at_work()
    health.failed(one(), UpstreamFailure(Outcome.SERVER_ERROR))
    clock.now += 15.1

    health.rested("one")

    assert health.cooldown(one()) is None


def test_slots_are_counted(health: Health) -> None:
    """No more than ``parallel`` at once; 0 is without limit."""
    slot = health.take_slot(one(parallel=1))
    assert slot is not None
    assert health.take_slot(one(parallel=1)) is None
    assert health.take_slot(one(parallel=0)) is not None

    health.give_slot(one(), slot)

    assert health.running("one") == 1


def test_rest_of_a_generation_is_learnt(health: Health, clock: Clock) -> None:
    """The expected rest is the mean length less the time so far, and never nothing while it runs."""
    slot = health.take_slot(one())
    assert slot is not None
    clock.now += 20.0
    health.give_slot(one(), slot)
    health.take_slot(one())
    clock.now += 5.0

    assert health.rest_of_running_s("one") == pytest.approx(15.0)
    clock.now += 60.0
    assert health.rest_of_running_s("one") == 0.5
    assert health.rest_of_running_s("other") == 0.0


def test_retry_after_is_that_of_the_first_to_come_back(health: Health) -> None:
    """The client may come back when one of them is free; unknown where one is not held at all."""
    health.failed(one(), UpstreamFailure(Outcome.RATE_LIMITED, retry_after_s=40.0))
    health.host_down("away", "gone")

    assert health.retry_after_s({"one": "here", "two": "away"}) == 15
    assert health.retry_after_s({"one": "here"}) == 40
    assert health.retry_after_s({"one": "here", "three": "here"}) is None
