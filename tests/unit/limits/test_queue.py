"""Places at work and the queue for them."""

from __future__ import annotations

import asyncio

import pytest

from service.config.model import Queue, Server
from service.errors import TooManyRequests
from service.limits.queue import Slot, Slots


def slots(running: int, waiting: int, wait_s: float = 5.0) -> Slots:
    """Places of that number."""
    return Slots(Server(most_running=running, queue=Queue(most=waiting, wait_s=wait_s)))


async def waiting(places: Slots, number: int) -> list[asyncio.Task[Slot]]:
    """Requests that wait, in order."""
    tasks = []
    for _ in range(number):
        tasks.append(asyncio.create_task(places.take()))
        await asyncio.sleep(0)
    return tasks


async def test_who_came_first_is_first_at_work() -> None:
    """A returned place goes to the oldest that waits, and to one only."""
    places = slots(1, 2)
    first = await places.take()
    second, third = await waiting(places, 2)

    first.release()
    first.release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert second.done()
    assert not third.done()
    assert places.snapshot() == {"running": 1, "waiting": 1, "refused_total": 0}
    second.result().release()
    (await third).release()
    assert places.snapshot()["running"] == 0


async def test_a_full_queue_refuses_at_once() -> None:
    """Beyond the queue there is a 429 with Retry-After and the limit's name."""
    places = slots(1, 1)
    await places.take()
    (held,) = await waiting(places, 1)

    with pytest.raises(TooManyRequests) as refused:
        await places.take()

    assert refused.value.limit == "queue"
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    held.cancel()


async def test_a_wait_ends() -> None:
    """Who waited too long is refused and leaves the queue."""
    places = slots(1, 1, wait_s=0.02)
    await places.take()

    with pytest.raises(TooManyRequests):
        await places.take()

    assert places.snapshot() == {"running": 1, "waiting": 0, "refused_total": 1}


async def test_a_client_that_leaves_while_it_waits_takes_no_place() -> None:
    """Neither before its turn nor in the very moment of it."""
    places = slots(1, 2)
    first = await places.take()
    early, late = await waiting(places, 2)

    early.cancel()
    await asyncio.wait((early,))
    first.release()
    late.cancel()
    await asyncio.wait((late,))

    assert places.snapshot()["running"] == 0
    assert places.is_free


async def test_a_new_configuration_may_open_more_places() -> None:
    """Who waits is let in when there are more; with fewer, nobody at work is thrown out."""
    places = slots(1, 2)
    first = await places.take()
    (second,) = await waiting(places, 1)

    places.resize(Server(most_running=2, queue=Queue(most=2, wait_s=5)))
    taken = await second
    places.resize(Server(most_running=1, queue=Queue(most=2, wait_s=5)))

    assert places.snapshot()["running"] == 2
    first.release()
    assert not places.is_free
    taken.release()
    assert places.is_free
