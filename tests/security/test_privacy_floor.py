"""What is private stays in the house, whatever fails there, and the refusal says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import House
from tests.security.conftest import quick

CARD = "4111 1111 1111 1111"
SECRET = "why does " + "ghp_" + "a1B2c3D4e5F6" * 3 + " not work?"


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    """A house that looks for e-mail addresses too, and whose tiers fall back upwards into clouds."""

    def change(document: dict[str, Any]) -> None:
        quick(document)
        document["policy"] = {"privacy": {"emails": True}}
        document["tiers"]["lightweight"]["fallbacks"] = ["coding", "reasoning"]
        document["tiers"]["coding"]["fallbacks"] = ["reasoning"]

    with House(change=change) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    """The house with its hosts as at their start."""
    running.reset()
    return running


def left_the_house(house: House) -> list[str]:
    """Paths of what reached a cloud."""
    return [r.path for name in ("cloud1", "cloud2") for r in house.hosts[name].log().requests if r.method == "POST"]


@pytest.mark.parametrize("text", [f"charge {CARD} please", SECRET, "write to ann.lee@example.org about the bill"])
@pytest.mark.parametrize("model", ["auto", "lightweight", "coding"])
def test_a_private_prompt_is_answered_in_the_house(house: House, model: str, text: str) -> None:
    """A key, a card or an address stays on local deployments, and the record says which kind it was."""
    answer = house.ask(text, model)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-autotier-deployment"] in ("lightweight-mini", "lightweight-macbook", "coding-local")
    assert left_the_house(house) == []
    assert house.decision(answer.headers["x-autotier-decision"])["decision"]["private"] in ("key", "card", "email")


@pytest.mark.parametrize("fault", ["down", "500", "garbage", "empty-200", "401", "429:retry_after=1", "context"])
def test_no_failure_sends_a_private_prompt_out(house: House, fault: str) -> None:
    """With every host in the house failing, the answer is an error: fallbacks to clouds do not exist for it."""
    for name in ("mini", "macbook"):
        house.hosts[name].set_fault(fault)

    answer = house.ask(SECRET, "lightweight")

    assert answer.status_code >= 400
    assert left_the_house(house) == []
    assert "ghp_" not in answer.text


def test_private_reasoning_is_refused_with_the_reason(house: House) -> None:
    """An explicit reasoning has no local deployment by definition: a 400 that names privacy and its kind."""
    answer = house.ask(f"analyse {CARD}", "reasoning")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "constraint_unmet")
    assert "privacy (card)" in error["message"]
    assert CARD not in answer.text
    assert left_the_house(house) == []


@pytest.mark.parametrize("where", ["system", "history", "tool", "schema", "part"])
def test_a_secret_is_seen_wherever_it_stands(house: House, where: str) -> None:
    """In a system text, an old turn, a tool's result, a tool's description or a part: all of it would be sent."""
    ask: dict[str, Any] = {"role": "user", "content": "hello there"}
    messages: dict[str, list[dict[str, Any]]] = {
        "system": [{"role": "system", "content": SECRET}, ask],
        "history": [{"role": "user", "content": SECRET}, {"role": "assistant", "content": "so"}, ask],
        "tool": [
            ask,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": SECRET},
        ],
        "schema": [ask],
        "part": [{"role": "user", "content": [{"type": "text", "text": SECRET}]}],
    }
    body: dict[str, Any] = {"model": "auto", "messages": messages[where]}
    if where == "schema":
        body["tools"] = [{"type": "function", "function": {"name": "f", "description": SECRET, "parameters": {}}}]

    answer = house.post("/v1/route", body)

    assert answer.status_code == 200, answer.text
    assert set(answer.json()["deployments"]) <= {"lightweight-mini", "lightweight-macbook", "coding-local"}


def test_arguments_of_a_tool_call_are_looked_at_too(house: House) -> None:
    """They go upstream like any text."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": f'{{"card": "{CARD}"}}'}}
    messages = [
        {"role": "user", "content": "pay"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]

    answer = house.post("/v1/route", {"model": "auto", "messages": messages})

    assert set(answer.json()["deployments"]) <= {"lightweight-mini", "lightweight-macbook", "coding-local"}
