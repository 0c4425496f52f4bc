"""What a request continues: conversation keys, holds and regenerations.

A conversation is known by the id that the client gives, else by a keyed hash of the caller and all messages up to the
last answer, stored after each answer with what was served. Two chats share a hold only while caller, every message
and every answer in them are equal.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from classifier import Tier
from service.routing.request import ChatRequest


@dataclass(frozen=True, slots=True)
class Hold:
    """The tier that a conversation was last served with.

    Attributes:
        rejected: The caller said of the last answer that it did not solve the task.
    """

    tier: Tier
    decision_id: str
    rejected: bool = False


class Held(Protocol):
    """A hold as a store gives it: `Hold` with the tier's name."""

    @property
    def tier(self) -> str: ...

    @property
    def decision_id(self) -> str: ...

    @property
    def rejected(self) -> bool: ...


class ConversationStore(Protocol):
    """Where holds are kept; the store of decisions implements it."""

    async def hold(self, key: str) -> Held | None:
        """The hold of a conversation, or None."""
        ...

    def keep(self, key: str, caller: str, tier: str, decision_id: str) -> None:
        """Stores a hold behind the answer; later ones replace earlier ones."""
        ...


def _canonical(message: Mapping[str, Any]) -> tuple[str, str, str]:
    """What makes two messages equal: role, text, tool calls. String or text parts do not matter, call ids do not."""
    content = message.get("content")
    if not isinstance(content, str) and isinstance(content, Sequence):
        text = "\n".join(
            part["text"]
            if isinstance(part, Mapping) and isinstance(part.get("text"), str)
            else orjson.dumps(part).decode()
            for part in content
        )
    else:
        text = content or ""
    calls = [
        (call["function"].get("name"), call["function"].get("arguments"))
        for call in message.get("tool_calls") or ()
        if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)
    ]
    return str(message.get("role")), str(text), orjson.dumps(calls).decode() if calls else ""


class ConversationKeys:
    """Keyed hashes, so that a stored key tells nothing about a conversation.

    Args:
        secret: 16 to 64 random bytes, kept in the store so that holds survive a restart (BLAKE2's key, RFC 7693).
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _hash(self, kind: str, caller: str, parts: Any) -> str:
        data = orjson.dumps([kind, caller, parts])
        return hashlib.blake2b(data, digest_size=16, key=self._secret).hexdigest()

    def by_id(self, caller: str, conversation_id: str) -> str:
        """Key of a conversation whose id the client gave."""
        return self._hash("id", caller, conversation_id)

    def by_history(self, caller: str, messages: Sequence[Mapping[str, Any]]) -> str:
        """Key of a conversation by its messages, the last of which is an answer."""
        return self._hash("history", caller, [_canonical(m) for m in messages])

    def known(self, request: ChatRequest) -> str | None:
        """Key under which the conversation would be stored already; None where it has no answer yet and no id."""
        if request.conversation_id is not None:
            return self.by_id(request.caller.name, request.conversation_id)
        last = last_answer(request.messages)
        return None if last is None else self.by_history(request.caller.name, request.messages[: last + 1])

    def after(self, request: ChatRequest, answer: Mapping[str, Any]) -> str:
        """Key under which the conversation is stored once ``answer`` was given."""
        if request.conversation_id is not None:
            return self.by_id(request.caller.name, request.conversation_id)
        return self.by_history(request.caller.name, [*request.messages, answer])

    def unit(self, request: ChatRequest) -> str:
        """Key that all turns of a conversation share, unlike those above: its given id, or what its user said first.

        Two conversations that begin with the same words share it.
        """
        if request.conversation_id is not None:
            return self.by_id(request.caller.name, request.conversation_id)
        messages = request.messages
        first = next((i for i, message in enumerate(messages) if message.get("role") == "user"), len(messages) - 1)
        return self.by_history(request.caller.name, messages[: first + 1])

    def same_request(self, request: ChatRequest) -> str:
        """Key that two requests share if caller, given id and all messages are equal."""
        return self._hash(
            "request", request.caller.name, [request.conversation_id, [_canonical(m) for m in request.messages]]
        )


def last_answer(messages: Sequence[Mapping[str, Any]]) -> int | None:
    """Position of the last assistant message, or None."""
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].get("role") == "assistant"), None)


class RecentStore(Protocol):
    """Where requests of the last seconds are kept: this process, or a store that replicas share."""

    async def tier_of(self, key: str, now_s: float) -> Tier | None:
        """Tier of the same request within the window, or None."""
        ...

    def remember(self, key: str, tier: Tier, now_s: float) -> None:
        """Notes a request and the tier that it got."""
        ...


class RecentRequests:
    """Requests of the last seconds, to tell a regeneration. Process memory, bounded.

    Args:
        window_s: How long a request is remembered.
        most: How many are remembered.
    """

    def __init__(self, window_s: float, most: int = 4096) -> None:
        self._window_s = window_s
        self._most = most
        self._seen: OrderedDict[str, tuple[float, Tier]] = OrderedDict()

    async def tier_of(self, key: str, now_s: float) -> Tier | None:
        """See `RecentStore`."""
        found = self._seen.get(key)
        return found[1] if found and now_s - found[0] <= self._window_s else None

    def remember(self, key: str, tier: Tier, now_s: float) -> None:
        """See `RecentStore`."""
        self._seen[key] = (now_s, tier)
        self._seen.move_to_end(key)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)


def is_regeneration(request: ChatRequest) -> bool:
    """Whether a request that was seen within the window asks for another answer rather than for the same one.

    By DESIGN: it comes with a refresh, with a given conversation id, or with a history that holds an answer.
    """
    return (
        request.cache == "refresh" or request.conversation_id is not None or last_answer(request.messages) is not None
    )
