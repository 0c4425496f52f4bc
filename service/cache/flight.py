"""Single flight: identical requests under way share one upstream call.

A flight runs in a task of its own and keeps all that came, so that whoever joins late reads from the beginning. It ends
early only when its last reader has left; a leader that leaves takes nobody along.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

log = logging.getLogger("autotier.cache")

H = TypeVar("H")
B = TypeVar("B")


class NotOpened(Exception):
    """The flight ended before anything was sent upstream, for a reason of its leader's own: ask again."""


class Flight(Generic[H, B]):
    """One call that several requests read. Event loop only.

    Args:
        work: Does the call: `opened` once, `add` for each batch; returns where the answer is whole.
        after: Done once it is whole, while others may still join.
        over: Called when nobody shall join any more.

    Attributes:
        head: What `opened` was given, or None.
        batches: All that came so far.
        whole: The answer came to its end.
        error: What the call failed with, or None.
        readers: Who reads; the first one carries the flight's costs.
        settled: Somebody has carried them.
    """

    def __init__(
        self,
        work: Callable[[Flight[H, B]], Coroutine[Any, Any, None]],
        after: Callable[[Flight[H, B]], Coroutine[Any, Any, None]],
        over: Callable[[Flight[H, B]], None],
    ) -> None:
        self.head: H | None = None
        self.batches: list[B] = []
        self.whole = False
        self.error: Exception | None = None
        self.readers: list[Reader[H, B]] = []
        self.settled = False
        self._news = asyncio.Event()
        self._over = over
        self._task = asyncio.create_task(self._run(work, after), name="autotier-flight")
        self._task.add_done_callback(self._done)

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self.whole or self.error is not None

    def join(self) -> Reader[H, B]:
        """A reader from the beginning."""
        reader = Reader(self)
        self.readers.append(reader)
        return reader

    def opened(self, head: H) -> None:
        """There is a first token, or the whole answer."""
        self.head = head
        self._tell()

    def add(self, batch: B) -> None:
        """More of the answer."""
        self.batches.append(batch)
        self._tell()

    async def news(self) -> None:
        """Returns when something has come since now."""
        await self._news.wait()

    async def leave(self, reader: Reader[H, B]) -> None:
        """``reader`` reads no more. After the last one the call is ended, and waited for: then its costs are known."""
        if reader not in self.readers:
            return
        if self.readers == [reader] and not self.is_over:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self.readers.remove(reader)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _run(
        self,
        work: Callable[[Flight[H, B]], Coroutine[Any, Any, None]],
        after: Callable[[Flight[H, B]], Coroutine[Any, Any, None]],
    ) -> None:
        try:
            await work(self)
        except Exception as error:  # noqa: BLE001  # raised again for each reader, whatever it is
            self.error = error
            return
        self.whole = True
        self._tell()
        try:
            await after(self)
        except Exception:  # a background task: the answer is given, that it is not kept is said
            log.exception("an answer could not be kept")

    def _done(self, task: asyncio.Task[None]) -> None:
        if not self.is_over:  # cancelled, perhaps before its first step
            self.error = NotOpened("the call was ended")
        self._over(self)
        self._tell()


class Reader(Generic[H, B]):
    """One request's view of a flight."""

    def __init__(self, flight: Flight[H, B]) -> None:
        self.flight = flight
        self._next = 0

    @property
    def carries(self) -> bool:
        """Whether the flight's attempts and costs are this reader's."""
        return bool(self.flight.readers) and self.flight.readers[0] is self

    async def opened(self) -> H:
        """What the flight opened with.

        Raises:
            NotOpened: Ask again.
            Exception: Whatever the call failed with.
        """
        flight = self.flight
        while flight.head is None:
            if flight.is_over:
                raise flight.error or NotOpened("the call ended without an answer")
            await flight.news()
        return flight.head

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> B:
        flight = self.flight
        while self._next >= len(flight.batches):
            if flight.error is not None:
                raise flight.error
            if flight.whole:
                raise StopAsyncIteration
            await flight.news()
        self._next += 1
        return flight.batches[self._next - 1]

    async def aclose(self) -> None:
        """Leaves the flight."""
        await self.flight.leave(self)


class Flights(Generic[H, B]):
    """Flights under way by key. Event loop only."""

    def __init__(self) -> None:
        self._under_way: dict[str, Flight[H, B]] = {}
        self.joined = 0

    def join(self, key: str) -> Reader[H, B] | None:
        """A reader of the flight under way, or None."""
        flight = self._under_way.get(key)
        if flight is None or flight.error is not None:
            return None
        self.joined += 1
        return flight.join()

    def lead(
        self,
        key: str,
        work: Callable[[Flight[H, B]], Coroutine[Any, Any, None]],
        after: Callable[[Flight[H, B]], Coroutine[Any, Any, None]],
    ) -> Reader[H, B]:
        """A new flight's first reader; whoever comes from now on joins this one.

        Args:
            key: Under which others join.
            work: The call.
            after: Done behind a whole answer.
        """

        def over(flight: Flight[H, B]) -> None:
            if self._under_way.get(key) is flight:
                del self._under_way[key]

        flight = Flight(work, after, over)
        self._under_way[key] = flight
        return flight.join()
