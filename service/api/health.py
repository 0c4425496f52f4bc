"""``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

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

    Each tier is listed, and what is held back (``deployment:ID`` or ``host:NAME``) with why and for how many seconds.
    """
    chain = parts_of(request).gateway.chain
    tiers = {str(tier): ready for tier, ready in chain.readiness().items()}
    held = {key: {"outcome": why, "seconds": round(left, 1)} for key, (why, left) in chain.snapshot()["holds"].items()}
    ready = any(tiers.values())
    return JSONResponse({"ready": ready, "tiers": tiers, "held": held}, status_code=200 if ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus' text format; where callers have keys, any of them opens it."""
    gateway = parts_of(request).gateway
    gateway.authenticator.caller_of(request)
    return Response(gateway.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
