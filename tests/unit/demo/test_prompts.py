"""Reading messages of both protocols, counting and cutting them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.demo.hosts.prompts import BadMessages, estimate_tokens, read_messages, truncated


def test_content_parts_null_content_and_images_are_read() -> None:
    """Text parts are joined, images of both protocols counted, null is empty."""
    prompt = read_messages(
        [
            {"role": "assistant", "content": None},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]},
            {"role": "user", "content": "b", "images": ["aGk="]},
        ]
    )

    assert [message.text for message in prompt.messages] == ["", "a", "b"]
    assert prompt.images == 2
    assert prompt.newest_ask == "b"


@pytest.mark.parametrize(
    "raw", [None, "hi", {"role": "user"}, ["hi"], [{"content": "x"}], [{"role": "user", "content": 3}]]
)
def test_messages_of_another_form_are_refused(raw: object) -> None:
    """What no server of these protocols takes is refused here too."""
    with pytest.raises(BadMessages):
        read_messages(raw)


def test_a_token_is_four_bytes() -> None:
    """The estimate counts bytes, so that Chinese is not counted as a quarter of what it is."""
    assert (estimate_tokens(""), estimate_tokens("abcde"), estimate_tokens("你好吗吗")) == (0, 2, 3)


def test_truncation_keeps_the_system_message_and_the_newest() -> None:
    """The oldest turn goes first, in silence, as at Ollama."""
    prompt = read_messages(
        [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "old " * 50},
            {"role": "user", "content": "new"},
        ]
    )

    cut = truncated(prompt, 30)

    assert [message.text for message in cut.messages] == ["rules", "new"]
    assert cut.tokens <= 30


def test_truncation_cuts_the_beginning_of_a_single_long_message() -> None:
    """The end of the only message stays."""
    cut = truncated(read_messages([{"role": "user", "content": "a" * 1000 + "END"}]), 20)

    assert cut.newest_ask.endswith("END")
    assert cut.tokens == 20


@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=200))), st.integers(1, 200)
)
def test_truncation_never_exceeds_the_limit(turns: list[tuple[str, str]], limit: int) -> None:
    """On any conversation the count after truncation is within the limit, and unchanged where it fitted."""
    prompt = read_messages([{"role": role, "content": text} for role, text in turns])

    cut = truncated(prompt, limit)

    assert cut.tokens == prompt.tokens if prompt.tokens <= limit else cut.tokens <= limit
