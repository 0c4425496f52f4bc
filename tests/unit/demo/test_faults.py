"""Names and parameters of the simulated faults."""

from __future__ import annotations

import asyncio

import pytest

from service.demo.hosts.faults import NO_FAULT, BadFault, FaultName, FaultState, parse_fault

DESIGN_NAMES = ("down", "black-hole", "hang", "cut", "garbage", "429", "500", "context", "cold")


@pytest.mark.parametrize("name", DESIGN_NAMES)
def test_every_public_name_of_the_demo_is_a_fault(name: str) -> None:
    """The names that `demo --fault HOST=FAULT` documents are understood."""
    assert parse_fault(name).name == name


def test_refused_is_another_word_for_down() -> None:
    """The fault matrix calls a closed port refused, the demo calls it down."""
    assert parse_fault("refused") == parse_fault("down")


def test_parameters_are_read() -> None:
    """Each key sets its field."""
    fault = parse_fault("429:retry_after=7,count=2,scope=all")

    assert (fault.name, fault.retry_after, fault.count, fault.scope) == (FaultName.RATE_LIMITED, 7, 2, "all")


def test_cold_loads_take_twenty_seconds_unless_said_otherwise() -> None:
    """The design's cold load is 20 s; tests set less."""
    assert parse_fault("cold").s == 20.0
    assert parse_fault("cold:s=0.5").s == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hungry", "unknown fault 'hungry'"),
        ("429:retry_after=soon", "retry_after='soon' is not a number"),
        ("429:again=1", "unknown parameter 'again'"),
        ("hang:scope=some", "scope is all or answers"),
        ("hang:count", "'count' is not key=value"),
        ("down:count=1", "count is for faults that meet single requests"),
        ("cold:count=1", "count is for faults that meet single requests"),
    ],
)
def test_a_wrong_fault_is_refused_with_what_is_wrong(text: str, words: str) -> None:
    """A typing error never becomes a host without a fault."""
    with pytest.raises(BadFault, match=words):
        parse_fault(text)


def test_a_count_ends_the_fault_after_so_many_requests() -> None:
    """count=2 hits two answers, and a listing in between is not counted."""
    state = FaultState()
    state.set(parse_fault("500:count=2"))

    met = [state.take(is_answer=is_answer).name for is_answer in (True, False, True, True)]

    assert met == [FaultName.SERVER_ERROR, FaultName.NONE, FaultName.SERVER_ERROR, FaultName.NONE]


def test_a_captive_portal_hits_every_path() -> None:
    """garbage has the scope of the whole host."""
    state = FaultState()
    state.set(parse_fault("garbage"))

    assert state.take(is_answer=False).name is FaultName.GARBAGE


async def test_a_change_lets_go_of_what_hangs() -> None:
    """Waiting for a change ends when a fault is set."""
    state = FaultState()
    waiting = asyncio.create_task(state.until_changed())
    await asyncio.sleep(0)

    state.set(NO_FAULT)

    await asyncio.wait_for(waiting, 1)
