"""Which models a simulated Ollama host holds in memory, what loading costs, and who waits for a slot.

As Ollama's scheduler does it (server/sched.go): a model that is not loaded, or loaded with another context, is
loaded first; models that do not fit beside it are evicted, least recently used first, after their running
generations; each loaded model serves a few generations at a time and the others wait in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.demo.hosts.catalog import full_name
from service.demo.hosts.spec import HostSpec

DEFAULT_KEEP_ALIVE_S = 300.0
FOREVER = float("inf")


class HostFull(RuntimeError):
    """A model larger than the memory, or more requests waiting than allowed; the text is Ollama's."""


@dataclass(slots=True, eq=False)
class Resident:
    """One model in memory.

    Attributes:
        model: Full name.
        size_gb: Memory that it takes.
        context: Tokens it was loaded with; None: those of the next request.
        ready: Set when the load is over.
        idle: Set when the last request on it has ended.
        slots: Free generations.
        busy: Requests that generate or wait for a slot.
        used_at: Time of the last use (monotonic seconds).
        expires_at: When it is unloaded if unused (monotonic seconds).
    """

    model: str
    size_gb: float
    context: int | None
    slots: asyncio.Semaphore
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0
    used_at: float = 0.0
    expires_at: float = FOREVER

    def take(self) -> None:
        """Count one more request on it."""
        self.busy += 1
        self.used_at = time.monotonic()
        self.idle.clear()

    def give(self) -> None:
        """Count one request less on it."""
        self.busy -= 1
        self.used_at = time.monotonic()
        if self.busy == 0:
            self.idle.set()


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to generate: what the request waited for, in seconds, and whether it made the host load."""

    load_s: float
    queued_s: float
    loaded: bool


class Memory:
    """The models in memory of one host, with counters.

    Attributes:
        load_s: Seconds that a load takes now (the fault cold changes it).
        loads: Loads so far, those at the start not included.
        swaps: Loads that evicted another model.
        reloads: Loads of a model that was there with another context.
    """

    def __init__(self, spec: HostSpec) -> None:
        self._spec = spec
        self._residents: dict[str, Resident] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0
        self.load_s = spec.load_s
        self.loads = self.swaps = self.reloads = 0
        for entry in spec.loaded:
            model, _, context = entry.partition("@")
            self._add(full_name(model), int(context) if context else None).ready.set()

    def resident(self) -> list[Resident]:
        """Give the models in memory, most recently used first, after dropping the expired ones."""
        now = time.monotonic()
        for one in list(self._residents.values()):
            if not one.busy and one.expires_at <= now:
                del self._residents[one.model]
        return sorted(self._residents.values(), key=lambda one: -one.used_at)

    def unload(self, model: str | None = None) -> None:
        """Drop a model, or all of them, without waiting for its generations."""
        for name in [full_name(model)] if model else list(self._residents):
            self._residents.pop(name, None)

    @asynccontextmanager
    async def lease(self, model: str, context: int, keep_alive_s: float | None) -> AsyncIterator[Lease]:
        """Have the model loaded and a slot free inside the block.

        Args:
            model: Name with or without tag.
            context: Tokens to load it with.
            keep_alive_s: Seconds that it stays after this use; 0 unloads it, None means the default.

        Raises:
            HostFull: It cannot fit, or too many requests wait.
        """
        start = time.monotonic()
        if self._waiting >= self._spec.queue + self._spec.slots:
            raise HostFull("server busy, please try again.  maximum pending requests exceeded")
        self._waiting += 1
        try:
            resident, loaded = await self._loaded(full_name(model), context)
            load_s = time.monotonic() - start
            try:
                async with resident.slots:
                    yield Lease(load_s, time.monotonic() - start - load_s, loaded)
            finally:
                self._release(resident, keep_alive_s)
        finally:
            self._waiting -= 1

    async def _loaded(self, model: str, context: int) -> tuple[Resident, bool]:
        """Give the resident, marked busy, after loading it where needed."""
        self.resident()
        found = self._residents.get(model)
        if found and not self._turn.locked() and found.ready.is_set() and found.context in (context, None):
            found.context = context
            found.take()
            return found, False
        async with self._turn:
            found = self._residents.get(model)
            if found and found.context in (context, None):
                fresh, found.context = False, context
            else:
                found, fresh = await self._make_room(model, context), True
            found.take()
        try:
            if fresh:
                await asyncio.sleep(self.load_s)
                found.ready.set()
            else:
                await found.ready.wait()
        except asyncio.CancelledError:
            found.give()
            if fresh:
                # Ollama goes on loading after the client has left; the others wait for the rest of it.
                asyncio.get_running_loop().call_later(self.load_s, found.ready.set)
            raise
        return found, fresh

    async def _make_room(self, model: str, context: int) -> Resident:
        """Evict what is in the way and put the model in, not ready yet."""
        size = self._spec.size_gb(model)
        if size > self._spec.memory_gb:
            raise HostFull(
                f"model requires more system memory ({size:.1f} GiB) than is available ({self._spec.memory_gb:.1f} GiB)"
            )
        if model in self._residents:
            await self._evict(self._residents[model])
            self.reloads += 1
        swapped = False
        while sum(one.size_gb for one in self._residents.values()) + size > self._spec.memory_gb:
            await self._evict(min(self._residents.values(), key=lambda one: (one.busy > 0, one.used_at)))
            swapped = True
        self.loads += 1
        self.swaps += swapped
        return self._add(model, context)

    async def _evict(self, resident: Resident) -> None:
        """Wait until a model is idle, then drop it."""
        while resident.busy:
            await resident.idle.wait()
        if self._residents.get(resident.model) is resident:
            del self._residents[resident.model]

    def _release(self, resident: Resident, keep_alive_s: float | None) -> None:
        """Note the end of a use and how long the model stays from now on."""
        resident.give()
        keep = DEFAULT_KEEP_ALIVE_S if keep_alive_s is None else keep_alive_s
        resident.expires_at = resident.used_at + keep
        if keep == 0 and resident.busy == 0 and self._residents.get(resident.model) is resident:
            del self._residents[resident.model]

    def _add(self, model: str, context: int | None) -> Resident:
        """Put a model in."""
        resident = Resident(model, self._spec.size_gb(model), context, asyncio.Semaphore(self._spec.slots))
        self._residents[model] = resident
        return resident
