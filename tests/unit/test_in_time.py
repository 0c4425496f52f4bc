"""The limit that is set only where something waits."""

from __future__ import annotations

import asyncio

import pytest

from service.in_time import in_time


async def test_what_does_not_wait_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is done at once is not timed."""

    async def work() -> int:
        return 5

    monkeypatch.setattr(asyncio, "timeout", None)

    assert await in_time(1, work()) == 5


async def test_what_waits_in_time_has_its_result() -> None:
    """Several waits of different kinds, and the value of the last."""

    async def work() -> str:
        await asyncio.sleep(0)
        return await asyncio.sleep(0.001, "there")

    assert await in_time(5, work()) == "there"


async def test_what_takes_longer_is_cancelled_where_it_waits() -> None:
    """The work can clean up, and the caller gets a TimeoutError."""
    heard: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append("cancelled")
            await asyncio.sleep(0)
            heard.append("cleaned up")
            raise

    with pytest.raises(TimeoutError):
        await in_time(0.01, work())

    assert heard == ["cancelled", "cleaned up"]


async def test_work_may_end_well_although_it_was_interrupted() -> None:
    """What ``work`` makes of an exception at its first wait is its result."""
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await waited
        except KeyError:
            return "caught"
        return "nothing came"

    asyncio.get_running_loop().call_soon(waited.set_exception, KeyError())

    assert await in_time(5, work()) == "caught"


async def test_the_end_of_the_task_is_no_end_of_the_time() -> None:
    """A cancelled caller stays cancelled."""
    task = asyncio.create_task(in_time(60, asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("waits", [0, 1, 3])
async def test_errors_come_through(waits: int) -> None:
    """Before the first wait, after it, and later."""

    async def work() -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        await in_time(5, work())
