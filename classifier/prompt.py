"""The prompt view: the ask of a request, apart from what was pasted, wrapped around it, or said before.

Routing and training read requests through this one module. Everything here is bounded: a text of any length is
looked at
in its head and tail (`HEAD`, `TAIL`), never as a whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from classifier.paste import split_ask

HEAD = 12_000
TAIL = 6_000
"""Characters of one message that are looked at: its beginning and its end."""

MAX_PREVIOUS = 2
"""User turns before the newest ask that the view keeps (DESIGN.md, "prompt view")."""

Messages = Sequence[Mapping[str, Any]]

_SIGNAL = re.compile(r"[^\W_]")
# Envelopes are a protocol, not a language: coding agents wrap the person's words in one of these elements and
# put what
# they add (open files, environment, reminders) in others.
_ASK_ELEMENT = re.compile(
    r"<(user_query|user_message|user_request|user_input|task|feedback|question|request|query)(?=>)"
)
_ENVELOPE = re.compile(r"<([a-z][a-z0-9]*(?:[_-][a-z0-9]+)+|context|environment|attachments?|rules|memory)(?=[\s>])")
_CLOSING = re.compile(r"</([a-z][a-z0-9_-]*)>")


@dataclass(frozen=True, slots=True)
class PromptView:
    """What the classifier and the choosers see of a request.

    Attributes:
        ask: The newest human ask, without pasted material and agent envelopes; "" if there is none.
        pasted: Material that came with the ask (code, logs, diffs, documents), head and tail of it.
        previous: Up to two human asks before the newest, newest first.
        answer: Head and tail of the last assistant answer, "" if there is none.
        system: Head of the system and developer text. Context, never the task.
        ask_first: The instruction stands before the pasted material (True also if nothing is pasted).
        in_tool_loop: The last message is a tool result, or an assistant turn that waits for one.
        has_history: An assistant or tool turn, or an earlier user turn, is in the request.
        has_images: An image (or other non-text part) is in the newest user turn.
        n_images: Images in the whole request.
        n_tools: Tools that the request offers.
        has_schema: `response_format` asks for JSON or a schema.
        n_turns: User turns in the request.
        n_tool_results: Tool results in the request.
        enveloped: An agent envelope was taken off the newest user turn.
        chars: Characters of all texts in the request.
        non_ascii_bytes: Bytes beyond one per character in all texts (UTF-8), for the token estimate.
    """

    ask: str
    pasted: str = ""
    previous: tuple[str, ...] = ()
    answer: str = ""
    system: str = ""
    ask_first: bool = True
    in_tool_loop: bool = False
    has_history: bool = False
    has_images: bool = False
    n_images: int = 0
    n_tools: int = 0
    has_schema: bool = False
    n_turns: int = 1
    n_tool_results: int = 0
    enveloped: bool = False
    chars: int = 0
    non_ascii_bytes: int = 0
    request_fields: tuple[str, ...] = field(default=())

    @property
    def has_tools(self) -> bool:
        """Whether the request offers tools."""
        return self.n_tools > 0

    @property
    def previous_asks(self) -> tuple[str, ...]:
        """The human asks before the newest one, newest first (another name of `previous`)."""
        return self.previous

    @property
    def is_follow_up(self) -> bool:
        """Structure alone says that this continues what went before: a tool loop, or no ask of its own with a
        history.

        Whether worded asks continue a conversation is learnt: `Classification.continues`.
        """
        return self.has_history and (self.in_tool_loop or not _SIGNAL.search(self.ask + self.pasted))

    @property
    def signal(self) -> bool:
        """False if nothing can be judged: no letter or digit in the ask, no history, nothing pasted or attached."""
        return bool(_SIGNAL.search(self.ask) or _SIGNAL.search(self.pasted)) or self.has_history or self.n_images > 0

    @property
    def no_signal(self) -> bool:
        """The opposite of `signal`."""
        return not self.signal

    @property
    def tokens(self) -> int:
        """Token estimate of all texts, meant to lie above cl100k's count for prose and code; not a proof.

        ASCII text has 3 to 5 characters a token, other scripts about one token for 2.5 UTF-8 bytes, four
        tokens of framing a turn.
        """
        return int(self.chars / 3.2 + self.non_ascii_bytes * 0.45) + 4 * max(self.n_turns, 1) + 3


def bounded(text: str, head: int = HEAD, tail: int = TAIL) -> str:
    """The text itself, or its head and tail joined by a line break if it is longer than both together."""
    if len(text) <= head + tail:
        return text
    return f"{text[:head]}\n{text[-tail:]}"


def content_text(content: Any) -> tuple[str, int]:
    """Text and number of non-text parts of an OpenAI message content.

    Args:
        content: A string, None, or a list of content parts. Anything else counts as empty.

    Returns:
        (text, images): the text parts joined by line breaks; how many parts were not text.
    """
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        return "", 0
    texts: list[str] = []
    images = 0
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            text = part.get("text", part.get("refusal"))
            if isinstance(text, str):
                texts.append(text)
            else:
                images += 1
    return "\n".join(texts), images


def unwrap(text: str) -> tuple[str, str, bool]:
    """Take an agent's envelope off a user turn.

    Args:
        text: A bounded user message.

    Returns:
        (inner, envelope, found): the person's words, what stood around them, whether there was an envelope.
        Without an
        envelope the text comes back unchanged.
    """
    if "<" not in text or "</" not in text:
        return text, "", False
    asks = _elements(_ASK_ELEMENT, text)
    if asks:
        _, start, end, _ = asks[-1]
        return text[start:end].strip(), _without(asks, text, "").strip(), True
    rest = _without(_elements(_ENVELOPE, text), text, "\n")
    if rest == text or not _SIGNAL.search(rest):
        return text, "", False
    return rest.strip(), "", True


def _elements(opening: re.Pattern[str], text: str) -> list[tuple[int, int, int, int]]:
    """Elements of a text, each from an opening tag to the next closing one of its name, none inside another.

    One walk over the closing tags and one over the opening ones: an expression for whole elements looks through all of
    the text again from every opening tag that nothing closes.

    Args:
        opening: ``<`` and a name (group 1) that attributes or ``>`` follow.
        text: Of any kind.

    Returns:
        (start, start of the content, its end, end) of each.
    """
    closings: dict[str, list[int]] = {}
    for match in _CLOSING.finditer(text):
        closings.setdefault(match[1], []).append(match.start())
    found: list[tuple[int, int, int, int]] = []
    end, inner = 0, 0
    for match in opening.finditer(text) if closings else ():
        if match.start() < end or match[1] not in closings:
            continue
        if inner <= match.end():
            inner = text.find(">", match.end()) + 1
        if not inner:
            break  # no tag ends from here on
        places = closings[match[1]]
        place = bisect_left(places, inner)
        if place < len(places):
            end = places[place] + len(match[1]) + 3
            found.append((match.start(), inner, places[place], end))
    return found


def _without(elements: Sequence[tuple[int, int, int, int]], text: str, instead: str) -> str:
    ends = [0, *(element[3] for element in elements)]
    starts = [*(element[0] for element in elements), len(text)]
    return instead.join(text[end:start] for end, start in zip(ends, starts, strict=True))


def view_of(messages: str | Messages, **request_fields: Any) -> PromptView:
    """Build the view of a request.

    Args:
        messages: One user message as a string, or OpenAI messages (dicts with `role` and `content`; unknown
            roles and keys are
            ignored, null contents are empty).
        **request_fields: Other fields of the request; `tools` / `functions` and `response_format` are looked at.

    Returns:
        The view; total on any input of these types.
    """
    turns: Messages = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    users: list[tuple[str, int]] = []
    system: list[str] = []
    answer, chars, extra, images, tool_results = "", 0, 0, 0, 0
    last_role, history = "", False
    for message in turns:
        role = str(message.get("role", ""))
        text, parts = content_text(message.get("content"))
        chars += len(text)
        extra += 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text)
        images += parts
        last_role = role or last_role
        if role == "user":
            history = history or bool(users)
            users.append((bounded(text), parts))
        elif role in ("system", "developer"):
            system.append(text[:2_000])
        elif role in ("tool", "function"):
            tool_results += 1
            history = True
        elif role == "assistant":
            history = True
            answer = bounded(text, 1_000, 500) if text else answer
            if message.get("tool_calls"):
                last_role = "tool"
    newest, newest_images = users[-1] if users else ("", 0)
    inner, envelope, enveloped = unwrap(newest)
    parts_of = split_ask(inner)
    tools = request_fields.get("tools") or request_fields.get("functions") or ()
    return PromptView(
        ask=parts_of.ask,
        pasted=bounded("\n".join(p for p in (parts_of.pasted, envelope[:2_000]) if p), 4_000, 2_000),
        previous=tuple(split_ask(unwrap(t)[0]).ask or t[:600] for t, _ in users[-2::-1][:MAX_PREVIOUS]),
        answer=answer,
        system="\n".join(system)[:2_000],
        ask_first=parts_of.ask_first,
        in_tool_loop=last_role in ("tool", "function"),
        has_history=history,
        has_images=newest_images > 0,
        n_images=images,
        n_tools=len(tools) if isinstance(tools, Sequence) else 0,
        has_schema=_wants_json(request_fields.get("response_format")),
        n_turns=len(users),
        n_tool_results=tool_results,
        enveloped=enveloped,
        chars=chars,
        non_ascii_bytes=extra,
    )


def _wants_json(response_format: Any) -> bool:
    return isinstance(response_format, Mapping) and response_format.get("type") in ("json_object", "json_schema")
