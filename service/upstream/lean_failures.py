"""What a host's answer or a broken connection means, as one of our outcomes.

The texts for a prompt that is too long are those of OpenAI, Ollama (``llm/server.go``, ``runner``), vLLM
(``vllm/entrypoints``), llama.cpp (``tools/server``), LM Studio, Text Generation Inference, Mistral and OpenRouter.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson

from service.upstream.interface import Outcome, UpstreamFailure

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|maximum model length|available context size"
    r"|(input|prompt)[^.]{0,80}exceed\w* (the |max\w* )*(context|model|maximum number of tokens)"
    r"|(prompt|input|request)( is|\s\([^)]*\) is)? too (long|large)|input length exceeds|exceeded max context length"
    r"|loaded with context length of only|when context the overflows|reduce the length of the (messages|prompt|input)"
    r"|too many tokens|tokens.{0,60}must be <=|exceed\w* (the )?context window",
    re.IGNORECASE | re.DOTALL,
)
_NO_MODEL = re.compile(
    r"model_not_found|no such model|not a valid model"
    r"|model\b.{0,160}?(not found|does not exist|doesn't exist|not exist|not loaded|is not available)"
    r"|(no|unknown|invalid) (endpoints found for|model\b)",
    re.IGNORECASE | re.DOTALL,
)
_WRONG_PATH = re.compile(r"invalid url|unexpected endpoint|page not found", re.IGNORECASE)
_FLAGGED = re.compile(r"moderation|flagged", re.IGNORECASE)
"""OpenRouter's 403 for what a client wrote; every other 403 is about the key."""

_SECRET = re.compile(r"\b(sk-|key-|Bearer\s+)[A-Za-z0-9_\-*.]{3,}", re.IGNORECASE)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SPAN_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH_S = 1e9
"""A number above this is a point in time, not a span."""


class Disconnected(ConnectionError):
    """The host has closed the connection before the end of its answer.

    Attributes:
        unanswered: Nothing of an answer had come.
    """

    def __init__(self, words: str, *, unanswered: bool) -> None:
        super().__init__(words)
        self.unanswered = unanswered


class NotHTTP(Exception):
    """What came is no HTTP."""


def from_status(status: int, headers: Mapping[str, str], body: bytes, *, key: str | None = None) -> UpstreamFailure:
    """The failure behind an answer that is no 200.

    Args:
        status: HTTP status.
        headers: Of the answer; looked up without regard to letter case by the mapping.
        body: The beginning of the answer.
        key: The key in clear, to take it out of the host's words.
    """
    message, code, is_error = _said(body)
    outcome = _outcome(status, f"{code or ''} {message}", is_error=is_error)
    if status in range(300, 400):
        message = f"a redirect to {headers.get('Location', 'nowhere')}"
    elif outcome is Outcome.GARBAGE:
        message = f"nothing there speaks the protocol ({' '.join(message.split())[:80]}): check the address"
    return UpstreamFailure(
        outcome,
        cleaned(message or f"HTTP {status}", key),
        status=status,
        code=code,
        retry_after_s=retry_after_s(headers) if status in (429, 503) or status >= 500 else None,
    )


def from_connection(error: Exception, *, key: str | None = None) -> UpstreamFailure:
    """The failure behind a connection that broke or was not made before the headers came."""
    said = cleaned(f"{type(error).__name__}: {_words(error)}", key)
    if isinstance(error, NotHTTP | aiohttp.ClientResponseError) and not isinstance(error, aiohttp.ClientHttpProxyError):
        return UpstreamFailure(Outcome.GARBAGE, f"not HTTP: {said}")
    return UpstreamFailure(Outcome.CONNECT, said)


def _words(error: Exception) -> str:
    """An error without the address that aiohttp names in it: clients may see it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error
        return reason.strerror if isinstance(reason.strerror, str) else type(reason).__name__
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | aiohttp.ClientError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)


def cut(reason: str = "the stream ended without its end") -> UpstreamFailure:
    """An answer that stopped in the middle."""
    return UpstreamFailure(Outcome.CUT, reason, status=200)


def error_event(error: object) -> UpstreamFailure:
    """The failure behind an error inside a 200: OpenAI's object, Ollama's string, or whatever there is."""
    message, code = _message_of(error)
    outcome = Outcome.CONTEXT if _TOO_LONG.search(f"{code or ''} {message}") else Outcome.ERROR_EVENT
    return UpstreamFailure(outcome, cleaned(message), status=200, code=code)


def garbage(what: str, line: bytes = b"") -> UpstreamFailure:
    """A 200 that is not the protocol; at most 60 bytes of it are shown."""
    shown = f": {line[:60].decode(errors='replace')!r}" if line else ""
    return UpstreamFailure(Outcome.GARBAGE, cleaned(f"{what}{shown}"), status=200)


def cleaned(text: str, key: str | None = None) -> str:
    """``text`` on one line without keys: the one that was sent, and what looks like one."""
    if key:
        text = text.replace(key, "***")
    return _SECRET.sub(r"\1***", " ".join(text.split()))[:500]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the host asks to wait, or None.

    ``Retry-After`` in both forms (RFC 9110, 10.2.3), ``retry-after-ms``, and the ``x-ratelimit-reset*`` headers of
    OpenAI (spans such as ``1m30s``) and OpenRouter (milliseconds since 1970): of those, the one that is used up.
    """
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    asked = headers.get("Retry-After")
    if asked:
        return _moment_s(asked)
    resets = [
        _span_s(headers.get(f"x-ratelimit-reset{kind}"))
        for kind in ("", "-requests", "-tokens")
        if headers.get(f"x-ratelimit-remaining{kind}", "0").strip() in ("0", "")
    ]
    return max((s for s in resets if s is not None), default=None)


def _outcome(status: int, said: str, *, is_error: bool) -> Outcome:
    if status == 403 and _FLAGGED.search(said):
        return Outcome.BAD_REQUEST
    if status in (401, 402, 403, 407):  # 402: out of credit, for the operator to mend
        return Outcome.UNAUTHORIZED
    if status == 429:
        return Outcome.RATE_LIMITED
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(said)):
        return Outcome.CONTEXT
    if status >= 500 or status in (408, 409, 425):
        return Outcome.SERVER_ERROR
    if status in (400, 404, 422) and _NO_MODEL.search(said):
        return Outcome.MODEL_MISSING
    if status in (404, 405) and (not is_error or _WRONG_PATH.search(said)):
        return Outcome.GARBAGE  # the path is ours, not the client's: another server, or an address without /v1
    return Outcome.BAD_REQUEST if 400 <= status < 500 else Outcome.GARBAGE


def _said(body: bytes) -> tuple[str, str | None, bool]:
    """Message and code of an error body, and whether it is an error object at all."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:300].decode(errors="replace"), None, False
    if isinstance(parsed, list) and parsed:  # Google's compatible endpoint wraps its errors
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return str(parsed), None, False
    # vLLM before 0.10 puts message and code at the top, with "object": "error".
    is_error = "error" in parsed or parsed.get("object") == "error"
    message, code = _message_of(parsed.get("error") or parsed)
    return message, code, is_error


def _message_of(error: object) -> tuple[str, str | None]:
    if not isinstance(error, dict):
        return str(error), None
    message = error.get("message") or error.get("detail") or error
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):  # OpenRouter: the provider's own words
        message = f"{message}: {metadata['raw']}"
    code: Any = error.get("code") if error.get("code") is not None else error.get("type")
    return str(message), str(code) if code is not None else None


def _moment_s(value: str) -> float | None:
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)


def _span_s(value: str | None) -> float | None:
    if not value:
        return None
    number = _number(value)
    if number is not None:
        if number > _EPOCH_S * 1000:
            number /= 1000
        return max(number - time.time(), 0.0) if number > _EPOCH_S else number
    parts = _SPAN.findall(value)
    return sum(float(count) * _SPAN_S[unit] for count, unit in parts) if parts else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None
