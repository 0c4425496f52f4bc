"""A limit that counts only time in which the event loop was on time.

Where the process does not get its share of a busy machine, or something holds the loop, a plain limit is over before an
answer that arrived long ago was looked at, and a host in the next room is taken for away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STEP_S = 0.05
"""The limit is waited for in such steps; each shows whether the loop is late."""

LATE_S = 0.02
"""What a step may take longer without being late."""


async def within(limit_s: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is ended where it takes longer.

    A late step costs half of its length, however long it took: what the loop did not look at may well be there, and
    a connection takes some turns of the loop. So there are at most ``2 * limit_s / STEP_S`` steps, and on a loop
    that is on time the limit is kept to the millisecond.

    Args:
        limit_s: Seconds on a loop that is on time.
        work: Awaited in a task of its own.

    Raises:
        TimeoutError: It is over.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    left = limit_s
    try:
        while left > 0:
            step, asked = min(STEP_S, left), loop.time()
            await asyncio.wait((task,), timeout=step)
            if task.done():
                return task.result()
            left -= STEP_S if loop.time() - asked < step + LATE_S else STEP_S / 2
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # seen, where it failed in the very moment
    raise TimeoutError
