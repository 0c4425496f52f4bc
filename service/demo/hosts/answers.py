"""What a simulated host says: deterministic, plainly marked as simulated, of a length that can be set.

The rule, the same for both protocols:

- A forced tool, or a newest user message that contains a tool's name or the words "use the tool" while the
  conversation does not end with a tool's result: calls of the tools named (else of the first one), with
  arguments that fit their schema.
- A response format: a JSON object that fits the schema (`service.demo.hosts.schemas`). Where the newest message is a
  JSON object with ``answer_a`` and ``answer_b`` and an object is wanted, it is a judge's: ``{"same": ...}`` by whether
  one begins like the other, the echo of the question left out. Where it has ``request`` and the schema wants a
  ``tier``, or has none, ``{"tier": ...}`` by the length of the request alone: `SHORT` characters are lightweight,
  `LONG` coding, more reasoning. That is no judgement: it shows that the question is asked, not what it is worth.
- Otherwise ``[simulated HOST MODEL] You asked: "..."`` and filler words up to the length wanted. The same
  prompt, seed and choice give the same words; seed and choice turn the ring of filler words.

A piece is a token: what is streamed at a time and what usage counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from service.demo.hosts.prompts import Prompt
from service.demo.hosts.schemas import conforming

ECHO_CHARACTERS = 60
JSON_PIECE_CHARACTERS = 4
SHORT, LONG = 60, 240
_FILLER_TEXT = (
    "This answer was not written by a model but made by a program that stands in for one so that routing and "
    "fail-over can be seen without a graphics card or a key and it repeats itself when it has to be long"
)
_FILLER = tuple(_FILLER_TEXT.split(" "))
_ECHOED = re.compile('You asked: ".*?"[.]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a request wants of its answer, the same for both protocols.

    Attributes:
        length: Tokens of a plain answer.
        max_tokens: Limit of tokens, thinking included; None means none.
        stop: Texts before which the answer ends.
        seed: Changes the filler words.
        schema: None for text, an empty mapping for any JSON object, else a JSON schema.
        thinking: Tokens of thinking before the answer; 0 means none.
        tools: The tools offered: name to JSON schema of its parameters.
        forced: None: by the rule; ``required`` any tool, ``none`` no tool, else the name of the tool to call.
        parallel: Whether several tools may be called in one answer.
    """

    length: int = 24
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int = 0
    schema: Mapping[str, object] | None = None
    thinking: int = 0
    tools: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    forced: str | None = None
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call: the tool's name and its arguments."""

    name: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        pieces: Tokens of the text.
        thinking: Tokens of the thinking before it.
        tool_calls: Calls instead of a text.
        finish: Why it ended.
    """

    pieces: list[str]
    thinking: list[str]
    tool_calls: list[ToolCall]
    finish: str

    @property
    def tokens(self) -> int:
        """Tokens generated: text, thinking, and the calls at 4 characters a token."""
        calls = sum(len(call.name) + len(orjson.dumps(call.arguments)) for call in self.tool_calls)
        return len(self.pieces) + len(self.thinking) + -(-calls // 4)


def compose(host: str, model: str, prompt: Prompt, wanted: Wanted, choice: int = 0) -> Answer:
    """Make the answer of a host to a prompt; `choice` is the index where several are asked for (``n``)."""
    ask = prompt.newest_ask
    calls = _tool_calls(ask, prompt.ends_with_tool_result, wanted)
    if calls:
        return Answer([], _filler(wanted.thinking, 0), calls, "tool_calls")
    if wanted.schema is None:
        pieces = _plain(host, model, prompt, wanted.length, wanted.seed + choice)
    else:
        judged = _judged(ask, wanted.schema)
        value = conforming(wanted.schema, f"simulated {host} {model}: {_echo(ask)}") if judged is None else judged
        text = orjson.dumps(value).decode()
        pieces = [text[at : at + JSON_PIECE_CHARACTERS] for at in range(0, len(text), JSON_PIECE_CHARACTERS)]
    finish = "stop"
    if wanted.stop:
        pieces = _until_stop(pieces, wanted.stop)
    thinking = _filler(wanted.thinking, 0)
    limit = wanted.max_tokens
    if limit is not None and len(thinking) + len(pieces) > limit:
        thinking = thinking[:limit]
        pieces = pieces[: limit - len(thinking)]
        finish = "length"
    return Answer(pieces, thinking, [], finish)


def _judged(ask: str, schema: Mapping[str, object]) -> dict[str, object] | None:
    """A judge's verdict on two answers or word on a request, or None where the message is no judge's question."""
    try:
        found = orjson.loads(ask)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    a, b, request = found.get("answer_a"), found.get("answer_b"), found.get("request")
    if isinstance(a, str) and isinstance(b, str):
        a, b = _ECHOED.sub("", a), _ECHOED.sub("", b)
        return {"same": a.startswith(b) or b.startswith(a)}
    properties = schema.get("properties", {"tier": {}})
    if isinstance(request, str) and isinstance(properties, Mapping) and "tier" in properties:
        size = len(request)
        return {"tier": "lightweight" if size <= SHORT else "coding" if size <= LONG else "reasoning"}
    return None


def _plain(host: str, model: str, prompt: Prompt, length: int, start: int) -> list[str]:
    """Make the tokens of a plain answer: mark, echo, filler; the mark and the echo are never left out."""
    images = f" and {prompt.images} image(s)" if prompt.images else ""
    verb = "The tool returned" if prompt.ends_with_tool_result else "You asked"
    said = prompt.messages[-1].text if prompt.ends_with_tool_result else prompt.newest_ask
    head = f'[simulated {host} {model}] {verb}: "{_echo(said)}"{images}.'
    first, *words = head.split(" ")
    pieces = [first, *(f" {word}" for word in words)]
    missing = length - len(pieces)
    return pieces + _filler(missing, start) if missing > 0 else pieces


def _echo(text: str) -> str:
    """Give the beginning of a text on one line."""
    return " ".join(text[: 4 * ECHO_CHARACTERS].split())[:ECHO_CHARACTERS]


def _filler(count: int, start: int) -> list[str]:
    """Give so many filler tokens, beginning anywhere in the ring."""
    size = len(_FILLER)
    return [" " + _FILLER[(start + index) % size] for index in range(count)]


def _until_stop(pieces: list[str], stop: tuple[str, ...]) -> list[str]:
    """Cut before the first stop text."""
    text = "".join(pieces)
    at = min((found for found in (text.find(word) for word in stop if word) if found >= 0), default=-1)
    if at < 0:
        return pieces
    kept: list[str] = []
    for piece in pieces:
        if at <= 0:
            break
        kept.append(piece[:at])
        at -= len(piece)
    return kept


def _tool_calls(ask: str, has_result: bool, wanted: Wanted) -> list[ToolCall]:
    """Decide by the rule above which tools are called."""
    tools = wanted.tools
    if not tools or wanted.forced == "none":
        return []
    if wanted.forced is not None and wanted.forced in tools:
        named = [wanted.forced]
    elif wanted.forced == "required":
        named = [name for name in tools if name in ask] or [next(iter(tools))]
    elif has_result:
        return []
    else:
        named = [name for name in tools if name in ask]
        if not named and "use the tool" in ask.lower():
            named = [next(iter(tools))]
    if not wanted.parallel:
        named = named[:1]
    calls = []
    for name in named:
        arguments = conforming(tools[name], _echo(ask))
        calls.append(ToolCall(name, arguments if isinstance(arguments, dict) else {}))
    return calls
