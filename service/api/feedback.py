"""``POST /v1/feedback``: what the caller says about a decision afterwards."""

from __future__ import annotations

import time
from typing import Annotated, Any, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from classifier import Tier
from service.api.decisions import visible
from service.api.parts import parts_of
from service.api.query import KNOWN_QUERY
from service.decisions.records import FeedbackRecord

router = APIRouter(dependencies=KNOWN_QUERY)


class Feedback(BaseModel):
    """A label, an outcome, a rating or a comment; at least one of them."""

    model_config = ConfigDict(extra="forbid")

    decision_id: Annotated[str, Field(pattern=r"^dec_[0-9a-f]{32}$")]
    correct_tier: Tier | None = None
    solved: bool | None = None
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    comment: Annotated[str, Field(max_length=2000)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.correct_tier is None and self.solved is None and self.rating is None and self.comment is None:
            raise ValueError("send at least one of correct_tier, solved, rating (1 to 5), comment")
        return self


@router.post("/v1/feedback")
async def feedback(said: Feedback, request: Request) -> dict[str, Any]:
    """Keeps the feedback; on disk before the 200. The same again changes nothing."""
    parts = parts_of(request)
    caller = parts.gateway.authenticator.caller_of(request)
    about = await visible(parts, said.decision_id, caller)
    record = FeedbackRecord(
        decision_id=said.decision_id,
        caller=caller.name,
        created_s=time.time(),
        correct_tier=said.correct_tier.value if said.correct_tier else None,
        solved=said.solved,
        rating=said.rating,
        comment=said.comment,
    )
    await parts.records.feedback(record)
    if said.solved is False:
        await parts.gateway.replies.reject(about.decision.get("cache") or {})
    for kind in ("correct_tier", "solved", "rating", "comment"):
        if getattr(record, kind) is not None:
            parts.gateway.metrics.feedback.labels(kind).inc()
    return {"object": "feedback", "decision_id": said.decision_id, "stored": True}
