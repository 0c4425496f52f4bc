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
    """The result of ``work``; it is cancelled and awaited where the watch ends first.

    Raises:
        ClientGone: The client left first.
        ShuttingDown: The service cut it.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise cut_off() if watch.cancelled() else ClientGone
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


def cut_off() -> ShuttingDown:
    """What a request is told that takes longer than the service has."""
    return ShuttingDown("the service was told to end and its time for running answers is over; ask again")
