"""Ollama's own chat protocol for the lean way: lines of JSON into chunks.

Source: Ollama, docs/api.md ("Generate a chat completion") and api/types.go (``ChatResponse``).
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from service.upstream.interface import Chunk, Usage
from service.upstream.lean_failures import error_event, garbage
from service.upstream.lean_lines import RUN_BYTES, LineReader, parsed
from service.upstream.lean_openai import new_call_id
from service.upstream.text_chunk import TextForm, run_of
from service.upstream.think_tags import ThinkTags

# A text chunk as Go writes it; only the time and the text change within an answer.
_BEFORE_TIME = re.compile(rb'\{"model":"[^"\\]*","created_at":"')
_IN_TIMES = b"0123456789TZ:.+-"
_BEFORE_TEXT = b'","message":{"role":"assistant","content":'
_AFTER_TEXT = b'},"done":false}\n'
_FORM = TextForm({"index": 0, "delta": {"content": ""}, "finish_reason": None}, None)


class OllamaReader(LineReader):
    """Reads the lines of one answer. Complete is an answer with ``"done": true`` only."""

    __slots__ = ("_calls", "_spoken")

    def __init__(self, tags: ThinkTags | None = None) -> None:
        super().__init__(tags)
        self._calls = 0
        self._spoken = False

    def _run(self, data: bytes, at: int, end: int, chunks: list[Chunk]) -> int:
        """See `LineReader._run`."""
        if not self._spoken or self.done:
            return at
        texts, size = _texts(data[at : min(end, at + RUN_BYTES)])
        chunk = run_of(texts, _FORM) if texts else None
        if chunk is None:
            return at
        chunks.append(chunk)
        return at + size

    def _line(self, line: bytes, chunks: list[Chunk]) -> None:
        if self.done or not line or line == b"\r":
            return
        self.received = True
        try:
            event = parsed(line)
        except ValueError:
            raise garbage("not lines of JSON", line) from None
        if type(event) is not dict:
            raise garbage("a line that is no object", line)
        if event.get("error"):
            raise error_event(event["error"])
        message = event.get("message")
        if type(message) is not dict:
            if event.get("done") is not True:
                raise garbage("not a line of /api/chat", line)
            message = {}
        is_last = event.get("done") is True
        delta = self._delta(message)
        if not delta and not is_last:
            return
        if not self._spoken:
            delta = {"role": "assistant", "content": "", **delta}
            self._spoken = True
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        if event.get("logprobs"):
            choice["logprobs"] = {"content": event["logprobs"]}
        chunk = Chunk([choice])
        if is_last:
            self.done = True
            choice["finish_reason"] = self._finish(event.get("done_reason"))
            chunk.usage = Usage(int(event.get("prompt_eval_count") or 0), int(event.get("eval_count") or 0))
        if not self._named and isinstance(event.get("model"), str):
            chunk.served_model = event["model"]
            self._named = True
        chunks.append(chunk)

    def _delta(self, message: dict[str, Any]) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        content, thinking, calls = message.get("content"), message.get("thinking"), message.get("tool_calls")
        if content:
            delta["content"] = content
        if thinking:
            delta["reasoning_content"] = thinking
        for text in delta.values():
            if type(text) is not str:
                raise garbage("text that is no text")
        if calls:
            delta["tool_calls"] = [self._call(call) for call in calls]
        return delta

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        """One whole call; Ollama never sends one in parts. Older versions give no id."""
        function = call.get("function") or {}
        index, self._calls = self._calls, self._calls + 1
        arguments = function.get("arguments")
        return {
            "index": index,
            "id": call.get("id") or new_call_id(),
            "type": "function",
            "function": {
                "name": function.get("name") or "",
                "arguments": arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode(),
            },
        }

    def _finish(self, reason: object) -> str:
        """OpenAI's word; before 0.1.48 Ollama gave no reason, and it never says ``tool_calls``."""
        if reason == "length":
            return "length"
        return "tool_calls" if self._calls else "stop"


def _texts(data: bytes) -> tuple[list[bytes], int]:
    """The texts, as JSON, of the text chunks that ``data`` begins with, and how many bytes these are."""
    found = _BEFORE_TIME.match(data)
    if found is None:
        return [], 0
    before = found.group()
    texts, size = [], 0
    for line in data.split(_AFTER_TEXT)[:-1]:
        head, _, text = line.partition(_BEFORE_TEXT)
        time = head.removeprefix(before)
        if not text or time == head or time.strip(_IN_TIMES):
            break
        texts.append(text)
        size += len(line) + len(_AFTER_TEXT)
    return texts, size
