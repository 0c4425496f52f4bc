"""What went wrong below litellm, as one of our outcomes.

What the watched wire shows comes first, read with the same rules as the lean way's; litellm's exception speaks where
nothing was seen.
"""

from __future__ import annotations

import re

import aiohttp

from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.lean_failures import cleaned, cut, from_connection, from_status, retry_after_s
from service.upstream.wire_watch import WireWatch

_NO_CONNECTION = frozenset({"APIConnectionError", "Timeout", "InternalServerError"})
"""What litellm makes of a connection that was refused or reset, by provider."""


def from_exception(error: Exception, watch: WireWatch, *, key: str | None) -> UpstreamFailure:
    """The failure behind an exception of litellm."""
    if watch.failure is not None:
        return watch.failure
    said = cleaned(_first_line(str(error)), key)
    if watch.status == 200:
        return cut(said)
    causes = _causes(error)
    sent = next((cause for cause in causes if isinstance(cause, aiohttp.ClientError)), None)
    if sent is not None:
        return from_connection(sent, key=key)
    name, status = type(error).__name__, getattr(error, "status_code", None)
    if name == "ContextWindowExceededError":
        return UpstreamFailure(Outcome.CONTEXT, said, status=status)
    response = getattr(error, "response", None)
    cause = f"{type(causes[-1]).__name__}: {causes[-1]}" if causes and str(causes[-1]) not in said else ""
    if name in _NO_CONNECTION and not getattr(response, "content", b""):
        return UpstreamFailure(Outcome.CONNECT, cleaned(f"{said} {cause}".strip(), key))
    if status is None:
        return UpstreamFailure(Outcome.SERVER_ERROR, f"{name}: {said}"[:500])
    failure = from_status(int(status), {}, f'{{"error": {{"message": "{_quoted(said)}"}}}}'.encode(), key=key)
    failure.retry_after_s = retry_after_s(getattr(response, "headers", None) or {})
    return failure


def _causes(error: BaseException) -> list[BaseException]:
    """What lies under an exception, the deepest last: the certificate, the name, the reset."""
    causes: list[BaseException] = []
    below = error.__cause__ or error.__context__
    while below is not None and below not in causes:
        causes.append(below)
        below = below.__cause__ or below.__context__
    return causes


def _first_line(text: str) -> str:
    """litellm names itself in front and appends advice about fallbacks in further lines."""
    return re.sub(r"^(litellm\.)?\w+(Error|Exception)?: (?=\w)", "", text.strip().split("\n", 1)[0])


def _quoted(text: str) -> str:
    return text.replace("\\", " ").replace('"', "'")
