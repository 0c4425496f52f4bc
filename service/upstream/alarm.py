"""A limit in time that is set again and again: what ``asyncio.timeout`` does, with one timer for all of them.

An attempt has a limit for its first token and one for each token after it. A timer of the loop each time, and the
states of a limit as ``asyncio.timeout`` keeps them, cost more than what is done with the tokens.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from service.in_time import TICK_S


class Alarm:
    """Limits one after the other, each a ``with`` block around what it limits; one at a time.

    Where a limit is over, the task inside the block is cancelled, and the block raises `TimeoutError`. As with
    ``asyncio.timeout``, a cancellation by somebody else stays one.
    """

    __slots__ = ("_cancellations", "_due_s", "_is_over", "_loop", "_rings_s", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._cancellations = 0
        self._is_over = False
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = 0.0

    def after(self, limit_s: float) -> Self:
        """Sets the limit of the block that follows, in seconds from now."""
        self._due_s = self._loop.time() + limit_s
        return self

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task()
        assert task is not None  # a coroutine that awaits has one
        self._cancellations, self._is_over = task.cancelling(), False
        # A timer that rings before is left to ring: it then waits for the rest.
        if self._timer is None or self._rings_s > self._due_s:
            self._set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        assert task is not None  # the block was entered
        if self._is_over and task.uncancel() <= self._cancellations and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def close(self) -> None:
        """There is nothing more to limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self.close()
        self._rings_s = self._due_s
        self._timer = self._loop.call_at(self._due_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return  # between two blocks; the next one sets it again
        if self._due_s - self._loop.time() > TICK_S:
            self._set()
        else:
            self._is_over = True
            self._task.cancel()
