"""What a simulated host says."""

from __future__ import annotations

import json

import pytest

from service.demo.hosts.answers import Wanted, compose
from service.demo.hosts.prompts import Prompt, read_messages
from service.routing.judge import SCHEMA

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def ask(text: str) -> Prompt:
    """Give a prompt of one user message."""
    return read_messages([{"role": "user", "content": text}])


def said(text: str, wanted: Wanted) -> str:
    """Give the text of an answer."""
    return "".join(compose("mini", "qwen3:8b", ask(text), wanted).pieces)


def test_the_answer_says_that_it_is_simulated_and_echoes_the_prompt() -> None:
    """Nobody takes it for a model's answer."""
    assert said("Why is the sky blue?", Wanted()).startswith(
        '[simulated mini qwen3:8b] You asked: "Why is the sky blue?".'
    )


def test_the_same_request_gets_the_same_answer_and_another_seed_another() -> None:
    """Deterministic, and seed counts."""
    assert said("x", Wanted(seed=1)) == said("x", Wanted(seed=1)) != said("x", Wanted(seed=2))


def test_an_answer_has_the_length_wanted() -> None:
    """A piece is a token."""
    answer = compose("mini", "m", ask("hi"), Wanted(length=40))

    assert (len(answer.pieces), answer.tokens, answer.finish) == (40, 40, "stop")


def test_a_limit_cuts_thinking_and_text_together() -> None:
    """Thinking counts against max_tokens."""
    answer = compose("mini", "m", ask("hi"), Wanted(length=40, thinking=6, max_tokens=10))

    assert (len(answer.thinking), len(answer.pieces), answer.finish) == (6, 4, "length")


def test_an_answer_ends_before_a_stop_text() -> None:
    """The stop text itself is not sent, also where it spans tokens."""
    assert said("hello", Wanted(stop=("mini qwen3", "never"))) == "[simulated "


def test_a_tool_is_called_where_the_newest_ask_names_it() -> None:
    """Name or "use the tool" in the newest user message."""
    wanted = Wanted(tools={"get_time": {"type": "object"}, "get_weather": WEATHER})

    named = compose("mini", "m", ask("please get_weather in Kiel"), wanted)
    phrase = compose("mini", "m", ask("Use the tool."), wanted)
    neither = compose("mini", "m", ask("hello"), wanted)

    assert [call.name for call in named.tool_calls] == ["get_weather"]
    assert set(named.tool_calls[0].arguments) == {"city"}
    assert [call.name for call in phrase.tool_calls] == ["get_time"]
    assert (neither.tool_calls, named.finish) == ([], "tool_calls")


def test_after_a_tool_result_there_is_a_text() -> None:
    """A tool loop ends."""
    prompt = read_messages(
        [
            {"role": "user", "content": "get_weather"},
            {"role": "assistant", "content": ""},
            {"role": "tool", "content": "12 C"},
        ]
    )

    answer = compose("mini", "m", prompt, Wanted(tools={"get_weather": WEATHER}))

    assert answer.tool_calls == []
    assert 'The tool returned: "12 C"' in "".join(answer.pieces)


@pytest.mark.parametrize(("forced", "calls"), [("none", 0), ("required", 1), ("get_weather", 1), (None, 0)])
def test_a_forced_tool_choice_is_obeyed(forced: str | None, calls: int) -> None:
    """none, required and a name override the rule."""
    wanted = Wanted(tools={"get_weather": WEATHER}, forced=forced)

    assert len(compose("mini", "m", ask("hello"), wanted).tool_calls) == calls


def test_parallel_calls_can_be_forbidden() -> None:
    """parallel_tool_calls false leaves one call of two."""
    tools = {"one_tool": WEATHER, "two_tool": WEATHER}

    both = compose("mini", "m", ask("one_tool two_tool"), Wanted(tools=tools))
    single = compose("mini", "m", ask("one_tool two_tool"), Wanted(tools=tools, parallel=False))

    assert (len(both.tool_calls), len(single.tool_calls)) == (2, 1)


def test_json_mode_gives_an_object_that_says_simulated() -> None:
    """An empty schema means any object."""
    assert json.loads(said("hi", Wanted(schema={})))["simulated"] is True


@pytest.mark.parametrize(("size", "tier"), [(60, "lightweight"), (61, "coding"), (240, "coding"), (241, "reasoning")])
@pytest.mark.parametrize("schema", [SCHEMA, {}])
def test_asked_for_a_tier_it_goes_by_length_alone(size: int, tier: str, schema: dict[str, object]) -> None:
    """With the judge's schema or any JSON object: a rule that nobody can take for a judgement."""
    question = json.dumps({"request": "x" * size, "before": "y" * 500})

    assert json.loads(said(question, Wanted(schema=schema))) == {"tier": tier}


def test_a_request_in_another_schema_is_no_judges_question() -> None:
    """Somebody else's JSON with a field of that name gets what its schema wants."""
    assert json.loads(said('{"request": "hello"}', Wanted(schema=WEATHER))).keys() == {"city"}
