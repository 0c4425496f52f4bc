"""``GET /v1/models``: the names that clients may send."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from service.api.parts import parts_of
from service.errors import ModelNotFound
from service.routing.request import MODEL_NAMES

router = APIRouter()

# OpenAI's list has a creation time; ours never changes: 2026-01-01.
_CREATED_S = 1_767_225_600


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED_S, "owned_by": "autotier"}


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """All model names in OpenAI's list format."""
    parts_of(request).gateway.authenticator.caller_of(request)
    return {"object": "list", "data": [_model(name) for name in MODEL_NAMES]}


@router.get("/v1/models/{name}")
async def model(name: str, request: Request) -> dict[str, Any]:
    """One model name."""
    parts_of(request).gateway.authenticator.caller_of(request)
    if name not in MODEL_NAMES:
        raise ModelNotFound(f"model: there is no {name[:80]!r}; there are {', '.join(MODEL_NAMES)}", param="model")
    return _model(name)
