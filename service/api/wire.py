"""OpenAI's wire forms of an answer: JSON body, SSE events, headers of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from service.errors import RequestError, error_body
from service.upstream.interface import Chunk, Usage
from service.upstream.text_chunk import TextChunk, TextForm

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all chunks of one answer share.

    Attributes:
        id: ``chatcmpl-`` and the decision's digits: one id per answer.
        created_s: Unix seconds.
        model: The deployment that serves.
        include_usage: The client asked for the usage chunk; the others then carry ``"usage": null`` as OpenAI's do.
    """

    id: str
    created_s: int
    model: str
    include_usage: bool


class EventWriter:
    """Writes the chunks of one answer as server-sent events; text chunks between bytes that stay.

    Args:
        envelope: What all of them share.
    """

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._form: TextForm | None = None
        self._head = self._tail = self._between = b""

    def events(self, batch: Iterable[Chunk]) -> bytes:
        """The events of a batch; chunks without choices are left out."""
        written: list[bytes] = []
        for chunk in batch:
            if type(chunk) is not TextChunk or chunk.text is None:
                if chunk.choices:
                    written.append(event(chunk, self._envelope))
                continue
            if chunk.form is not self._form:
                self._form = chunk.form
                self._head, self._tail = _around(chunk.form, self._envelope)
                self._between = self._tail + self._head
            text = orjson.dumps(chunk.text) if chunk.parts is None else self._between.join(chunk.parts)
            written += (self._head, text, self._tail)
        return b"".join(written)


def _around(form: TextForm, envelope: Envelope) -> tuple[bytes, bytes]:
    """What stands around the text in every event of a form."""
    empty = event(Chunk([], system_fingerprint=form.fingerprint), envelope)
    before, _, after = empty.partition(b'"choices":[]')
    return before + b'"choices":[' + form.head, form.tail + b"]" + after


def event(chunk: Chunk, envelope: Envelope) -> bytes:
    """One SSE event of a chunk with choices."""
    shown: dict[str, Any] = {
        "id": envelope.id,
        "object": "chat.completion.chunk",
        "created": envelope.created_s,
        "model": envelope.model,
        "choices": chunk.choices,
    }
    if chunk.continued_by:
        shown["autotier"] = {"continued_by": chunk.continued_by}
    if chunk.system_fingerprint:
        shown["system_fingerprint"] = chunk.system_fingerprint
    if envelope.include_usage:
        shown["usage"] = None
    return b"data: " + orjson.dumps(shown) + b"\n\n"


def usage_event(usage: Usage, envelope: Envelope, ours: Mapping[str, Any]) -> bytes:
    """The usage chunk at the end, with what only the end knows under ``autotier``."""
    return (
        b"data: "
        + orjson.dumps(
            {
                "id": envelope.id,
                "object": "chat.completion.chunk",
                "created": envelope.created_s,
                "model": envelope.model,
                "choices": [],
                "usage": usage_object(usage),
                "autotier": ours,
            }
        )
        + b"\n\n"
    )


def error_event(error: RequestError) -> bytes:
    """The event that ends a stream which died; no ``[DONE]`` follows it."""
    return b"data: " + orjson.dumps(error_body(error)) + b"\n\n"


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage object."""
    shown: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens:
        shown["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens:
        shown["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return shown


def completion(choices: list[dict[str, Any]], usage: Usage, envelope: Envelope, fingerprint: str | None) -> bytes:
    """The body of an answer that is not streamed."""
    shown: dict[str, Any] = {
        "id": envelope.id,
        "object": "chat.completion",
        "created": envelope.created_s,
        "model": envelope.model,
        "choices": choices,
        "usage": usage_object(usage),
    }
    if fingerprint:
        shown["system_fingerprint"] = fingerprint
    return orjson.dumps(shown)
