"""Chunks merged into one whole answer, and what a chunk says about the state of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.config import Deployment
from service.upstream.interface import Attempt, Chunk, Usage
from service.upstream.text_chunk import TextChunk


def has_token(chunk: Chunk) -> bool:
    """Whether ``chunk`` carries text, thinking, a tool call or a refusal (a role alone is none)."""
    if type(chunk) is TextChunk and chunk.text:
        return True
    for choice in chunk.choices:
        delta = choice.get("delta")
        if delta and (_answers(delta) or delta.get("reasoning_content")):
            return True
    return False


def has_answer(chunk: Chunk) -> bool:
    """Whether ``chunk`` carries what a user would call an answer: thinking alone is none."""
    if type(chunk) is TextChunk and chunk.text:
        return True
    return any(_answers(choice["delta"]) for choice in chunk.choices if choice.get("delta"))


def _answers(delta: Mapping[str, Any]) -> bool:
    """Whether a part of the answer is in ``delta``. Thinking (``reasoning_content``) is a token, but not an answer."""
    get = delta.get
    return bool(get("content") or get("tool_calls") or get("refusal") or get("function_call") or get("audio"))


@dataclass(slots=True)
class Tally:
    """What a stream has shown so far.

    Attributes:
        answered: An answer has begun (text, tool call or refusal).
        thought: Thinking has come.
        characters: Length of text and thinking, for a count of tokens where the host gives none.
        finish_reason: The last one seen, of any choice.
    """

    answered: bool = False
    thought: bool = False
    characters: int = 0
    usage: Usage | None = None
    finish_reason: str | None = None
    served_model: str | None = None
    system_fingerprint: str | None = None

    def add(self, chunk: Chunk) -> None:
        """Takes ``chunk`` in."""
        if type(chunk) is TextChunk and chunk.text:
            self.answered = True
            self.characters += len(chunk.text)
            self.system_fingerprint = chunk.system_fingerprint or self.system_fingerprint
            return
        if chunk.usage is not None:
            self.usage = chunk.usage
        if self.served_model is None and chunk.served_model:
            self.served_model = chunk.served_model
        if chunk.system_fingerprint:
            self.system_fingerprint = chunk.system_fingerprint
        for choice in chunk.choices:
            if choice.get("finish_reason"):
                self.finish_reason = choice["finish_reason"]
            delta = choice.get("delta") or {}
            text, thinking = delta.get("content"), delta.get("reasoning_content")
            if text:
                self.answered = True
                self.characters += len(text)
            if thinking:
                self.thought = True
                self.characters += len(thinking)
            if not self.answered and _answers(delta):
                self.answered = True

    @property
    def completion_tokens(self) -> int | None:
        """Tokens by the host, else four characters each, else None where nothing came."""
        if self.usage is not None:
            return self.usage.completion_tokens
        return -(-self.characters // 4) if self.characters else None


@dataclass(slots=True)
class Answer:
    """One whole answer.

    Attributes:
        choices: OpenAI's ``choices`` with ``message``, ``finish_reason`` and, where there were any, ``logprobs``.
        usage: Tokens by the host, or None where it gave none.
    """

    deployment: Deployment
    attempt: Attempt
    choices: list[dict[str, Any]]
    usage: Usage | None = None
    system_fingerprint: str | None = None

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return self.choices[0]["finish_reason"] if self.choices else None


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    function_call: dict[str, Any] | None = None
    logprobs: dict[str, list[Any]] = field(default_factory=dict)
    finish_reason: str | None = None
    other: dict[str, Any] = field(default_factory=dict)


class Collector:
    """Merges the deltas of a stream; ``add`` each chunk, then take ``choices()``."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Chunk) -> None:
        """Takes ``chunk`` in. Choices are told apart by ``index``, tool calls by theirs."""
        if type(chunk) is TextChunk and chunk.text:
            self._choice(0).text.append(chunk.text)
            return
        for raw in chunk.choices:
            choice = self._choice(raw.get("index", 0))
            if raw.get("finish_reason"):
                choice.finish_reason = raw["finish_reason"]
            for name, entries in (raw.get("logprobs") or {}).items():
                if entries:
                    choice.logprobs.setdefault(name, []).extend(entries)
            self._add_delta(choice, raw.get("delta") or {})

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    @staticmethod
    def _add_delta(choice: _Choice, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if value is None or name == "role":
                continue
            if name == "content":
                choice.text.append(value)
            elif name == "reasoning_content":
                choice.thinking.append(value)
            elif name == "refusal":
                choice.refusal.append(value)
            elif name == "tool_calls":
                for call in value:
                    _merge_call(choice.calls, call)
            elif name == "function_call":
                choice.function_call = _merged_function(choice.function_call or {}, value)
            elif isinstance(value, list):  # e.g. annotations
                choice.other.setdefault(name, []).extend(value)
            else:
                choice.other[name] = value

    def choices(self) -> list[dict[str, Any]]:
        """OpenAI's ``choices`` of a whole answer, by index."""
        return [_whole(index, self._choices[index]) for index in sorted(self._choices)]


def _merge_call(calls: dict[int, dict[str, Any]], delta: Mapping[str, Any]) -> None:
    index = delta.get("index")
    if index is None:  # some hosts leave it out: with a new id it is a new call, else it goes on with the last
        known = next((i for i, c in calls.items() if c.get("id") == delta.get("id")), None)
        index = known if known is not None else (len(calls) if delta.get("id") or not calls else max(calls))
    call = calls.setdefault(index, {"id": None, "type": "function", "function": {}})
    for name, value in delta.items():
        if name == "function" and value:
            call["function"] = _merged_function(call["function"], value)
        elif name != "index" and value is not None:
            call[name] = value


def _merged_function(so_far: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(so_far)
    if delta.get("name"):
        merged["name"] = delta["name"]
    merged["arguments"] = (so_far.get("arguments") or "") + (delta.get("arguments") or "")
    return merged


def _whole(index: int, choice: _Choice) -> dict[str, Any]:
    calls = [choice.calls[i] for i in sorted(choice.calls)]
    text = "".join(choice.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not (calls or choice.refusal or choice.function_call) else None,
        "refusal": "".join(choice.refusal) or None,
    }
    if choice.thinking:
        message["reasoning_content"] = "".join(choice.thinking)
    if calls:
        message["tool_calls"] = calls
    if choice.function_call is not None:
        message["function_call"] = choice.function_call
    message.update(choice.other)
    whole: dict[str, Any] = {"index": index, "message": message, "finish_reason": choice.finish_reason or "stop"}
    whole["logprobs"] = choice.logprobs or None
    return whole
