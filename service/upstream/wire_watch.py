"""Sees what a host really sent below litellm, because litellm hides failures.

Measured (pinned for the release in use by tests/contract/upstream): an empty 200 and an HTML 200 come back as
successful answers, a broken NDJSON line is skipped in silence, an error inside a 200 becomes a 400, usage and model
name are made up. A response hook on the one HTTP client that we give to litellm wraps the body and reads along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import orjson

from service.upstream.interface import Usage

Protocol = Literal["ndjson", "sse"]

_LONGEST_LINE = 4 * 1024 * 1024
_KEPT_OF_ERROR = 16 * 1024


@dataclass(slots=True)
class WireWatch:
    """What one response has shown so far.

    Attributes:
        protocol: What the host speaks: Ollama's NDJSON or OpenAI's SSE.
        status: HTTP status, None until the headers came.
        body: The beginning of an answer that is no 200.
        done: The protocol's own end was seen: ``"done": true``, ``[DONE]``, or a finish reason.
        garbage: The first thing that is not the protocol, in words, or None.
        error: Message of an error object inside a 200, or None.
        broken: The connection ended with an exception.
        served_model: The model's name by the host; litellm overwrites it.
        usage: Tokens by the host; litellm makes them up where there are none.
        received: Any byte of a body came.
    """

    protocol: Protocol
    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    done: bool = False
    garbage: str | None = None
    error: dict[str, Any] | None = None
    broken: str | None = None
    served_model: str | None = None
    usage: Usage | None = None
    received: bool = False
    _rest: bytearray = field(default_factory=bytearray)

    def begin(self, response: httpx.Response) -> None:
        """Takes the headers in."""
        self.status, self.headers = response.status_code, response.headers
        kind = response.headers.get("content-type", "")
        if self.status == 200 and "html" in kind:
            self.garbage = f"content type {kind}"

    def feed(self, data: bytes) -> None:
        """Takes bytes of the body in, decoded."""
        self.received = self.received or bool(data)
        if self.status != 200:
            self.body = (self.body + data)[:_KEPT_OF_ERROR]
            return
        self._rest += data
        if len(self._rest) > _LONGEST_LINE:
            self.garbage = self.garbage or "a line of more than 4 MB"
            self._rest.clear()
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            self._line(line.strip())

    def end(self) -> None:
        """The body has ended: what is left is a line too."""
        if self.status == 200 and self._rest:
            rest, self._rest = bytes(self._rest), bytearray()
            self._line(rest.strip())

    def _line(self, line: bytes) -> None:
        if not line:
            return
        if self.protocol == "sse":
            if line.startswith(b"{"):  # some hosts answer a stream request with plain JSON, an error as a rule
                pass
            elif not line.startswith(b"data:"):
                if not line.startswith((b":", b"event:", b"id:", b"retry:")):
                    self._not_protocol(line)
                return
            else:
                line = line[5:].strip()
            if line == b"[DONE]":
                self.done = True
                return
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError:
            self._not_protocol(line)
            return
        if isinstance(parsed, dict):
            self._object(parsed)
        else:
            self._not_protocol(line)

    def _object(self, parsed: dict[str, Any]) -> None:
        if parsed.get("error"):
            error = parsed["error"]
            self.error = error if isinstance(error, dict) else {"message": str(error)}
            return
        if self.served_model is None and isinstance(parsed.get("model"), str):
            self.served_model = parsed["model"]
        if parsed.get("done") is True:
            self.done = True
            self.usage = Usage(int(parsed.get("prompt_eval_count") or 0), int(parsed.get("eval_count") or 0))
        if isinstance(parsed.get("usage"), dict):
            self.usage = _usage(parsed["usage"])
        choices = parsed.get("choices")
        if isinstance(choices, list) and any(isinstance(c, dict) and c.get("finish_reason") for c in choices):
            self.done = True

    def _not_protocol(self, line: bytes) -> None:
        if self.garbage is None:
            self.garbage = f"not {self.protocol}: {line[:60].decode(errors='replace')!r}"


def _usage(raw: dict[str, Any]) -> Usage:
    completion, prompt = raw.get("completion_tokens_details") or {}, raw.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=int(raw.get("prompt_tokens") or 0),
        completion_tokens=int(raw.get("completion_tokens") or 0),
        reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
        cached_tokens=int(prompt.get("cached_tokens") or 0),
    )


WATCH: ContextVar[WireWatch | None] = ContextVar("autotier_wire_watch", default=None)
"""Set around a call into litellm; the client's hook finds it in the context of the task that sends."""


async def on_response(response: httpx.Response) -> None:
    """Response hook of httpx: wraps the body of a watched call."""
    watch = WATCH.get()
    if watch is not None:
        watch.begin(response)
        response.stream = _Watched(response.stream, watch)  # type: ignore[arg-type]


class _Watched(httpx.AsyncByteStream):
    """A body that is read along."""

    def __init__(self, inner: httpx.AsyncByteStream, watch: WireWatch) -> None:
        self._inner = inner
        self._watch = watch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._inner:
                self._watch.feed(data)
                yield data
        except Exception as error:
            self._watch.broken = f"{type(error).__name__}: {error}"
            raise
        self._watch.end()

    async def aclose(self) -> None:
        await self._inner.aclose()
