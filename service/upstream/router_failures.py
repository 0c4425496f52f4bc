"""What went wrong below litellm, as one of our outcomes.

What the watched wire shows comes first, read with the same rules as the lean way's; litellm's exception speaks where
nothing was seen.
"""

from __future__ import annotations

import re

from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.lean_failures import cleaned, error_event, from_status, retry_after_s
from service.upstream.wire_watch import WireWatch

_NO_CONNECTION = frozenset({"APIConnectionError", "Timeout", "InternalServerError"})
"""What litellm makes of a connection that was refused or reset, by provider."""


def from_watch(watch: WireWatch, *, key: str | None) -> UpstreamFailure | None:
    """The failure that the wire shows, or None where it shows none (yet)."""
    if watch.status is None:
        return None
    if watch.status != 200:
        return from_status(watch.status, watch.headers, watch.body, key=key)
    if watch.garbage is not None:
        return UpstreamFailure(Outcome.GARBAGE, cleaned(watch.garbage, key), status=200)
    return error_event(watch.error) if watch.error is not None else None


def from_exception(error: Exception, watch: WireWatch, *, key: str | None) -> UpstreamFailure:
    """The failure behind an exception of litellm."""
    seen = from_watch(watch, key=key)
    if seen is not None:
        return seen
    said = cleaned(_first_line(str(error)), key)
    if watch.status == 200:
        return UpstreamFailure(Outcome.CUT, cleaned(watch.broken or said, key), status=200)
    name, status = type(error).__name__, getattr(error, "status_code", None)
    if name == "ContextWindowExceededError":
        return UpstreamFailure(Outcome.CONTEXT, said, status=status)
    response = getattr(error, "response", None)
    if name in _NO_CONNECTION and not getattr(response, "content", b""):
        return UpstreamFailure(Outcome.CONNECT, cleaned(f"{said} {_cause(error)}".strip(), key))
    if status is None:
        return UpstreamFailure(Outcome.SERVER_ERROR, f"{name}: {said}"[:500])
    failure = from_status(int(status), {}, f'{{"error": {{"message": "{_quoted(said)}"}}}}'.encode(), key=key)
    failure.retry_after_s = retry_after_s(getattr(response, "headers", None) or {})
    return failure


def ended_early(watch: WireWatch, *, key: str | None) -> UpstreamFailure | None:
    """Why a stream that litellm calls complete is none, or None where it is."""
    seen = from_watch(watch, key=key)
    if seen is not None or watch.done:
        return seen
    if not watch.received:
        return UpstreamFailure(Outcome.EMPTY, "a 200 without a body", status=watch.status)
    return UpstreamFailure(Outcome.CUT, watch.broken or "the stream ended without its end", status=watch.status)


def _cause(error: BaseException) -> str:
    """What lies under litellm's "Connection error.": the certificate, the name, the reset. Empty where nothing does."""
    deepest: BaseException | None = None
    below = error.__cause__ or error.__context__
    while below is not None and below is not deepest:
        deepest, below = below, below.__cause__ or below.__context__
    return "" if deepest is None or str(deepest) in str(error) else f"{type(deepest).__name__}: {deepest}"


def _first_line(text: str) -> str:
    """litellm names itself in front and appends advice about fallbacks in further lines."""
    return re.sub(r"^(litellm\.)?\w+(Error|Exception)?: (?=\w)", "", text.strip().split("\n", 1)[0])


def _quoted(text: str) -> str:
    return text.replace("\\", " ").replace('"', "'")
