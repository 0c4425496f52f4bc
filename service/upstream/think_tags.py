"""Thinking that a host leaves in its text between ``<think>`` and ``</think>``, taken apart from the answer.

DeepSeek R1, QwQ and Qwen 3 write it so (their chat templates), and it stays in the text where the host has no parser
for the model: older Ollama, llama.cpp with ``--reasoning-format none``, vLLM without ``--reasoning-parser``, LM Studio
by default. Only at the very beginning: a text that mentions the tags later stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from service.upstream.interface import Call, Chunk

_OPEN = "<think>"
_CLOSE = "</think>"


def tags_of(call: Call, at_home: Collection[str]) -> ThinkTags | None:
    """What looks for the tags in the answer to ``call``; None where its host, a cloud, keeps thinking apart itself.

    Args:
        call: The request.
        at_home: Ids of the deployments in the house.
    """
    if call.deployment.provider == "openai" and call.deployment.id not in at_home:
        return None
    choices = call.body.get("n")
    return ThinkTags(choices if type(choices) is int else 1)


class ThinkTags:
    """Goes through the beginning of one answer.

    Args:
        choices: Number of choices that will come.

    Attributes:
        over: Every choice is past where thinking may be: there is nothing left to do.
    """

    __slots__ = ("_begun", "_choices", "_texts", "over")

    def __init__(self, choices: int = 1) -> None:
        self._choices = choices
        self._texts: dict[int, _Beginning] = {}
        self._begun: set[int] = set()
        self.over = False

    def part(self, chunks: list[Chunk], *, ended: bool) -> None:
        """Puts thinking in ``reasoning_content``, in chunks of its own making: those that came are not changed.

        Args:
            chunks: Those that came now; entries are replaced.
            ended: No more will come, so that what may be the beginning of a tag is none.
        """
        for at, chunk in enumerate(chunks):
            chunks[at] = self._parted(chunk)
            if self.over:
                return
        if ended:
            held = [(index, text.part("", ends=True)) for index, text in self._texts.items() if text.held]
            chunks.extend(Chunk([{"index": i, "delta": _delta(*both), "finish_reason": None}]) for i, both in held)

    def _parted(self, chunk: Chunk) -> Chunk:
        choices = [self._choice(choice) for choice in chunk.choices]
        if all(new is old for new, old in zip(choices, chunk.choices, strict=True)):
            return chunk
        return Chunk(choices, chunk.usage, chunk.served_model, chunk.system_fingerprint)

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        index, delta = choice["index"], choice["delta"]
        came, ends = delta.get("content") or "", bool(choice["finish_reason"] or delta.get("reasoning_content"))
        if index in self._begun or not (came or ends):
            return choice
        text = self._texts.setdefault(index, _Beginning())
        thinking, answer = text.part(came, ends=ends)
        if text.is_over:
            self._begun.add(index)
            self.over = len(self._begun) >= self._choices
        if answer == came and not thinking:
            return choice
        others = {name: value for name, value in delta.items() if name != "content"}
        thinking += others.get("reasoning_content") or ""
        return {**choice, "delta": others | _delta(thinking, answer)}


class _Beginning:
    """The text of one choice, up to where its answer begins.

    Attributes:
        held: Text that may be the beginning of a tag.
        is_over: The answer has begun.
    """

    __slots__ = ("_closed", "_opened", "held", "is_over")

    def __init__(self) -> None:
        self._opened = False
        self._closed = False
        self.held = ""
        self.is_over = False

    def part(self, came: str, *, ends: bool) -> tuple[str, str]:
        """Thinking and answer in the text that came.

        Args:
            came: More of the text.
            ends: Nothing more of it that could be thinking comes.
        """
        text, self.held, self.is_over = self.held + came, "", ends
        if not self._opened:
            bare = text.lstrip()
            if not bare.startswith(_OPEN):
                if ends or not _OPEN.startswith(bare):
                    self.is_over = True
                    return "", text
                self.held = text
                return "", ""
            self._opened, text = True, bare[len(_OPEN) :]
        thinking = ""
        if not self._closed:
            thinking, closing, text = text.partition(_CLOSE)
            if not closing:
                kept = 0 if ends else _begun(thinking)
                self.held = thinking[len(thinking) - kept :]
                return thinking[: len(thinking) - kept], ""
            self._closed = True
        answer = text.lstrip()  # the blank lines in between belong to neither
        self.is_over = ends or bool(answer)
        return thinking, answer


def _delta(thinking: str, answer: str) -> dict[str, str]:
    return {name: text for name, text in (("reasoning_content", thinking), ("content", answer)) if text}


def _begun(text: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of the closing tag."""
    at = text.rfind("<", -len(_CLOSE))
    return len(text) - at if at >= 0 and _CLOSE.startswith(text[at:]) else 0
