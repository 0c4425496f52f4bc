"""Conversation keys: who shares a hold, and what is a regeneration."""

from __future__ import annotations

from typing import Any

import pytest

from classifier import Tier
from service.routing.conversation import ConversationKeys, RecentRequests, is_regeneration
from service.routing.request import CallerIdentity, ChatRequest, chat_request

KEYS = ConversationKeys(b"0123456789abcdef")
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "What is a mutex?"},
    {"role": "assistant", "content": "A lock."},
    {"role": "user", "content": "and a semaphore?"},
]


def request(
    messages: list[dict[str, Any]] | None = None, *, caller: str = "ann", headers: dict[str, str] | None = None
) -> ChatRequest:
    """A checked request of ``caller``."""
    body = {"model": "auto", "messages": messages if messages is not None else TURNS}
    return chat_request(body, headers or {}, CallerIdentity(caller))


def test_the_next_request_finds_what_the_answer_stored() -> None:
    """The key stored after an answer is the key that the follow-up looks up."""
    first = request(TURNS[:1])

    stored = KEYS.after(first, {"role": "assistant", "content": "A lock."})

    assert KEYS.known(request()) == stored
    assert KEYS.known(first) is None


def test_parts_and_null_content_make_the_same_key() -> None:
    """A string and one text part are the same message; ids of tool calls do not matter."""
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
    }
    again = {
        "role": "assistant",
        "tool_calls": [{"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    parts = {"role": "user", "content": [{"type": "text", "text": "What is a mutex?"}]}

    assert KEYS.by_history("ann", [TURNS[0], called]) == KEYS.by_history("ann", [parts, again])


@pytest.mark.parametrize(
    "other",
    [
        request(caller="bob"),
        request([{"role": "user", "content": "What is a mutex? "}, *TURNS[1:]]),
        request([TURNS[0], {"role": "assistant", "content": "A Lock."}, TURNS[2]]),
        request(headers={"x-autotier-conversation": "one"}),
    ],
)
def test_caller_messages_and_answers_tell_conversations_apart(other: ChatRequest) -> None:
    """Two chats share a hold only while caller, every message and every answer in them are equal."""
    assert KEYS.known(other) != KEYS.known(request())


def test_a_given_id_keeps_equal_chats_apart() -> None:
    """The same messages under two ids are two conversations."""
    one = request(headers={"x-autotier-conversation": "one"})
    two = request(headers={"x-autotier-conversation": "two"})

    assert KEYS.known(one) != KEYS.known(two)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (request(TURNS[:1]), False),
        (request(TURNS), True),
        (request(TURNS[:1], headers={"x-autotier-cache": "refresh"}), True),
        (request(TURNS[:1], headers={"x-autotier-conversation": "one"}), True),
        (request(TURNS[:1], headers={"x-autotier-cache": "bypass"}), False),
    ],
)
def test_what_counts_as_a_regeneration(asked: ChatRequest, wanted: bool) -> None:
    """The same first message again is a repeat; with refresh, an id or a history it asks for another answer."""
    assert is_regeneration(asked) is wanted


async def test_recent_requests_are_forgotten_after_the_window_and_beyond_the_bound() -> None:
    """A regeneration is one only within its window, and memory is bounded."""
    recent = RecentRequests(window_s=120, most=2)
    for number, key in enumerate(("a", "b", "c")):
        recent.remember(key, Tier.CODING, float(number))

    assert await recent.tier_of("a", 3.0) is None
    assert await recent.tier_of("c", 122.0) is Tier.CODING
    assert await recent.tier_of("c", 122.1) is None
