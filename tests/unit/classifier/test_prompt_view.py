"""The prompt view: the ask apart from paste, envelopes, system text and history."""

from __future__ import annotations

import pytest

from classifier.paste import split_ask
from classifier.prompt import HEAD, TAIL, view_of

DIFF = "diff --git a/x.py b/x.py\nindex 1111111..2222222 100644\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n"


def test_a_string_is_one_user_message() -> None:
    """A string and a single user message give the same view."""
    text = "What does this flag do?"

    views = view_of(text), view_of([{"role": "user", "content": text}])

    assert views[0] == views[1]
    assert views[0].ask == text


def test_the_newest_human_ask_is_the_ask() -> None:
    """Earlier user turns are kept apart, newest first, and make a history."""
    messages = [
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "an answer"},
        {"role": "user", "content": "second question"},
        {"role": "assistant", "content": "another answer"},
        {"role": "user", "content": "third question"},
    ]

    view = view_of(messages)

    assert view.ask == "third question"
    assert view.previous == ("second question", "first question")
    assert view.has_history
    assert view.n_turns == 3


def test_system_text_is_context_not_the_task() -> None:
    """A long system prompt does not reach the ask."""
    messages = [
        {"role": "system", "content": "You are an agent. " * 800},
        {"role": "user", "content": "rename this variable"},
    ]

    view = view_of(messages)

    assert view.ask == "rename this variable"
    assert view.system
    assert not view.has_history


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_diff_is_pasted_material(order: str) -> None:
    """The instruction is found before and after a pasted diff, and its place is known."""
    ask = "Please say in one line what changed here"
    text = f"{ask}\n\n{DIFF}" if order == "before" else f"{DIFF}\n\n{ask}"

    view = view_of(text)

    assert view.ask == ask
    assert "diff --git" in view.pasted
    assert view.ask_first is (order == "before")


def test_everything_inside_a_diff_stays_material() -> None:
    """Prose-like lines of a diff after a blank line are not taken for an instruction."""
    text = f"Write the message.\n\n{DIFF} unchanged words here\n\n+# another section of words\n+ more of these words\n"

    parts = split_ask(text)

    assert parts.ask == "Write the message."


def test_a_fence_is_pasted_material() -> None:
    """Fenced code is taken out of the ask even if the fence is never closed."""
    parts = split_ask("why is this slow?\n```python\nfor x in y:\n    z(x)\n")

    assert parts.ask == "why is this slow?"
    assert "for x in y" in parts.pasted


def test_long_prose_is_ask_only_at_its_edges() -> None:
    """A question below a long text is part of the ask, the middle of the text is not."""
    body = "\n\n".join(f"Paragraph {i} tells a long and quiet story about the sea and its boats." for i in range(80))

    parts = split_ask(f"{body}\n\nSummarise this in two lines.")

    assert parts.ask.endswith("Summarise this in two lines.")
    assert "Paragraph 40" not in parts.ask
    assert "Paragraph 40" in parts.pasted


def test_an_agent_envelope_is_taken_off() -> None:
    """The words of the person are found inside an agent's elements."""
    extra = "<environment_details>\nopen: a.py\n</environment_details>"
    text = f"{extra}\n<user_query>\nadd a parameter everywhere\n</user_query>"

    view = view_of(text)

    assert view.ask == "add a parameter everywhere"
    assert view.enveloped


def test_a_tool_result_is_a_tool_loop() -> None:
    """A last message from a tool keeps the human ask and says that the loop goes on."""
    messages = [
        {"role": "user", "content": "find the failing test"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a.py b.py"},
    ]

    view = view_of(messages, tools=[{"type": "function"}])

    assert view.in_tool_loop
    assert view.is_follow_up
    assert view.ask == "find the failing test"
    assert view.n_tools == 1


def test_parts_and_null_contents_are_read() -> None:
    """Text parts are joined, images are counted, null is empty."""
    parts = [
        {"type": "text", "text": "what is on"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text", "text": "this photo"},
    ]

    view = view_of([{"role": "assistant", "content": None}, {"role": "user", "content": parts}])

    assert view.ask == "what is on\nthis photo"
    assert view.has_images
    assert view.n_images == 1


@pytest.mark.parametrize("text", ["", "   \n\t ", "🙂", "?!…", "---"])
def test_no_letter_or_digit_is_no_signal(text: str) -> None:
    """An ask without letters and digits, history or attachment can not be judged."""
    assert view_of(text).no_signal


def test_small_talk_is_a_signal() -> None:
    """A greeting can be judged."""
    assert view_of("hi").signal


def test_an_image_alone_is_a_signal() -> None:
    """Something attached is something to judge."""
    assert view_of([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]).signal


def test_a_long_text_is_looked_at_in_its_head_and_tail() -> None:
    """A marker in the middle of a very long message is not seen, those at both ends are."""
    text = "HEADMARK " + "word " * 10_000 + "MIDDLEMARK " + "word " * 10_000 + "TAILMARK"

    view = view_of(text)

    seen = view.ask + view.pasted
    assert "HEADMARK" in seen
    assert "TAILMARK" in seen
    assert "MIDDLEMARK" not in seen
    assert view.chars == len(text)
    assert len(seen) <= HEAD + TAIL + 10


def test_token_estimate_grows_with_every_message() -> None:
    """System text, history and tool results all count."""
    one = view_of("hello there").tokens

    many = view_of([{"role": "system", "content": "x" * 4000}, {"role": "user", "content": "hello there"}]).tokens

    assert many > one + 1000
