"""The end of the service: from the signal on it is not ready, and what runs too long is told why it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from service.errors import ShuttingDown

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection before the answer."""


class Drain:
    """Knows the requests at work. Every request has a *watch*: a task that ends when its client has gone.

    Attributes:
        is_draining: The service was told to end.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self._watches: set[asyncio.Task[None]] = set()

    def watch(self, disconnected: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """The watch of a request. Done: the client has gone; cancelled, before its request was over: `cut`."""
        task = asyncio.create_task(disconnected)
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        return task

    def begin(self) -> None:
        """The service was told to end."""
        self.is_draining = True

    def cut(self) -> int:
        """The time for running requests is over. Returns how many there are."""
        watches = list(self._watches)
        for task in watches:
            task.cancel()
        return len(watches)


async def unless(watch: asyncio.Task[None], work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which runs in the present task; it is cancelled where the watch ends first.

    Raises:
        ClientGone: The client left first.
        ShuttingDown: The service cut it.
    """
    task = asyncio.current_task()
    assert task is not None  # a coroutine that awaits has one
    is_over = is_ended = False

    def end(_: object) -> None:
        nonlocal is_ended
        if not is_over:  # asyncio may have had this in hand before it was taken back
            is_ended = True
            task.cancel()

    watch.add_done_callback(end)
    try:
        result = await work
    except asyncio.CancelledError:
        if not is_ended or task.uncancel() > 0:  # somebody else's
            raise
        raise (cut_off() if watch.cancelled() else ClientGone) from None
    finally:
        is_over = True
        watch.remove_done_callback(end)
    if is_ended:
        task.uncancel()
    return result


def cut_off() -> ShuttingDown:
    """What a request is told that takes longer than the service has."""
    return ShuttingDown("the service was told to end and its time for running answers is over; ask again")
