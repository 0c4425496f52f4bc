"""What routing and the two ways upstream agree on: send this request to this deployment.

A *way* sends one request to exactly one deployment and gives back batches of chunks, or raises
:class:`UpstreamFailure`. It never retries, never falls back, never cools anything down: who walks the chain is
``service.upstream.chain`` alone, above every way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from service.config import Deployment

WayName = Literal["lean", "router"]


class Outcome(StrEnum):
    """How an attempt ended. All but ``ANSWERED`` and ``ABORTED`` are failures."""

    ANSWERED = "answered"
    ABORTED = "aborted"  # the client went away
    # Never sent: the chain passed the deployment over.
    PREFLIGHT_FAILED = "preflight_failed"  # no connection within the limit, or no /api/ps
    REMEMBERED_DOWN = "remembered_down"  # a failed pre-flight is still believed
    COOLING_DOWN = "cooling_down"
    NO_FREE_SLOT = "no_free_slot"
    # Sent, nothing usable came.
    CONNECT = "connect"  # refused, reset before the headers, DNS, TLS
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105
    TOKEN_TIMEOUT = "token_timeout"  # noqa: S105  # silent between two tokens
    CAP = "cap"  # longest answer reached
    CUT = "cut"  # the stream ended without its end, or was reset
    EMPTY = "empty"  # an end without any text, tool call or refusal
    GARBAGE = "garbage"  # not the protocol: HTML, broken JSON
    ERROR_EVENT = "error_event"  # an error inside a 200
    WRONG_MODEL = "wrong_model"
    TRUNCATED = "truncated"  # the host dropped a part of the prompt
    CONTEXT = "context"  # the host says: too long
    BAD_REQUEST = "bad_request"  # 400, 404, 422 and the like: the client's fault
    MODEL_MISSING = "model_missing"  # the host does not have the model: the operator's fault
    UNAUTHORIZED = "unauthorized"  # 401, 403: the operator's fault
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"  # 5xx


class UpstreamFailure(Exception):
    """One attempt that failed, typed.

    Args:
        outcome: What happened.
        detail: The host's words or ours, at most 500 characters, without keys and prompts.
        status: HTTP status, or None if there was none.
        code: The host's error code, or None.
        retry_after_s: What the host asked for, or None.
    """

    def __init__(
        self,
        outcome: Outcome,
        detail: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{outcome}: {detail}" if detail else str(outcome))
        self.outcome = outcome
        self.detail = detail[:500]
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the host counted them."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0


@dataclass(slots=True)
class Chunk:
    """One OpenAI ``chat.completion.chunk`` without its envelope (id, created, model are the service's own).

    Attributes:
        choices: OpenAI's ``choices`` array: ``[{"index", "delta", "finish_reason", "logprobs"?}]``. Thinking text is
            ``delta.reasoning_content``, apart from ``delta.content``. Empty for a chunk that carries usage only.
        usage: Tokens by the host, on the chunk that has them.
        served_model: The model's name by the host, on the first chunk that has it.
        system_fingerprint: Passed on where the host sends one.
        continued_by: Id of the deployment that goes on from here after another one's stream has died.
    """

    choices: list[dict[str, Any]] = field(default_factory=list)
    usage: Usage | None = None
    served_model: str | None = None
    system_fingerprint: str | None = None
    continued_by: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request for one deployment, as a way gets it.

    Attributes:
        deployment: Where to.
        address: Base URL without trailing slash.
        key: The host's key in clear, or None.
        body: OpenAI chat body with the fields that this deployment gets: no ``model``, no ``stream``, no
            ``stream_options``; the way adds them. Never mutated.
        dropped: Fields left out because the deployment cannot express them and they do not change the answer.
    """

    deployment: Deployment
    address: str
    key: str | None
    body: Mapping[str, Any]
    dropped: tuple[str, ...] = ()


class Way(Protocol):
    """Sends calls upstream. Always streams from the host, whatever the client asked for."""

    name: WayName

    def stream(self, call: Call) -> AsyncIterator[list[Chunk]]:
        """Batches of chunks as they arrive (one batch per network read at best).

        The iterator ends after the host's proper end only; anything else raises :class:`UpstreamFailure`. Limits in
        time are the chain's. Closing the iterator (``aclose``) or cancelling closes the connection to the host.
        """
        ...

    async def close(self) -> None:
        """Closes pooled connections."""
        ...


@dataclass(slots=True)
class Attempt:
    """One deployment that the chain came to. Milliseconds since the start of the attempt; None: not reached.

    Attributes:
        order: Place in the request's attempts, from 0.
        way: Way upstream, None where nothing was sent.
        detail: The failure's words.
        prompt_tokens_counted: Our count or bound; ``prompt_tokens`` is the host's.
        cost_usd: From the configured prices and the host's counts, ours where it gives none.
    """

    order: int
    deployment_id: str
    outcome: Outcome
    way: WayName | None = None
    status: int | None = None
    detail: str = ""
    connect_ms: float | None = None
    first_token_ms: float | None = None
    total_ms: float = 0.0
    prompt_tokens_counted: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float = 0.0
    served_model: str | None = None
    warning: str | None = None

    def public(self) -> dict[str, Any]:
        """What an error body shows of the attempt."""
        shown = {"deployment": self.deployment_id, "outcome": str(self.outcome), "ms": round(self.total_ms, 1)}
        if self.status is not None:
            shown["status"] = self.status
        if self.detail:
            shown["detail"] = self.detail
        return shown
