"""OpenAI's protocol for the lean way: the request's body, and server-sent events into chunks.

Sources: OpenAI, API reference, "Create chat completion" and "Streaming"; WHATWG HTML, "Server-sent events"; what vLLM,
llama.cpp, LM Studio, OpenRouter, Mistral and Ollama's imitation do otherwise is named where it is dealt with.
"""

from __future__ import annotations

import os
from collections.abc import Container
from typing import Any

import orjson

from service.upstream.interface import Call, Chunk, Usage
from service.upstream.lean_failures import error_event, garbage
from service.upstream.lean_lines import RUN_BYTES, LineReader, parsed
from service.upstream.text_chunk import Around, TextForm, run_of
from service.upstream.think_tags import ThinkTags

PATH = "/chat/completions"
LONGEST_BODY = 64 * 1024 * 1024
"""Bytes of an answer that is one JSON object although a stream was asked for."""

LESSONS = 3
"""How often an answer's text chunks are looked at for what they share. A host that changes more than the text from
chunk to chunk (OpenAI's ``obfuscation``) is read the long way."""

_DONE = b" [DONE]"
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal", "role")
_USAGE_TOO = {"include_usage": True}


def body_of(call: Call, left_out: Container[str] = ()) -> dict[str, Any]:
    """What is sent: the call's fields as they are, the model, and that a stream is wanted.

    Args:
        call: The request; not changed.
        left_out: Fields that the host has refused; only ``stream_options`` counts.
    """
    body = {**call.deployment.add, **call.body, "model": call.deployment.model, "stream": True}
    if "stream_options" not in left_out:
        body["stream_options"] = _USAGE_TOO
    return body


class OpenAIReader(LineReader):
    """Reads the events of one answer.

    Complete is an answer with ``[DONE]``, and one whose every choice has a finish reason: not every host sends
    ``[DONE]``. A host that answers a stream request with one JSON object is understood too.
    """

    __slots__ = (
        "_answered", "_around", "_finished", "_form", "_is_error", "_pending", "_seen", "_started", "_tries", "_whole",
    )  # fmt: skip

    def __init__(self, tags: ThinkTags | None = None) -> None:
        super().__init__(tags)
        self._started = False
        self._answered = False
        self._whole: list[bytes] | None = None
        self._pending = b""
        self._is_error = False
        self._around: Around | None = None
        self._form: TextForm | None = None
        self._tries = LESSONS
        self._seen: set[int] = set()
        self._finished: set[int] = set()

    @property
    def complete(self) -> bool:
        """Whether the answer is whole if nothing more comes."""
        return self.done or (bool(self._finished) and self._finished == self._seen)

    def feed(self, data: bytes) -> list[Chunk]:
        """See `LineReader.feed`."""
        if not self._started:
            data = data.lstrip(b"\xef\xbb\xbf \t\r\n")
            if not data:
                return []
            self._started = self.received = True
            if data.startswith((b"{", b"[")):
                self._whole = []
        if self._whole is None:
            return super().feed(data)
        self._whole.append(data)
        if sum(map(len, self._whole)) > LONGEST_BODY:
            self.failure = garbage(f"an answer of more than {LONGEST_BODY >> 20} MB")
        return []

    def end(self) -> list[Chunk]:
        """See `LineReader.end`."""
        if self._whole is None:
            return super().end()
        # A line of its own, so that what is wrong with it is kept like everything else.
        self._answered = True
        pieces, self._whole = self._whole, None
        return super().feed(b"".join(pieces).replace(b"\n", b" ") + b"\n")

    def _run(self, data: bytes, at: int, end: int, chunks: list[Chunk]) -> int:
        """See `LineReader._run`: text chunks by what stands around their text."""
        around, form = self._around, self._form
        if around is None or form is None or not data.startswith(around.before, at):
            return at
        if self._pending or self._is_error or self.done:
            return at
        parts = around.texts(data[at : min(end, at + RUN_BYTES)])
        if not parts:
            return at
        chunk = run_of(parts, form)
        if chunk is None:
            self._around = None  # there is more to them than text after all
            return at
        chunks.append(chunk)
        return at + around.size(parts)

    def _line(self, line: bytes, chunks: list[Chunk]) -> None:
        """See `LineReader._line`; learns what text chunks share."""
        if not line or line == b"\r":
            self._blank()
            return
        before = len(chunks)
        self._event_line(line, chunks)
        if self._tries and len(chunks) == before + 1:
            self._learn(line, chunks[-1])

    def _learn(self, line: bytes, chunk: Chunk) -> None:
        """Looks whether the next text chunks can be told by the bytes around their text, a few times at most."""
        form = TextForm.of(chunk)
        if form is not None:
            self._tries -= 1
            around = Around.of(line, form.choice["delta"]["content"])
        elif self._around is None and (form := TextForm.after(chunk)) is not None:
            around = Around.instead(line, chunk.choices[0]["delta"])
        else:
            return
        if around is not None:
            self._around, self._form = around, form

    def _blank(self) -> None:
        """The end of an event."""
        if self._pending:
            raise garbage("broken JSON in an event", self._pending)
        self._is_error = False

    def _event_line(self, line: bytes, chunks: list[Chunk]) -> None:
        if self._answered:
            self._answer(line, chunks)
        elif line.startswith(b"data:"):
            self._data(line[5:], chunks)
        elif line.startswith(b"event:"):
            self._is_error = b"error" in line
        elif line.startswith(b"error:"):  # llama.cpp before 2025-07 wrote the field's name so
            self._is_error = True
            self._data(line[6:], chunks)
        elif not line.startswith((b":", b"id:", b"retry:")):  # ": OPENROUTER PROCESSING" keeps connections open
            self._stray(line)

    def _data(self, data: bytes, chunks: list[Chunk]) -> None:
        if self.done:
            return
        if self._pending:
            data = self._pending + b"\n" + data
        elif data == _DONE:  # as nearly all write it; looked at first, because what is no JSON costs an exception
            self.done = True
            return
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._not_json(data, chunks)
            return
        self._pending = b""
        self._event(event, data, chunks)

    def _not_json(self, data: bytes, chunks: list[Chunk]) -> None:
        """The end, an empty event, or a part of an event that goes on in the next data line."""
        text = data.strip()
        if text == _DONE.strip():
            self.done = True
            return
        if not text:
            return
        try:
            event = parsed(text)
        except ValueError:
            self._pending = data
            return
        self._pending = b""
        self._event(event, data, chunks)

    def _event(self, event: Any, data: bytes, chunks: list[Chunk]) -> None:
        if not isinstance(event, dict):
            raise garbage("an event that is no object", data)
        error = event.get("error") or event.get("error_message")  # Venice, in front of vLLM
        if error or self._is_error:
            raise error_event(error or event)
        choices = event.get("choices")
        chunk = Chunk(choices if type(choices) is list else [])
        for choice in chunk.choices:
            self._choice(choice, data)
        usage = event.get("usage")
        if usage:
            chunk.usage = usage_of(usage)
        self._name(chunk, event)
        if choices or chunk.usage is not None:
            chunks.append(chunk)
        elif choices is None and not usage and event.get("object") not in (None, "chat.completion.chunk"):
            raise garbage("an event of another kind", data)

    def _choice(self, choice: Any, data: bytes) -> None:
        """Checks one choice and brings it into the one form that we know, in place."""
        if type(choice) is not dict:
            raise garbage("a choice that is no object", data)
        delta = choice.get("delta")
        if type(delta) is not dict:
            delta = choice["delta"] = {}
        index = choice.setdefault("index", 0)
        finish = choice.setdefault("finish_reason", None)
        if type(index) is not int or not (finish is None or type(finish) is str):
            raise garbage("a choice of another shape", data)
        self._seen.add(index)
        if finish:
            if finish == "error":  # OpenRouter
                raise error_event(choice.get("error") or "finish_reason error")
            self._finished.add(index)
        for value in delta.values():
            if value is not None and type(value) is not str:
                reshape(delta, data)
                break
        if "reasoning" in delta:  # Ollama, OpenRouter, vLLM from 0.12: the same thing by another name
            thinking = delta.pop("reasoning")
            if thinking and not delta.get("reasoning_content"):
                delta["reasoning_content"] = thinking

    def _name(self, chunk: Chunk, event: dict[str, Any]) -> None:
        if not self._named:
            model = event.get("model")
            if model and isinstance(model, str):
                chunk.served_model = model
                self._named = True
        fingerprint = event.get("system_fingerprint")
        if fingerprint:
            chunk.system_fingerprint = fingerprint

    def _stray(self, line: bytes) -> None:
        if line.startswith(b"{"):
            try:
                event = parsed(line)
            except ValueError:
                event = None
            if isinstance(event, dict) and event.get("error"):
                raise error_event(event["error"])
        raise garbage("not server-sent events", line)

    def _answer(self, body: bytes, chunks: list[Chunk]) -> None:
        """A whole answer as one chunk."""
        try:
            answer = parsed(body)
        except ValueError:
            raise garbage("broken JSON", body) from None
        if not isinstance(answer, dict) or not (answer.get("error") or isinstance(answer.get("choices"), list)):
            raise garbage("JSON that is no completion", body)
        for choice in answer.get("choices") or ():
            choice["delta"] = choice.pop("message", None) or {}
        self._event(answer, body, chunks)
        self.done = True


def usage_of(raw: Any) -> Usage | None:
    """OpenAI's usage object, None where it is none."""
    if not isinstance(raw, dict):
        return None
    completion, prompt = raw.get("completion_tokens_details") or {}, raw.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=int(raw.get("prompt_tokens") or 0),
        completion_tokens=int(raw.get("completion_tokens") or 0),
        reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
        cached_tokens=int(prompt.get("cached_tokens") or 0),
    )


def new_call_id() -> str:
    """An id for a tool call to which the host gave none."""
    return f"call_{os.urandom(12).hex()}"


def reshape(delta: dict[str, Any], data: bytes = b"") -> None:
    """A delta with more than text in it: tool calls, and Mistral's parts, which become text and thinking apart.

    Raises:
        UpstreamFailure: Something where only text may be.
    """
    content = delta.get("content")
    if isinstance(content, list):
        thoughts = [p for p in content if isinstance(p, dict) and p.get("type") == "thinking"]
        delta["content"] = "".join(text for p in content if p not in thoughts for text in _texts(p))
        if thoughts:
            delta["reasoning_content"] = "".join(text for p in thoughts for text in _texts(p.get("thinking")))
    for name in _TEXTS:
        value = delta.get(name)
        if value is not None and type(value) is not str:
            raise garbage(f"{name} that is no text", data)
    if delta.get("tool_calls"):
        _name_calls(delta["tool_calls"])


def _texts(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    if isinstance(part, list):
        return [text for one in part for text in _texts(one)]
    return [part["text"]] if isinstance(part, dict) and isinstance(part.get("text"), str) else []


def _name_calls(calls: Any) -> None:
    """Index, id, and arguments as text, which clients need and some hosts leave out."""
    for number, call in enumerate(calls):
        if type(call) is not dict:
            raise garbage("a tool call that is no object")
        call.setdefault("index", number)
        function = call.get("function")
        if function is None:
            continue
        if function.get("name") and not call.get("id"):
            call["id"] = new_call_id()
        arguments = function.get("arguments")
        if arguments is not None and type(arguments) is not str:
            function["arguments"] = orjson.dumps(arguments).decode()
