"""The end of the service: from the signal on it is not ready, and what runs too long is told why it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from service.errors import ShuttingDown
from service.in_time import TICK_S

T = TypeVar("T")

LOOK_AFTER_S = 0.05
"""A client that leaves sooner is missed no earlier than then."""


class ClientGone(Exception):
    """The client closed its connection before the answer."""


class Watch:
    """What one request learns of its end from outside, before its answer: its client has gone, or the service cuts it.

    Attributes:
        on_end: Called when that happens; None: nobody listens.
    """

    __slots__ = ("_disconnected", "_drain", "_looking", "_why", "on_end")

    def __init__(self, drain: Drain, disconnected: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._drain = drain
        self._disconnected = disconnected
        self._looking: asyncio.Task[None] | None = None
        self._why: Callable[[], Exception] | None = None
        self.on_end: Callable[[], object] | None = None

    def ended(self) -> Exception | None:
        """What the request was ended with from outside, or None."""
        return self._why() if self._why is not None else None

    def look(self) -> None:
        """Waits for the client's leaving from now on."""
        self._looking = asyncio.get_running_loop().create_task(self._disconnected())
        self._looking.add_done_callback(self._seen)

    def over(self) -> None:
        """The request is over; a second call does nothing."""
        self._drain.forget(self)
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def end(self, why: Callable[[], Exception]) -> None:
        """Ends the request from outside, once, with what ``why`` makes."""
        if self._why is None:
            self._why = why
            self.over()
            if self.on_end is not None:
                self.on_end()

    def _seen(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.end(ClientGone)


class Drain:
    """Knows the requests at work by their watches.

    Attributes:
        is_draining: The service was told to end.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self._young: dict[Watch, float] = {}
        self._looked: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, disconnected: Callable[[], Coroutine[Any, Any, None]]) -> Watch:
        """The watch of a request.

        Most requests are over before anybody has to look: a task for each would be a tenth of their cost, and a timer
        for each would cost more than the one that all of them share.

        Args:
            disconnected: Returns when the client has gone; called after `LOOK_AFTER_S` only.
        """
        watch = Watch(self, disconnected)
        loop = asyncio.get_running_loop()
        self._young[watch] = due_s = loop.time() + LOOK_AFTER_S
        if self._timer is None:
            self._timer = loop.call_at(due_s, self._look)
        return watch

    def forget(self, watch: Watch) -> None:
        """Its request is over."""
        self._young.pop(watch, None)
        self._looked.discard(watch)

    def begin(self) -> None:
        """The service was told to end."""
        self.is_draining = True

    def cut(self) -> int:
        """The time for running requests is over. Returns how many there are."""
        watches = [*self._looked, *self._young]
        for watch in watches:
            watch.end(cut_off)
        return len(watches)

    def _look(self) -> None:
        """Looks for the clients of requests that have run for `LOOK_AFTER_S`; comes again for the others."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for watch, due_s in list(self._young.items()):  # the oldest come first
            if due_s > loop.time() + TICK_S:
                self._timer = loop.call_at(due_s, self._look)
                return
            del self._young[watch]
            self._looked.add(watch)
            watch.look()


async def unless(watch: Watch, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which runs in the present task; it is cancelled where the watch ends first.

    Raises:
        ClientGone: The client left first.
        ShuttingDown: The service cut it.
    """
    if (ended := watch.ended()) is not None:
        work.close()
        raise ended
    task = asyncio.current_task()
    assert task is not None  # a coroutine that awaits has one
    watch.on_end = task.cancel
    try:
        result = await work
    except asyncio.CancelledError:
        ended = watch.ended()
        if ended is None or task.uncancel() > 0:  # somebody else's
            raise
        raise ended from None
    finally:
        watch.on_end = None
    if watch.ended() is not None:
        task.uncancel()
    return result


def cut_off() -> ShuttingDown:
    """What a request is told that takes longer than the service has."""
    return ShuttingDown("the service was told to end and its time for running answers is over; ask again")
