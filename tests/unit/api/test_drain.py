"""The watches of requests: who has left, and who is cut."""

from __future__ import annotations

import asyncio

import pytest

from service.api import drain
from service.api.drain import ClientGone, Drain, unless
from service.errors import ShuttingDown


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are looked for after 10 ms."""
    monkeypatch.setattr(drain, "LOOK_AFTER_S", 0.01)


async def leaves() -> None:
    """A client that has left."""


async def stays() -> None:
    """A client that stays."""
    await asyncio.sleep(60)


async def test_work_that_ends_first_has_its_result_and_nobody_looked() -> None:
    """A short request makes no task."""
    looked: list[int] = []

    async def look() -> None:
        looked.append(1)

    requests = Drain()
    watch = requests.watch(look)
    result = await unless(watch, asyncio.sleep(0, 7))
    watch.over()
    await asyncio.sleep(0.03)

    assert (result, looked, requests.cut()) == (7, [], 0)


async def test_a_client_that_leaves_ends_its_request_and_no_other() -> None:
    """Each watch looks for its own client, the later one too."""
    requests = Drain()
    first, second = requests.watch(leaves), requests.watch(stays)
    await asyncio.sleep(0.005)
    third = requests.watch(leaves)

    ends = await asyncio.gather(
        *(unless(watch, asyncio.sleep(0.2, "done")) for watch in (first, second, third)), return_exceptions=True
    )

    assert [type(end) for end in ends] == [ClientGone, str, ClientGone]
    second.over()
    assert requests.cut() == 0


@pytest.mark.parametrize("after_s", [0.0, 0.03])
async def test_a_cut_ends_requests_young_and_old(after_s: float) -> None:
    """Those whose clients are looked for already too; the work hears of it where it waits."""
    requests = Drain()
    ended = asyncio.create_task(unless(requests.watch(stays), asyncio.sleep(60)))
    await asyncio.sleep(after_s)

    assert requests.cut() == 1
    with pytest.raises(ShuttingDown):
        await ended
    assert requests.cut() == 0


async def test_work_does_not_begin_after_the_end() -> None:
    """A stream whose request was cut before it began is cut at once."""
    requests = Drain()
    watch = requests.watch(stays)
    requests.cut()

    with pytest.raises(ShuttingDown):
        await unless(watch, asyncio.sleep(60))


async def test_the_end_of_the_task_is_its_own() -> None:
    """Who cancels the task from elsewhere sees it cancelled, and the watch goes on."""
    requests = Drain()
    watch = requests.watch(stays)
    task = asyncio.create_task(unless(watch, asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert requests.cut() == 1
