"""Follows the file that names the version in use: what `promote` and `rollback` write serves without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from classifier.versions import CURRENT
from service.errors import AutotierError

log = logging.getLogger("autotier.versions")

EVERY_S = 2.0


class VersionFollower:
    """Asks for a reload when another version is named.

    Args:
        folder: Gives the folder of versions as it is configured now.
        reload: Swaps the parts; raises AutotierError where it cannot, and the present ones go on.
    """

    def __init__(self, folder: Callable[[], Path], reload: Callable[[], Awaitable[Any]]) -> None:
        self._folder = folder
        self._reload = reload
        self._seen = self._mark()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Looks every two seconds from now on."""
        self._task = asyncio.create_task(self._follow(), name="autotier-versions")

    async def close(self) -> None:
        """Stops looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _mark(self) -> tuple[str, int, int] | None:
        """What tells one state of the file from another; None where there is none."""
        file = self._folder() / CURRENT
        try:
            found = file.stat()
        except OSError:
            return None
        return str(file), found.st_ino, found.st_mtime_ns

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            mark = self._mark()
            if mark == self._seen:
                continue
            self._seen = mark
            try:
                await self._reload()
            except AutotierError as error:
                log.error("another version was named, but it cannot serve; the present one goes on: %s", error)
            except Exception:
                log.exception("another version was named, but the swap failed; the present one goes on")
