"""Bounds where they decide, counts where they do not."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.routing.tokens import PIECE, count, encoding, measure, texts_of


def body(text: str) -> dict[str, Any]:
    """A chat body of one message."""
    return {"messages": [{"role": "user", "content": text}]}


async def test_a_short_prompt_is_not_counted() -> None:
    """Where even one token a byte fits everywhere, nothing is encoded."""
    measured = await measure(body("hello there"), [7000, 128_000])

    assert not measured.exact
    assert measured.tokens < 20


async def test_near_a_limit_the_count_is_exact() -> None:
    """Where the byte bound exceeds a limit, the tokens are counted."""
    text = "The quick brown fox jumps over the lazy dog. " * 400

    measured = await measure(body(text), [7000])

    assert measured.exact
    assert abs(measured.tokens - len(encoding().encode_ordinary(text))) < 10


async def test_counting_stops_beyond_every_limit() -> None:
    """A megabyte is not counted to its end once the largest limit is passed."""
    measured = await measure(body("word " * 400_000), [1000])

    assert not measured.exact
    assert 1000 < measured.tokens < 1000 + PIECE


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=4000))
def test_a_token_is_at_least_one_byte(text: str) -> None:
    """The law behind the bound: no text has more tokens than UTF-8 bytes."""
    tokens, complete = count([text], 10**9)

    assert complete
    assert tokens <= len(text.encode("utf-8", "surrogatepass"))


def test_tools_calls_and_schemas_count() -> None:
    """Everything that the host puts into the prompt is among the texts."""
    request = {
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "alpha", "arguments": "{}"}}]},
            {"role": "user", "content": [{"type": "text", "text": "beta"}, {"type": "image_url", "image_url": {}}]},
        ],
        "tools": [{"type": "function", "function": {"name": "gamma"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "delta"}},
    }

    joined = " ".join(texts_of(request))

    assert all(word in joined for word in ("alpha", "beta", "gamma", "delta"))
