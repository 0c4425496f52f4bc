"""The parts that the handlers use, built by ``service.bootstrap`` and swapped as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from starlette.requests import Request

from service.api.gateway import ChatGateway
from service.decisions.records import DecisionRecord, FeedbackRecord


class Records(Protocol):
    """What the handlers read and write of ``service.decisions.recorder.Recorder``."""

    async def get(self, decision_id: str) -> DecisionRecord | None: ...

    async def feedback_of(self, decision_id: str) -> list[FeedbackRecord]: ...

    async def feedback(self, record: FeedbackRecord) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """One running service.

    Attributes:
        gateway: Answers chat requests.
        records: Decisions and feedback.
    """

    gateway: ChatGateway
    records: Records


def parts_of(request: Request) -> Parts:
    """The running parts of the application that ``request`` came to."""
    return cast(Parts, request.app.state.parts)
