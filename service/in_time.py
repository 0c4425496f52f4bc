"""A time limit that costs nothing where there is nothing to wait for."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")

TICK_S = 0.001
"""Of uvloop's clock, which keeps whole milliseconds: a timer that comes so much too early is on time."""


async def in_time(limit_s: float, work: Awaitable[T]) -> T:
    """The result of ``work``, which is cancelled where it takes longer.

    As ``asyncio.timeout`` around it, whose timer is set only once ``work`` waits for something: a body that came with
    its headers, or an event that the socket takes at once, would pay for the timer several times what it costs itself.

    Args:
        limit_s: Seconds from its first wait on.
        work: Runs in the present task.

    Raises:
        TimeoutError: It is over.
    """
    steps = work.__await__()
    try:
        waits_for = next(steps)
    except StopIteration as done:
        return cast(T, done.value)
    async with asyncio.timeout(limit_s):
        return await _rest(steps, waits_for)


@types.coroutine
def _rest(steps: Generator[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """What is left of ``steps``, which have come to their first wait."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001  # whatever it is, ``steps`` hear of it where they wait
            try:
                waits_for = steps.throw(error)
            except StopIteration as done:
                return cast(T, done.value)
        else:
            return (yield from steps)
