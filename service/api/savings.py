"""``GET /v1/admin/savings``: spent and saved against everything on the reasoning tier. For admins."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from service.api.parts import parts_of
from service.api.query import KNOWN_QUERY
from service.learning.savings import price_of, savings

router = APIRouter(dependencies=KNOWN_QUERY)

LIMIT_S = 60.0
DAY_S = 86_400


@router.get("/v1/admin/savings")
async def accounts(request: Request, days: Annotated[float, Query(gt=0, le=3_660)] = 30) -> dict[str, Any]:
    """Accounts of the last ``days``, by day, caller and tier."""
    parts = parts_of(request)
    parts.gateway.authenticator.admin_of(request)
    price = price_of(parts.gateway.configuration)
    found = await parts.records.report(partial(savings, price=price, since_s=time.time() - days * DAY_S), LIMIT_S)
    return {"object": "savings", **found}
