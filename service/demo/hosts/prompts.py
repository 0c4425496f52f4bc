"""What both protocols read out of a request's messages, and the token estimate.

Tokens are estimated, not counted: one per 4 bytes of UTF-8 (within a quarter of a real tokenizer on prose in
Latin and Chinese script alike), 4 per message for the chat template, 85 per image (what OpenAI bills for one
in low detail).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 85


class BadMessages(ValueError):
    """The ``messages`` of a request are not what the protocols accept."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as far as a simulated host looks at it.

    Attributes:
        role: As sent.
        text: All its text.
        images: Number of images.
        tokens: Estimate for the whole message.
    """

    role: str
    text: str
    images: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """All messages of a request.

    Attributes:
        messages: In order.
        tokens: Estimate for all of them.
    """

    messages: tuple[Message, ...]
    tokens: int

    @property
    def newest_ask(self) -> str:
        """Text of the newest user message, or of the last message where there is none."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        return self.messages[-1].text if self.messages else ""

    @property
    def ends_with_tool_result(self) -> bool:
        """Whether the newest message brings the result of a tool."""
        return bool(self.messages) and self.messages[-1].role == "tool"

    @property
    def images(self) -> int:
        """Number of images in all messages."""
        return sum(message.images for message in self.messages)


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text from its UTF-8 length, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // BYTES_PER_TOKEN)


def read_messages(raw: object) -> Prompt:
    """Read the messages of either protocol: text content, content parts, null content, Ollama's ``images``.

    Raises:
        BadMessages: Not a list of objects with a role, or content of another type.
    """
    if not isinstance(raw, list):
        raise BadMessages(f"expected an array of objects, but got {_json_type(raw)} instead")
    messages: list[Message] = []
    total = 0
    for index, item in enumerate(raw):
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            raise BadMessages(f"messages[{index}]: expected an object with a role")
        text, images = _read_content(item.get("content"), index)
        attached = item.get("images")
        images += len(attached) if isinstance(attached, list) else 0
        tokens = estimate_tokens(text) + TOKENS_PER_MESSAGE + TOKENS_PER_IMAGE * images
        messages.append(Message(item["role"], text, images, tokens))
        total += tokens
    return Prompt(tuple(messages), total)


def truncated(prompt: Prompt, limit: int) -> Prompt:
    """Cut a prompt to a limit of tokens as Ollama does, in silence.

    The oldest messages go first; system messages and the newest one stay. If these are still too long, the
    beginning of the newest is cut. Source: ollama/ollama server/prompt.go and the runner's input truncation.
    """
    if prompt.tokens <= limit:
        return prompt
    kept = list(prompt.messages)
    total = prompt.tokens
    for message in prompt.messages[:-1]:
        if total <= limit:
            break
        if message.role not in ("system", "developer"):
            kept.remove(message)
            total -= message.tokens
    if total > limit and kept:
        last = kept[-1]
        room = max(0, limit - (total - last.tokens) - TOKENS_PER_MESSAGE)
        text = last.text[-room * BYTES_PER_TOKEN :] if room else ""
        kept[-1] = Message(last.role, text, last.images, room + TOKENS_PER_MESSAGE)
    return Prompt(tuple(kept), min(total, limit))


def _read_content(content: object, index: int) -> tuple[str, int]:
    """Give the text and the number of images of one message's content."""
    if content is None:
        return "", 0
    if isinstance(content, str):
        return content, 0
    if isinstance(content, list):
        return _read_parts(content, index)
    raise BadMessages(f"messages[{index}].content: expected a string or an array, got {_json_type(content)}")


def _read_parts(parts: Sequence[object], index: int) -> tuple[str, int]:
    """Give the text and the number of images of a list of content parts."""
    texts: list[str] = []
    images = 0
    for part in parts:
        if not isinstance(part, dict):
            raise BadMessages(f"messages[{index}].content: a part is not an object")
        if part.get("type") == "image_url":
            images += 1
        else:
            text = part.get("text") or part.get("refusal")
            texts.append(text if isinstance(text, str) else "")
    return "\n".join(texts), images


def _json_type(value: object) -> str:
    """Name the JSON type of a value for an error message."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "an array")
