"""What went wrong below litellm, as one of our outcomes.

What the watched wire shows comes first; litellm's exception speaks where nothing was seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.wire_watch import WireWatch

_TOO_LONG = re.compile(
    r"context[_ -](length|window|size)|maximum context|exceeds? (the )?(available |maximum )?context"
    r"|prompt (is )?too long|input (is )?too long|input length exceeds|too many tokens|num_ctx",
    re.IGNORECASE,
)
"""Words of Ollama, OpenAI, vLLM, llama.cpp, LM Studio and Anthropic for a prompt that does not fit."""

_MODEL_MISSING = re.compile(r"model.{0,120}(not found|not exist|no such)|model_not_found", re.IGNORECASE | re.S)

_SECRET = re.compile(r"(sk-|key-|Bearer\s+)[A-Za-z0-9_\-*.]{3,}", re.IGNORECASE)

_NO_CONNECTION = ("Cannot connect", "Connection refused", "Connect call failed", "All connection attempts failed")


def from_http(status: int, headers: Mapping[str, str], body: bytes, *, key: str | None) -> UpstreamFailure:
    """The failure behind an answer that is no 200.

    Args:
        status: HTTP status.
        headers: Of the answer; looked up in lower case.
        body: The beginning of the answer.
        key: The key in clear, to take it out of the host's words.
    """
    message, code = _said(body)
    return UpstreamFailure(
        _outcome(status, message, code),
        cleaned(message or f"HTTP {status}", key),
        status=status,
        code=code,
        retry_after_s=_retry_after_s(headers.get("retry-after")),
    )


def from_watch(watch: WireWatch, *, key: str | None) -> UpstreamFailure | None:
    """The failure that the wire shows, or None where it shows none (yet)."""
    if watch.status is None:
        return None
    if watch.status != 200:
        return from_http(watch.status, watch.headers, watch.body, key=key)
    if watch.garbage is not None:
        return UpstreamFailure(Outcome.GARBAGE, cleaned(watch.garbage, key), status=200)
    if watch.error is not None:
        return _error_event(watch.error, key)
    return None


def from_exception(error: Exception, watch: WireWatch, *, key: str | None) -> UpstreamFailure:
    """The failure behind an exception of litellm."""
    seen = from_watch(watch, key=key)
    if seen is not None:
        return seen
    said = cleaned(_first_line(str(error)), key)
    if watch.status == 200:
        return UpstreamFailure(Outcome.CUT, cleaned(watch.broken or said, key), status=200)
    status = getattr(error, "status_code", None)
    name = type(error).__name__
    if name == "ContextWindowExceededError":
        return UpstreamFailure(Outcome.CONTEXT, said, status=status)
    if name in ("APIConnectionError", "Timeout", "InternalServerError") or any(w in str(error) for w in _NO_CONNECTION):
        # Not seen on the wire: for a watched host nothing was answered at all.
        return UpstreamFailure(Outcome.CONNECT, said)
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return UpstreamFailure(
        _outcome(int(status or 500), str(error), None),
        said,
        status=status,
        retry_after_s=_retry_after_s(headers.get("retry-after")),
    )


def ended_early(watch: WireWatch, *, key: str | None) -> UpstreamFailure | None:
    """Why a stream that litellm calls complete is none, or None where it is."""
    seen = from_watch(watch, key=key)
    if seen is not None or watch.done:
        return seen
    if not watch.received:
        return UpstreamFailure(Outcome.EMPTY, "a 200 without a body", status=watch.status)
    return UpstreamFailure(Outcome.CUT, watch.broken or "the stream ended without its end", status=watch.status)


def cleaned(text: str, key: str | None) -> str:
    """``text`` in one line without keys: the one that was sent, and what looks like one."""
    if key:
        text = text.replace(key, "***")
    return _SECRET.sub(r"\1***", " ".join(text.split()))[:500]


def _error_event(error: Mapping[str, Any], key: str | None) -> UpstreamFailure:
    message = str(error.get("message") or error)
    code = str(error["code"]) if error.get("code") is not None else None
    outcome = Outcome.CONTEXT if _TOO_LONG.search(f"{code} {message}") else Outcome.ERROR_EVENT
    return UpstreamFailure(outcome, cleaned(message, key), status=200, code=code)


def _outcome(status: int, message: str, code: str | None) -> Outcome:
    said = f"{code} {message}"
    if status in (401, 403):
        return Outcome.UNAUTHORIZED
    if status == 429:
        return Outcome.RATE_LIMITED
    if status >= 500:
        return Outcome.CONTEXT if _TOO_LONG.search(said) and status == 500 else Outcome.SERVER_ERROR
    if status in (400, 413, 422) and _TOO_LONG.search(said):
        return Outcome.CONTEXT
    if _MODEL_MISSING.search(said):
        return Outcome.MODEL_MISSING
    if status == 408:
        return Outcome.SERVER_ERROR
    return Outcome.BAD_REQUEST if 400 <= status < 500 else Outcome.GARBAGE


def _said(body: bytes) -> tuple[str, str | None]:
    """Message and code of an error body: OpenAI's object, Ollama's string, or the text itself."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:300].decode(errors="replace"), None
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if isinstance(error, dict):
        code = error.get("code")
        return str(error.get("message") or error), str(code) if code is not None else None
    return str(error), None


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` in either form (RFC 9110, 10.2.3), or None."""
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)


def _first_line(text: str) -> str:
    """litellm appends advice about fallbacks in further lines."""
    return re.sub(r"^litellm\.\w+: ", "", text.strip().split("\n", 1)[0])
