"""The section ``cache``: what is answered again without asking upstream."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from classifier import Tier
from service.config.strict import Identifier, RedisUrl, Strict


class EmbeddingSettings(Strict):
    """What turns asks into vectors."""

    host: str | None = Field(
        default=None, description="Name of an entry of `hosts`; null: all-MiniLM-L6-v2 here (extra `cache-local`)."
    )
    provider: Literal["ollama", "openai"] = Field(default="ollama", description="Protocol of the host.")
    model: str = Field(default="all-MiniLM-L6-v2", description="The model's name at the host, e.g. nomic-embed-text.")
    deadline_ms: int = Field(default=300, gt=0, description="Longest wait for a vector; then the request is a miss.")


class SemanticSettings(Strict):
    """Answers given again to asks that mean the same in other words."""

    embedding: EmbeddingSettings | None = Field(
        default=None, description="What turns asks into vectors; null: only equal asks share answers."
    )
    error: float = Field(
        default=0.005,
        gt=0,
        lt=0.5,
        description="Share of different asks that may be taken for the same one, as upper bound of the evidence.",
    )
    evidence: str | None = Field(
        default=None,
        description="File written by `autotier cache evaluate` for this embedding model; null: what is shipped.",
    )
    max_vectors: int = Field(default=10_000, gt=0, description="Most asks that are compared; the oldest goes first.")


class VerifySettings(Strict):
    """A share of hits is compared with a fresh answer, beside the requests, by a deployment that judges."""

    judge: Identifier = Field(description="Id of the deployment that compares the two answers.")
    share: float = Field(
        default=0.05, gt=0, le=1, description="Share of near and semantic hits that is compared with a fresh answer."
    )
    budget_per_day: float = Field(
        default=1.0, ge=0, description="US dollars a UTC day for fresh answers and the judge, all replicas together."
    )
    max_error: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Share of semantic hits that may be wrong, as upper bound: sets the similarity that is taken.",
    )


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
    semantic: SemanticSettings = Field(
        default=SemanticSettings(), description="Answers given again to asks that mean the same in other words."
    )
    verify: VerifySettings | None = Field(
        default=None, description="Compares a share of hits with fresh answers; null: no hit is ever verified."
    )
    redis_url: RedisUrl | None = Field(
        default=None,
        description="Redis that replicas share, as in state.redis_url; null takes that one, else the process's memory.",
    )
    timeout_ms: int = Field(
        default=50, gt=0, description="Most milliseconds that the Redis may add to a request; then it is a miss."
    )
