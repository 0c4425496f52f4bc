"""Amounts in windows: never more than the limit, and the wait that is told is the wait that is needed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.limits.state import REQUESTS, SPEND, TOKENS, Claim, ProcessState, Standing, Window

NOON_S = 20_000 * 86_400.0 + 43_200


@dataclass
class Clock:
    """Says what it is told."""

    now: float = NOON_S

    def __call__(self) -> float:
        return self.now


async def take(state: ProcessState, window: Window, most: float, amount: float, caller: str = "ann") -> Standing:
    """One claim."""
    (standing,) = await state.take(caller, (Claim(window, most, amount),))
    return standing


async def test_what_fits_is_taken_and_what_does_not_is_not() -> None:
    """A refused claim leaves the window as it was; another caller has a window of its own."""
    state = ProcessState(Clock())

    first = await take(state, REQUESTS, 2, 2)
    second = await take(state, REQUESTS, 2, 1)
    other = await take(state, REQUESTS, 2, 1, caller="bob")

    assert (first.wait_s, first.used) == (0.0, 2)
    assert second.wait_s is not None
    assert second.wait_s > 0
    assert second.used == 2
    assert other.wait_s == 0.0


async def test_claims_are_taken_together_or_not_at_all() -> None:
    """Requests are not used up by one that has no tokens."""
    state = ProcessState(Clock())

    refused = await state.take("ann", (Claim(REQUESTS, 1, 1), Claim(TOKENS, 10, 11)))
    again = await state.take("ann", (Claim(REQUESTS, 1, 1), Claim(TOKENS, 10, 10)))

    assert [standing.wait_s for standing in refused] == [0.0, None]
    assert [standing.wait_s for standing in again] == [0.0, 0.0]


async def test_a_minute_slides() -> None:
    """Half a minute into the next span, half of the last one still counts."""
    clock = Clock()
    state = ProcessState(clock)
    await take(state, REQUESTS, 10, 10)

    clock.now += 90
    half = await take(state, REQUESTS, 10, 5)
    more = await take(state, REQUESTS, 10, 1)

    assert half.wait_s == 0.0
    assert more.wait_s == pytest.approx(6.0)  # a tenth of the last span
    assert more.reset_s == pytest.approx(90.0)


async def test_a_day_ends_at_midnight_of_utc() -> None:
    """What is spent at noon is free at midnight, not before."""
    clock = Clock()
    state = ProcessState(clock)
    await take(state, SPEND, 1.0, 1.0)

    refused = await take(state, SPEND, 1.0, 0.1)
    clock.now += 43_199
    just_before = await take(state, SPEND, 1.0, 0.1)
    clock.now += 1
    next_day = await take(state, SPEND, 1.0, 1.0)

    assert refused.wait_s == 43_200
    assert just_before.wait_s == 1
    assert next_day.wait_s == 0.0


async def test_a_correction_gives_back_or_goes_into_debt() -> None:
    """A smaller answer frees what was held for it; a larger one counts in full, also beyond the limit."""
    state = ProcessState(Clock())
    await take(state, TOKENS, 100, 90)

    await state.add("ann", TOKENS, -80)
    freed = await take(state, TOKENS, 100, 90)
    await state.add("ann", TOKENS, 150)
    debt = await take(state, TOKENS, 100, 1)

    assert freed.wait_s == 0.0
    assert debt.used == 250
    assert debt.wait_s is not None
    assert debt.wait_s > 60


async def test_running_requests_are_counted_by_ticket() -> None:
    """One leaves, one enters; to leave twice frees nothing twice."""
    state = ProcessState()

    entered = [await state.enter("ann", ticket, 2) for ticket in ("a", "b", "c")]
    await state.leave("ann", "a")
    await state.leave("ann", "a")
    later = [await state.enter("ann", ticket, 2) for ticket in ("c", "d")]

    assert entered == [True, True, False]
    assert later == [True, False]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 12)), max_size=60),
    st.integers(1, 12),
    st.sampled_from([REQUESTS, SPEND]),
)
async def test_a_window_never_holds_more_than_its_limit_and_waits_are_exact(
    steps: list[tuple[float, int]], most: int, window: Window
) -> None:
    """Whatever comes when: used stays within the limit, and after the wait that was told the same claim fits."""
    clock = Clock()
    state = ProcessState(clock)
    for pause_s, amount in steps:
        clock.now += pause_s

        standing = await take(state, window, most, amount)

        assert standing.used <= most + 1e-6
        if standing.wait_s is None:
            assert amount > most
        elif standing.wait_s > 0:
            clock.now += standing.wait_s + 1e-6
            assert (await take(state, window, most, amount)).wait_s == 0.0
