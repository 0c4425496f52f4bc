"""The end of the service: from the signal on it is not ready, and what runs too long is told why it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from service.errors import ShuttingDown

T = TypeVar("T")

LOOK_AFTER_S = 0.05
"""A client that leaves sooner is missed no earlier than then."""


class ClientGone(Exception):
    """The client closed its connection before the answer."""


class Drain:
    """Knows the requests at work. Every request has a *watch*: a future that is done when its client has gone.

    Attributes:
        is_draining: The service was told to end.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self._watches: set[asyncio.Future[None]] = set()

    def watch(self, disconnected: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Future[None]:
        """The watch of a request. Done: the client has gone; cancelled, before its request was over: `cut`.

        Most requests are over before anybody has to look: a task for each would be a tenth of their cost.

        Args:
            disconnected: Returns when the client has gone; called after `LOOK_AFTER_S` only.
        """
        loop = asyncio.get_running_loop()
        watch: asyncio.Future[None] = loop.create_future()
        looking: asyncio.Task[None] | None = None

        def look() -> None:
            nonlocal looking
            looking = loop.create_task(disconnected())
            looking.add_done_callback(seen)

        def seen(task: asyncio.Task[None]) -> None:
            if not watch.done() and not task.cancelled():
                watch.set_result(None)

        def over(_: object) -> None:
            self._watches.discard(watch)
            timer.cancel()
            if looking is not None:
                looking.cancel()

        timer = loop.call_later(LOOK_AFTER_S, look)
        watch.add_done_callback(over)
        self._watches.add(watch)
        return watch

    def begin(self) -> None:
        """The service was told to end."""
        self.is_draining = True

    def cut(self) -> int:
        """The time for running requests is over. Returns how many there are."""
        watches = list(self._watches)
        for watch in watches:
            watch.cancel()
        return len(watches)


async def unless(watch: asyncio.Future[None], work: Coroutine[Any, Any, T]) -> T:
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
