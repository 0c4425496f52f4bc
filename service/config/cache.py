"""The section ``cache``: what is answered again without asking upstream."""

from __future__ import annotations

from pydantic import Field

from classifier import Tier
from service.config.strict import Identifier, RedisUrl, Strict


class CacheSettings(Strict):
    """Answers that are kept for equal requests."""

    enabled: bool = Field(default=True, description="Whether answers are kept and given again.")
    ttl_s: float = Field(default=86_400.0, gt=0, description="How long an answer is kept.")
    max_bytes: int = Field(
        default=256 * 1024 * 1024,
        gt=0,
        description="What all kept answers together may take; the oldest use goes first.",
    )
    max_entry_bytes: int = Field(default=262_144, gt=0, description="Largest answer that is kept.")
    max_temperature: float = Field(
        default=0.0, ge=0, description="Requests that send a higher temperature want variety and go past the cache."
    )
    near_duplicates: bool = Field(
        default=True,
        description="Asks that differ in doubled spaces, typographic marks or a full stop at the end share answers.",
    )
    tiers: tuple[Tier, ...] = Field(
        default=(Tier.LIGHTWEIGHT, Tier.CODING, Tier.REASONING), description="Tiers whose answers are kept."
    )
    groups: dict[Identifier, tuple[Identifier, ...]] = Field(
        default={}, description="Callers that share answers, by a name of yours. All others have answers of their own."
    )
    redis_url: RedisUrl | None = Field(
        default=None,
        description="Redis that replicas share, as in state.redis_url; null takes that one, else the process's memory.",
    )
    timeout_ms: int = Field(
        default=50, gt=0, description="Most milliseconds that the Redis may add to a request; then it is a miss."
    )
