"""``/v1/admin/cache``: what the cache holds, and taking it back. For admins; `autotier cache` asks here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.parts import Parts, parts_of
from service.api.query import KNOWN_QUERY
from service.cache.answers import AnswerCache
from service.errors import InvalidRequest, RecordNotFound

router = APIRouter(dependencies=KNOWN_QUERY)
MOST_KEYS = 1_000
"""That one request names."""


def _cache(request: Request) -> AnswerCache:
    gateway = parts_of(request).gateway
    gateway.authenticator.admin_of(request)
    if gateway.replies.cache is None:
        raise InvalidRequest("the cache is switched off (cache.enabled: false)")
    return gateway.replies.cache


async def _place(parts: Parts, name: str) -> str:
    """The key of an entry: itself, or that of the decision that made or got it.

    Raises:
        RecordNotFound: No such decision, or it did not use the cache.
    """
    if not name.startswith("dec_"):
        return name
    record = await parts.records.get(name)
    key = (record.decision.get("cache") or {}).get("key") if record is not None else None
    if not isinstance(key, str):
        raise RecordNotFound(f"no decision {name[:40]!r} with an answer in the cache")
    return key


@router.get("/v1/admin/cache")
async def stats(request: Request) -> dict[str, Any]:
    """Numbers, settings, and the languages in which similar asks share answers."""
    cache = _cache(request)
    semantic = cache.semantic
    shown = {"model": semantic.embedder.model, "thresholds": semantic.thresholds} if semantic is not None else None
    return {
        "object": "cache",
        "numbers": parts_of(request).gateway.replies.snapshot(),
        "ttl_s": cache.settings.ttl_s,
        "semantic": shown,
        "verification": _verification(cache),
    }


def _verification(cache: AnswerCache) -> dict[str, Any] | None:
    """Who judges, how far it is to be trusted, and what is known of each scope; None where nobody does."""
    verified, settings = cache.verified, cache.settings.verify
    if verified is None or settings is None:
        return None
    error = verified.error
    return {
        "judge": settings.judge,
        "share": settings.share,
        "max_error": settings.max_error,
        "budget_per_day": settings.budget_per_day,
        "judge_error": None
        if error is None
        else {
            "different": error.different,
            "missed": error.missed,
            "same": error.same,
            "alarmed": error.alarmed,
            "undecided": error.undecided,
            "missed_bound": error.missed_bound(),
        },
        "scopes": [standing.public() for standing in verified.standings()],
    }


@router.delete("/v1/admin/cache")
async def clear(request: Request) -> dict[str, Any]:
    """Forgets everything."""
    return {"object": "cache", "removed": await _cache(request).clear()}


class Kept(BaseModel):
    """Where answers are kept: `cache.key` of decisions."""

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_KEYS)]


@router.post("/v1/admin/cache/forget")
async def forget(kept: Kept, request: Request) -> dict[str, Any]:
    """Forgets the answers to decisions that were deleted; none where the cache is off."""
    gateway = parts_of(request).gateway
    gateway.authenticator.admin_of(request)
    cache = gateway.replies.cache
    return {"object": "cache", "removed": 0 if cache is None else await cache.forget(kept.keys)}


@router.get("/v1/admin/cache/{name}")
async def inspect(name: str, request: Request) -> dict[str, Any]:
    """One entry, by its key or by a decision that made or got it."""
    cache = _cache(request)
    place = await _place(parts_of(request), name)
    entry = await cache.answers.get(place)
    if entry is None:
        raise RecordNotFound(f"nothing is kept under {place[:40]!r}")
    return {
        "object": "cache.entry",
        "key": place,
        "deployment": entry.deployment_id,
        "decision": entry.decision_id,
        "created_s": entry.created_s,
        "took_ms": entry.took_ms,
        "cost_usd": entry.cost_usd,
        "usage": entry.usage,
        "ask": entry.ask,
        "choices": entry.choices,
    }


@router.delete("/v1/admin/cache/{name}")
async def evict(name: str, request: Request) -> dict[str, Any]:
    """Takes one entry back, with its neighbours."""
    cache = _cache(request)
    return {"object": "cache", "removed": int(await cache.reject(await _place(parts_of(request), name)))}
