"""``POST /v1/admin/reload``: what SIGHUP does, with an answer."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Request

from service.api.parts import Running, parts_of
from service.api.query import KNOWN_QUERY
from service.errors import AutotierError, InvalidRequest

router = APIRouter(dependencies=KNOWN_QUERY)


@router.post("/v1/admin/reload")
async def reload(request: Request) -> dict[str, Any]:
    """Reads the configuration again. One that cannot be used is a 400 with its one line, and the old one goes on."""
    parts_of(request).gateway.authenticator.admin_of(request)
    try:
        said = await cast(Running, request.app.state.running).reload()
    except AutotierError as error:
        raise InvalidRequest(str(error)) from error
    return {"object": "reload", **said}
