"""``GET /v1/decisions/{id}``: the whole record of a decision, to its caller and to admins."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from service.api.parts import Parts, parts_of
from service.api.query import KNOWN_QUERY
from service.decisions.records import DecisionRecord
from service.errors import RecordNotFound
from service.routing.request import CallerIdentity

router = APIRouter(dependencies=KNOWN_QUERY)

ID = re.compile(r"dec_[0-9a-f]{32}", re.ASCII)


async def visible(parts: Parts, decision_id: str, caller: CallerIdentity) -> DecisionRecord:
    """The record, if the caller may see it.

    Raises:
        RecordNotFound: There is none, or it is another caller's: the two look the same.
    """
    record = await parts.records.get(decision_id) if ID.fullmatch(decision_id) else None
    if record is None or not (caller.admin or record.caller == caller.name):
        raise RecordNotFound(f"no decision {decision_id[:40]!r}")
    return record


@router.get("/v1/decisions/{decision_id}")
async def decision(decision_id: str, request: Request) -> dict[str, Any]:
    """Decision, attempts, tokens, cost and feedback. Never the hashed features."""
    parts = parts_of(request)
    caller = parts.gateway.authenticator.caller_of(request)
    record = await visible(parts, decision_id, caller)
    shown = asdict(record)
    del shown["features"]
    said = await parts.records.feedback_of(decision_id)
    return {"object": "decision", **shown, "feedback": [asdict(one) for one in said]}
