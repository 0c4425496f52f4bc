"""The parts that the handlers use, built by ``service.bootstrap`` and swapped as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.gateway import ChatGateway
from service.decisions.records import DecisionRecord, FeedbackRecord
from service.decisions.store import DecisionStore

_KEY = "autotier.parts"


class Records(Protocol):
    """What the handlers read and write of ``service.decisions.recorder.Recorder``."""

    async def get(self, decision_id: str) -> DecisionRecord | None: ...

    async def feedback_of(self, decision_id: str) -> list[FeedbackRecord]: ...

    async def feedback(self, record: FeedbackRecord) -> None: ...

    async def report(self, query: Callable[[DecisionStore], dict[str, Any]], limit_s: float) -> dict[str, Any]: ...


class Shared(Protocol):
    """What the handlers say of ``service.state.shared.SharedState``."""

    @property
    def problem(self) -> str | None:
        """Why this process is on its own now, or None."""
        ...

    @property
    def processes(self) -> int:
        """How many processes share the state."""
        ...


class Users:
    """How many requests use some parts. Event loop only."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(self, *exception: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def gone(self) -> None:
        """Returns when there are none."""
        await self._none.wait()


@dataclass(frozen=True, slots=True)
class Parts:
    """One running service.

    Attributes:
        gateway: Answers chat requests.
        records: Decisions and feedback.
        shared: The state that replicas share, or None where this process is alone by its configuration.
        users: The requests that use these parts.
    """

    gateway: ChatGateway
    records: Records
    shared: Shared | None = None
    users: Users = field(default_factory=Users)


class Running(Protocol):
    """The service over an application's lifetime (``service.bootstrap``)."""

    @property
    def parts(self) -> Parts:
        """The parts that a request begins with now."""
        ...

    async def reload(self) -> Mapping[str, Any]:
        """Builds parts from the configuration as it is now and swaps them in.

        Raises:
            AutotierError: They cannot be built; the present ones go on.
        """
        ...


class Leases:
    """ASGI layer: a request keeps the parts that it began with until its answer is over, whatever is swapped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts = cast(Running, scope["app"].state.running).parts
        scope[_KEY] = parts
        with parts.users:
            await self._app(scope, receive, send)


def parts_of(request: Request) -> Parts:
    """The parts that ``request`` began with."""
    return cast(Parts, request.scope[_KEY])
