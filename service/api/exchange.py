"""One exchange with a client: from the decision to the answer's headers and the record that is left behind."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from service.cache.language import language_of
from service.config import Configuration
from service.decisions.features import kept_features
from service.decisions.records import AttemptRecord, DecisionRecord
from service.errors import RequestError, TooManyRequests, error_body
from service.limits.limits import Admission, Used
from service.limits.queue import Slot
from service.routing.conversation import ConversationKeys
from service.routing.decision import RouteDecision
from service.routing.request import CallerIdentity, ChatRequest
from service.upstream.interface import Attempt, Outcome, Usage

Ending = Literal["answered", "refused", "failed", "aborted", "cut"]
UNKNOWN_CALLER = "unknown"
LANGUAGE_CHARS = 400
"""Of an ask; more of it tells no more about its language."""


class _Chance:
    """Random bytes of the system, fetched for 512 ids at once: each call into the kernel takes 10 us."""

    def __init__(self) -> None:
        self._bytes, self._next, self._process = b"", 0, 0

    def ten(self) -> bytes:
        """Ten bytes that nobody had before."""
        if self._next >= len(self._bytes) or self._process != os.getpid():  # a process that was forked fetches its own
            self._bytes, self._next, self._process = os.urandom(5_120), 0, os.getpid()
        self._next += 10
        return self._bytes[self._next - 10 : self._next]


_chance = _Chance()


def new_digits() -> str:
    """32 hexadecimal digits that sort by time (UUID version 7, RFC 9562, section 5.7)."""
    stamp = time.time_ns() // 1_000_000
    chance = int.from_bytes(_chance.ten(), "big")
    bits = (stamp & (2**48 - 1)) << 80 | 0x7 << 76 | (chance >> 68) << 64 | 0b10 << 62 | chance & (2**62 - 1)
    return f"{bits:032x}"


@dataclass(slots=True)
class CacheUse:
    """What the cache did for a request.

    Attributes:
        status: ``off``, ``miss``, ``refresh``, ``shared`` (another's call under way), ``hit-exact``, ``hit-near``,
            ``hit-semantic`` or ``bypass:`` with its reason.
        key: Under which the answer is kept, or would be.
        age_s: Of the kept answer.
        similarity: Cosine of the two asks of a semantic hit.
        saved_usd: What the answer cost when it was made.
        saved_ms: How long it took then.
        source: The decision that it was made for.
        group: What a verdict on a near or semantic hit counts for: caller or group, tier, language.
    """

    status: str = "off"
    key: str | None = None
    age_s: float | None = None
    similarity: float | None = None
    saved_usd: float = 0.0
    saved_ms: float = 0.0
    source: str | None = None
    group: str | None = None


@dataclass(slots=True)
class Exchange:
    """Everything that one request leaves: headers for the client, a record for the store.

    Attributes:
        digits: Of the decision's id and the answer's id.
        attempts: Shared with the chain, which fills it.
        deployment_id: The deployment that serves, once known.
        admission: What it has of its caller's limits.
        slot: Its place at work.
        cache: What the cache did.
    """

    surface: str
    digits: str = field(default_factory=new_digits)
    started: float = field(default_factory=time.perf_counter)
    created_s: float = field(default_factory=time.time)
    caller: CallerIdentity | None = None
    request: ChatRequest | None = None
    decision: RouteDecision | None = None
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dropped_fields: dict[str, list[str]] = field(default_factory=dict)
    deployment_id: str | None = None
    first_token_ms: float | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    admission: Admission | None = None
    slot: Slot | None = None
    cache: CacheUse = field(default_factory=CacheUse)

    @property
    def id(self) -> str:
        """Id of the decision."""
        return f"dec_{self.digits}"

    @property
    def completion_id(self) -> str:
        """Id of the answer."""
        return f"chatcmpl-{self.digits}"

    @property
    def elapsed_ms(self) -> float:
        """Since the request came."""
        return (time.perf_counter() - self.started) * 1000

    @property
    def cost_usd(self) -> float:
        """Of all attempts: a failed one may cost too."""
        return sum(attempt.cost_usd for attempt in self.attempts)

    def headers(self) -> dict[str, str]:
        """The ``x-autotier-`` headers, on every answer, error and stream. What is not known (yet) is left out."""
        shown = {
            "x-autotier-decision": self.id,
            "x-autotier-attempts": str(len(self.attempts)),
            "x-autotier-cache": self.cache.status,
        }
        if self.cache.age_s is not None:
            shown["x-autotier-cache-age"] = f"{self.cache.age_s:.0f}"
        if self.cache.similarity is not None:
            shown["x-autotier-cache-similarity"] = f"{self.cache.similarity:.3f}"
        decision = self.decision
        if decision is not None:
            shown["x-autotier-tier"] = str(decision.tier)
            shown["x-autotier-reason"] = str(decision.reason)
            if decision.confidence is not None:
                shown["x-autotier-confidence"] = f"{decision.confidence:.3f}"
            if decision.artifact is not None:
                shown["x-autotier-artifact"] = decision.artifact
            heard = decision.classification.embedding if decision.classification is not None else None
            if heard is not None and heard.logodds is None:
                shown["x-autotier-embedding"] = str(heard.result)
        if self.deployment_id is not None:
            shown["x-autotier-deployment"] = self.deployment_id
        if self.admission is not None:
            shown |= self.admission.headers
        return shown

    def error_headers(self, error: RequestError) -> dict[str, str]:
        """Headers of an error: ours, ``Retry-After`` and ``WWW-Authenticate`` where they belong."""
        shown = self.headers()
        if error.status in (408, 413):
            shown["connection"] = "close"  # the rest of the body is not read
        if error.retry_after_s is not None:
            shown["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
        if error.status == 401:
            shown["www-authenticate"] = "Bearer"
        return shown

    def summary(self) -> dict[str, Any]:
        """What the usage chunk says beside the usage."""
        return {
            "decision": self.id,
            "deployment": self.deployment_id,
            "attempts": len(self.attempts),
            "cost_usd": self.cost_usd,
            "cache": self.cache.status,
            "saved_usd": self.cache.saved_usd,
        }

    def counted_usage(self) -> Usage:
        """The host's count, or ours where it gives none."""
        if self.usage is not None:
            return self.usage
        served = next((a for a in reversed(self.attempts) if a.outcome is Outcome.ANSWERED), None)
        completion = served.completion_tokens if served is not None else None
        return Usage(self.decision.tokens if self.decision else 0, completion or 0)

    def release(self) -> None:
        """Gives back the place at work and settles the caller's limits; a second call does nothing."""
        if self.slot is not None:
            self.slot.release()
        if self.admission is not None:
            self.admission.settle(self._used())

    def _used(self) -> Used:
        """Tokens and dollars of all attempts that got something: a failed one may cost too."""
        met = [a for a in self.attempts if a.prompt_tokens is not None or a.completion_tokens is not None]
        prompt = (a.prompt_tokens if a.prompt_tokens is not None else a.prompt_tokens_counted or 0 for a in met)
        return Used(sum(prompt) + sum(a.completion_tokens or 0 for a in met), self.cost_usd)

    def _explained(self, error: RequestError | None, keys: ConversationKeys | None) -> dict[str, Any]:
        """What the record's `decision` says."""
        decision, request = self.decision, self.request
        explained = decision.public() if decision else {}
        explained["recomputed"] = bool(decision and decision.recomputed)
        explained["regeneration"] = bool(decision and decision.is_regeneration)
        explained["private"] = decision.private if decision else None
        explained["experiment"] = decision.assignment.recorded() if decision and decision.assignment else None
        explained["follows"] = decision.follows if decision else None
        explained["unit"] = keys.unit(request) if keys and decision and request else None
        explained["answer_limit"] = _answer_limit(request) if request else None
        explained["order_notes"] = self.notes
        explained["cache"] = {name: getattr(self.cache, name) for name in _CACHE_FIELDS}
        explained["limit"] = error.limit if isinstance(error, TooManyRequests) else None
        return explained

    def record(
        self,
        ending: Ending,
        status: int,
        total_ms: float,
        configuration: Configuration,
        error: RequestError | None,
        keys: ConversationKeys | None = None,
    ) -> DecisionRecord:
        """The record of this exchange.

        Args:
            ending: How it ended.
            status: HTTP status that the client got.
            total_ms: From the request's first byte to the end of its answer.
            configuration: For what of the prompt may be kept.
            error: The error that the client got, if any.
            keys: For the hash that all turns of the conversation share; None: a request of our own.
        """
        decision, request = self.decision, self.request
        kept = configuration.store.prompts
        explained = self._explained(error, keys)
        usage = self.usage or (self.counted_usage() if ending == "answered" else None)
        return DecisionRecord(
            id=self.id,
            created_s=self.created_s,
            caller=self.caller.name if self.caller else UNKNOWN_CALLER,
            surface=self.surface,
            model_asked=request.model if request else "",
            stream=bool(request and request.stream),
            tier=str(decision.tier) if decision else None,
            reason=str(decision.reason) if decision else None,
            confidence=decision.confidence if decision else None,
            displaced=str(decision.displaced) if decision and decision.displaced else None,
            artifact=decision.artifact if decision else None,
            deployment_id=self.deployment_id,
            outcome=ending,
            status=status,
            first_token_ms=self.first_token_ms,
            total_ms=total_ms,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            cost_usd=self.cost_usd,
            conversation=decision.conversation if decision else None,
            finish_reason=self.finish_reason,
            decision=explained,
            attempts=tuple(_attempt_record(a) for a in self.attempts),
            messages=list(request.messages) if request and kept == "full" else None,
            features=_features(decision) if decision and kept != "none" else None,
            error=error_body(error)["error"] if error else None,
            dropped_fields=self.dropped_fields,
        )


def _answer_limit(request: ChatRequest) -> int | None:
    """The client's own limit of tokens: an answer that ends there was not too short for its tier."""
    given = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
    return given if isinstance(given, int) else None


_CACHE_FIELDS = tuple(one.name for one in fields(CacheUse))
_ATTEMPT_FIELDS = tuple(one.name for one in fields(AttemptRecord))


def _attempt_record(attempt: Attempt) -> AttemptRecord:
    kept = {name: getattr(attempt, name) for name in _ATTEMPT_FIELDS}  # asdict walks into every value
    kept["outcome"] = str(attempt.outcome)
    return AttemptRecord(**kept)


def _features(decision: RouteDecision) -> dict[str, Any] | None:
    """The hashed features of the judged prompt with their schema version: enough to retrain, no text."""
    if decision.view is None:
        return None
    language = language_of(decision.view.ask[:LANGUAGE_CHARS]) or ""
    spoken = decision.classification
    if spoken is not None and spoken.artifact != decision.artifact:
        # The record names the artifact that decided, these are another's.
        spoken = replace(spoken, second=None, embedding=None)
    return kept_features(decision.view, spoken, language)
