"""One timer for many limits: each is kept, none outlives its block, and cancellations by others stay theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from service.upstream.alarm import Alarm

SOON_S = 0.03
LATER_S = 5.0


@pytest.fixture
async def alarm() -> AsyncIterator[Alarm]:
    """One that is closed after the test."""
    made = Alarm()
    yield made
    made.close()


async def keeps(alarm: Alarm, limit_s: float) -> bool:
    """Whether a block that would wait for long is ended, and not before its limit."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError), alarm.after(limit_s):
        await asyncio.sleep(LATER_S)
    return loop.time() - began + 0.002 >= limit_s


async def test_each_limit_is_kept_whatever_came_before(alarm: Alarm) -> None:
    """Longer and shorter than the one before, one after the other; those that were not needed leave nothing."""
    for limit_s in (LATER_S, SOON_S, 2 * SOON_S):
        with alarm.after(limit_s):
            await asyncio.sleep(0)

        assert await keeps(alarm, SOON_S)
        assert await keeps(alarm, 2 * SOON_S)


async def test_a_timer_that_rings_too_early_waits_for_the_rest(alarm: Alarm) -> None:
    """That of the limit before, which was shorter; and between two blocks it ends nothing."""
    with alarm.after(SOON_S):
        await asyncio.sleep(0)
    with alarm.after(3 * SOON_S):
        await asyncio.sleep(2 * SOON_S)
    with alarm.after(SOON_S):
        await asyncio.sleep(0)

    await asyncio.sleep(2 * SOON_S)

    assert await keeps(alarm, SOON_S)


async def test_nothing_left_is_over_at_the_next_wait_only(alarm: Alarm) -> None:
    """What is there already is still given."""
    with alarm.after(0.0):
        pass

    with pytest.raises(TimeoutError), alarm.after(0.0):
        await asyncio.sleep(LATER_S)


async def test_a_cancellation_by_somebody_else_stays_one(alarm: Alarm) -> None:
    """Also where the limit is over in the very moment: the client that leaves counts."""

    async def limited(limit_s: float) -> None:
        with alarm.after(limit_s):
            await asyncio.sleep(LATER_S)

    for limit_s in (LATER_S, 0.0):
        task = asyncio.create_task(limited(limit_s))
        await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_another_task_may_use_it_next(alarm: Alarm) -> None:
    """A hedged attempt waits for its first token in a task of its own."""

    async def first() -> None:
        with alarm.after(SOON_S):
            await asyncio.sleep(0)

    await asyncio.create_task(first())

    assert await keeps(alarm, SOON_S)


async def test_a_failure_inside_is_what_is_raised(alarm: Alarm) -> None:
    """It is no matter of time; and a block that swallows the cancellation leaves no trace of it in its task."""
    with pytest.raises(LookupError), alarm.after(SOON_S):
        raise LookupError

    with alarm.after(SOON_S), suppress(asyncio.CancelledError):
        await asyncio.sleep(LATER_S)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
