"""What goes past the cache, and what is not kept."""

from __future__ import annotations

from typing import Any

import pytest

from service.cache.eligible import MOST_CHARACTERS, Bypass, depends_on_now, is_keepable, request_bypass

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def bypass(text: Any = "What is a closure?", messages: list[dict[str, Any]] | None = None, **fields: Any) -> str | None:
    """The reason for an ask."""
    return request_bypass(messages or [{"role": "user", "content": text}], fields, max_temperature=0.2)


@pytest.mark.parametrize("fields", [{}, {"temperature": 0}, {"temperature": 0.2}, {"seed": 1}, {"tools": [{}]}])
def test_an_ordinary_request_may_use_the_cache(fields: dict[str, Any]) -> None:
    """A plain ask, a low temperature and tools that are offered are no reason."""
    assert bypass(**fields) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"temperature": 0.21}, Bypass.TEMPERATURE),
        ({"temperature": 1}, Bypass.TEMPERATURE),
        ({"n": 2}, Bypass.FIELD),
        ({"logprobs": True}, Bypass.FIELD),
        ({"web_search_options": {}}, Bypass.FIELD),
    ],
)
def test_fields_that_ask_for_more_than_one_text(fields: dict[str, Any], reason: Bypass) -> None:
    """Variety and side channels are not replayed."""
    assert bypass(**fields) is reason


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}],
        [{"role": "tool", "tool_call_id": "c", "content": "12"}],
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "and"}],
    ],
)
def test_tool_loops_and_prefills_go_past(messages: list[dict[str, Any]]) -> None:
    """The world has changed between two runs of a tool."""
    assert bypass(messages=messages) is Bypass.TOOL_LOOP


def test_long_requests_go_past() -> None:
    """Beyond the limit nothing is hashed."""
    assert bypass("x" * (MOST_CHARACTERS + 1)) is Bypass.SIZE


@pytest.mark.parametrize(
    "text",
    [
        "What happened today?",
        "the latest version of Django",
        "Who is the CURRENT president of France",
        "Wie wird das Wetter morgen",
        "Was ist die neueste Version von Node",
        "Quelle heure est-il à Tokyo",
        "¿Qué hora es en Lima?",
        "今天天气怎么样",
        "最新のニュース",
        "сегодня курс доллара",
        "오늘 날씨",
        "أخبار اليوم",
    ],
)
def test_what_depends_on_now_goes_past(text: str) -> None:
    """In every language that the project's data has."""
    assert depends_on_now(text)
    assert bypass(text) is Bypass.NOW


@pytest.mark.parametrize(
    "text", ["How do I undo a commit?", "Wie kocht man Reis?", "什么是闭包", "Know your newspaper"]
)
def test_timeless_asks_do_not(text: str) -> None:
    """Words that only contain such a word are none."""
    assert not depends_on_now(text)


def test_only_the_newest_ask_is_read_for_now() -> None:
    """A history is equal word for word anyway."""
    messages = [
        {"role": "user", "content": "What happened today?"},
        {"role": "assistant", "content": "Much."},
        {"role": "user", "content": "Say it in French"},
    ]

    assert bypass(messages=messages) is None


def answer(**changes: Any) -> list[dict[str, Any]]:
    """One whole answer, changed."""
    message = {"role": "assistant", "content": "A function.", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    for name, value in changes.items():
        (choice if name == "finish_reason" else message)[name] = value
    return [choice]


def test_a_whole_answer_is_keepable() -> None:
    """Text that ended by itself."""
    assert is_keepable(answer())


@pytest.mark.parametrize(
    "changes",
    [
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"finish_reason": "tool_calls", "tool_calls": [CALL]},
        {"tool_calls": [CALL]},
        {"refusal": "No."},
        {"content": ""},
        {"content": "  \n"},
        {"content": None},
    ],
)
def test_anything_else_is_not(changes: dict[str, Any]) -> None:
    """Cut, filtered, refused, empty answers and calls are never given again."""
    assert not is_keepable(answer(**changes))


def test_two_choices_are_not() -> None:
    """Which of them would it be?"""
    assert not is_keepable(answer() * 2)
