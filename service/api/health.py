"""``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.api.parts import parts_of

router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 only if a request would be sent upstream at once, in at least one tier.

    Never while the service ends or all its places at work are taken. Each tier is listed, and what is held back
    (``deployment:ID`` or ``host:NAME``) with why and for how many seconds.
    """
    parts = parts_of(request)
    gateway, shared = parts.gateway, parts.shared
    chain, overload = gateway.chain, gateway.overload
    tiers = {str(tier): ready for tier, ready in chain.readiness().items()}
    held = {key: {"outcome": why, "seconds": round(left, 1)} for key, (why, left) in chain.snapshot()["holds"].items()}
    draining, full = overload.drain.is_draining, not overload.slots.is_free
    ready = any(tiers.values()) and not draining and not full
    shown: dict[str, Any] = {"ready": ready, "draining": draining, "full": full, "tiers": tiers, "held": held}
    if shared is not None:  # without its Redis the process serves, with limits, cooldowns and conversations of its own
        shown["state"] = {"shared": shared.problem is None, "problem": shared.problem, "processes": shared.processes}
    return JSONResponse(shown, status_code=200 if ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus' text format; where callers have keys, one with the admin right."""
    gateway = parts_of(request).gateway
    gateway.authenticator.admin_of(request)
    return Response(gateway.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
