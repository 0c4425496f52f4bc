"""``POST /v1/chat/completions`` and its dry run ``POST /v1/route``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.api.parts import parts_of
from service.api.query import KNOWN_QUERY

PATH = "/v1/chat/completions"

_CHAT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "messages"],
                    "properties": {
                        "model": {"type": "string"},
                        "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                        "stream": {"type": "boolean"},
                    },
                }
            }
        },
    }
}

router = APIRouter()


@router.post(PATH, openapi_extra=_CHAT_BODY)
async def chat_completions(request: Request) -> Response:
    """OpenAI's chat completions; the model ``auto`` picks the tier.

    Described here; ``service.api.app`` answers before it comes to this.
    """
    return await parts_of(request).gateway.answer(request)


@router.post("/v1/route", openapi_extra=_CHAT_BODY, dependencies=KNOWN_QUERY)
async def route(request: Request) -> Response:
    """What a chat request with this body would be decided as; nothing is sent or recorded."""
    decision = await parts_of(request).gateway.dry_run(request)
    return JSONResponse(decision.public())
