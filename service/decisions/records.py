"""The records that the store keeps: a request with one decision and 0..n attempts, and the feedback on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from classifier import Tier


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt, as it is stored. Milliseconds, tokens and US dollars."""

    order: int
    deployment_id: str
    outcome: str
    way: str | None
    status: int | None
    detail: str
    connect_ms: float | None
    first_token_ms: float | None
    total_ms: float
    prompt_tokens_counted: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float
    served_model: str | None
    warning: str | None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One request, its decision and how it ended.

    Attributes:
        id: ``dec_`` and 32 hexadecimal digits, time-ordered (UUID 7).
        created_s: Unix seconds.
        caller: Name of the caller, ``local`` without keys.
        surface: ``chat``; of our own questions ``verify`` (a hit of the cache) and ``judge`` (a tier).
        model_asked: The model name that the client sent.
        outcome: ``answered``, ``refused`` (before the chain), ``failed``, ``aborted`` (client left) or ``cut`` (died
            after the first token).
        status: HTTP status of the answer.
        decision: ``RouteDecision.public()`` without what has columns of its own.
        messages: The conversation's messages where ``store.prompts`` is ``full``, else None.
        features: Hashed features and their schema version where it is ``features`` or ``full``, else None.
        error: OpenAI error object of a failure, else None.
    """

    id: str
    created_s: float
    caller: str
    surface: str
    model_asked: str
    stream: bool
    tier: str | None
    reason: str | None
    confidence: float | None
    displaced: str | None
    artifact: str | None
    deployment_id: str | None
    outcome: str
    status: int
    first_token_ms: float | None
    total_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float
    conversation: str | None
    finish_reason: str | None
    decision: dict[str, Any]
    attempts: tuple[AttemptRecord, ...] = ()
    messages: list[dict[str, Any]] | None = None
    features: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    dropped_fields: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """What a caller said about a decision afterwards. At least one of the four is set.

    Attributes:
        source: ``caller`` for what was said; other words for labels that were concluded (an override that repeats a
            request, a regeneration).
        weight: Weight of the label in training, 1.0 for what was said.
    """

    decision_id: str
    caller: str
    created_s: float
    correct_tier: str | None = None
    solved: bool | None = None
    rating: int | None = None
    comment: str | None = None
    source: str = "caller"
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    """What a conversation was last served with.

    Attributes:
        key: The id given by the client, hashed with the caller, or the keyed hash of the history up to the answer.
        tier: Tier of the last decision.
        decision_id: The last decision.
        updated_s: Unix seconds.
    """

    key: str
    caller: str
    tier: str
    decision_id: str
    updated_s: float


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """The tier that a conversation was last served with, as it is read back.

    Attributes:
        rejected: The caller said of the last answer that it did not solve the task.
    """

    tier: Tier
    decision_id: str
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions are listed; None does not filter.

    Attributes:
        since_s: Unix seconds; decisions from then on.
        limit: How many, newest first.
    """

    since_s: float | None = None
    caller: str | None = None
    tier: str | None = None
    reason: str | None = None
    outcome: str | None = None
    limit: int = 20
