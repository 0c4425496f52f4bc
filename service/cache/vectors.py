"""Asks by their vectors, each within its scope: exact search in the process, or vector sets of a Redis 8.

Vector sets (``VADD``, ``VSIM ... FILTER``) are in the core of Redis from 8.0 on; an older one has none, and then only
equal asks share answers, which is said once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import ResponseError

from service.cache.key import VERSION
from service.state.link import RedisLink, SharedStateDown

log = logging.getLogger("autotier.cache")

Floats = NDArray[np.float32]
INLINE_ROWS = 2_000
"""Rows of 384 numbers that are compared in half a millisecond; more are compared in a thread."""


class Vectors(Protocol):
    """Where vectors are kept. Implementations never raise: what fails finds nothing."""

    async def add(self, scope: str, place: str, vector: Floats) -> None:
        """Keeps the vector (length 1) of the ask whose answer is kept under ``place``."""
        ...

    async def nearest(self, scope: str, vector: Floats, count: int) -> list[tuple[str, float]]:
        """Places and cosines, the nearest first."""
        ...

    async def remove(self, place: str) -> None:
        """Forgets one."""
        ...

    async def clear(self) -> None:
        """Forgets all."""
        ...


class MemoryVectors:
    """Exact search in the process. Event loop only.

    Args:
        most: Vectors of all scopes together; the oldest goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._scopes: dict[str, _Rows] = {}
        # One thread: several would only take the interpreter from the loop in turns (4 times its lag at 20 at once).
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="autotier-vectors")

    async def add(self, scope: str, place: str, vector: Floats) -> None:
        """See `Vectors`."""
        await self.remove(place)
        rows = self._scopes.setdefault(scope, _Rows(len(vector)))
        rows.add(place, vector)
        self._of[place] = (scope, 0)
        while len(self._of) > self._most:
            await self.remove(next(iter(self._of)))

    async def nearest(self, scope: str, vector: Floats, count: int) -> list[tuple[str, float]]:
        """See `Vectors`."""
        rows = self._scopes.get(scope)
        if rows is None:
            return []
        if rows.count <= INLINE_ROWS:
            return rows.nearest(vector, count)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, rows.snapshot().nearest, vector, count)

    async def remove(self, place: str) -> None:
        """See `Vectors`."""
        found = self._of.pop(place, None)
        if found is None:
            return
        rows = self._scopes[found[0]]
        rows.remove(place)
        if not rows.count:
            del self._scopes[found[0]]

    async def clear(self) -> None:
        """See `Vectors`."""
        self._of.clear()
        self._scopes.clear()


class _Rows:
    """The vectors of one scope, in one growing matrix without gaps."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._matrix = np.empty((16, width), dtype=np.float32)
        self._places: list[str] = []
        self._row: dict[str, int] = {}

    def add(self, place: str, vector: Floats) -> None:
        if self.count == len(self._matrix):
            grown = np.empty((self.count * 2, self._matrix.shape[1]), dtype=np.float32)
            grown[: self.count] = self._matrix
            self._matrix = grown
        self._matrix[self.count] = vector
        self._row[place] = self.count
        self._places.append(place)
        self.count += 1

    def remove(self, place: str) -> None:
        """The last row takes the place of the one that goes. Copies what a search in a thread may be reading."""
        row = self._row.pop(place)
        self.count -= 1
        last = self._places.pop()
        if row != self.count:
            self._matrix = self._matrix.copy() if self.count > INLINE_ROWS else self._matrix
            self._matrix[row] = self._matrix[self.count]
            self._places[row] = last
            self._row[last] = row

    def snapshot(self) -> _Rows:
        """A view for a search beside the loop."""
        view = _Rows.__new__(_Rows)
        view.count, view._matrix, view._places = self.count, self._matrix, list(self._places)
        return view

    def nearest(self, vector: Floats, count: int) -> list[tuple[str, float]]:
        # Not ``@``: on a busy machine the threads of its BLAS wait for each other, 16 ms instead of 0.6 for 10,000.
        cosines: Floats = np.einsum("ij,j->i", self._matrix[: self.count], vector)
        best = np.argpartition(-cosines, min(count, self.count) - 1)[:count] if self.count else np.empty(0, dtype=int)
        return sorted(((self._places[i], float(cosines[i])) for i in best), key=lambda one: -one[1])


class RedisVectors:
    """One vector set per embedding model, the scope as an attribute that searches filter by.

    Args:
        link: The Redis.
        model: Name of the embedding model.
        most: Vectors that are kept; beyond, random ones go (a vector set has no order).
    """

    def __init__(self, link: RedisLink, model: str, most: int) -> None:
        self._link = link
        self._most = most
        self._key = link.key(f"v{VERSION}-vectors", model)
        self.problem: str | None = None
        self._counts: Counter[str] = Counter()

    async def add(self, scope: str, place: str, vector: Floats) -> None:
        """See `Vectors`."""
        attributes = f'{{"scope":"{scope}"}}'
        key = f"{self._key}:{len(vector)}"
        command = ("VADD", key, "FP32", vector.astype("<f4").tobytes(), place, "SETATTR", attributes)
        if await self._run(*command, behind=True) is None:
            return
        size = await self._run("VCARD", key, behind=True)
        if isinstance(size, int) and size > self._most:
            for one in await self._run("VRANDMEMBER", key, size - self._most, behind=True) or ():
                await self._run("VREM", key, one, behind=True)

    async def nearest(self, scope: str, vector: Floats, count: int) -> list[tuple[str, float]]:
        """See `Vectors`."""
        found = await self._run(
            "VSIM", f"{self._key}:{len(vector)}", "FP32", vector.astype("<f4").tobytes(), "WITHSCORES",
            "COUNT", count, "FILTER", f'.scope == "{scope}"',
        )  # fmt: skip
        if not found:
            return []
        # A score is (1 + cosine) / 2, as of vectors at 8 bits.
        return [(place, 2 * float(score) - 1) for place, score in zip(found[::2], found[1::2], strict=True)]

    async def remove(self, place: str) -> None:
        """See `Vectors`."""
        for key in await self._keys():
            await self._run("VREM", key, place, behind=True)

    async def clear(self) -> None:
        """See `Vectors`."""
        for key in await self._keys():
            await self._run("DEL", key, behind=True)

    async def _keys(self) -> list[str]:
        found: list[str] = await self._run("KEYS", f"{self._key}:*", behind=True) or []
        return found

    async def _run(self, *command: Any, behind: bool = False) -> Any:
        """The answer, or None where the Redis is away or has no vector sets."""
        if self.problem is not None:
            return None

        async def work() -> Any:
            try:
                client: Any = self._link.redis
                return await client.execute_command(*command)
            except ResponseError as error:  # no fault of the connection
                return error

        try:
            answer = await (self._link.behind(work) if behind else self._link.call(work))
        except SharedStateDown:
            return None
        if isinstance(answer, ResponseError):
            if any(words in str(answer).lower() for words in ("unknown command", "no permissions", "noperm")):
                self.problem = "this Redis gives us no vector sets (they are in Redis 8): only equal asks share answers"
                log.error(self.problem)
            else:
                log.error("vector set: %s", str(answer)[:200])
            return None
        return answer
