"""Two attempts at the same answer, one begun a little later: the first token wins, the other is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.serving import Serving

Begun = Coroutine[Any, Any, Serving]


async def first_of(head: Begun, *, after_s: float, second: Callable[[], Begun | None]) -> Serving:
    """The attempt that has its first token first.

    Source of the method: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013, "Hedged requests".

    Args:
        head: The attempt that begins now.
        after_s: Seconds without its first token after which the other begins.
        second: Begins the other one, or gives None where there is none.

    Raises:
        UpstreamFailure: Both failed, or one says that the request itself is wrong.
    """
    tasks = [asyncio.create_task(head)]
    winner: Serving | None = None
    try:
        await asyncio.wait(tasks, timeout=after_s)
        if not tasks[0].done():
            other = second()
            if other is not None:
                tasks.append(asyncio.create_task(other))
        winner = await _winner(tasks)
        return winner
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Serving) and ended is not winner:  # both had a token at once
                await ended.aclose()


async def _winner(tasks: list[asyncio.Task[Serving]]) -> Serving:
    pending = set(tasks)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        good = [task for task in tasks if task in done and task.exception() is None]
        if good:
            return good[0].result()
        failures = [error for task in done if (error := task.exception()) is not None]
        decided = [e for e in failures if not isinstance(e, UpstreamFailure) or e.outcome is Outcome.BAD_REQUEST]
        if decided or not pending:
            raise (decided or failures)[0]
