"""Two requests share a key exactly where one answer serves both."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.key import NotCanonical, Question, folded, key_of

ASK = "What is a closure in JavaScript?"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def question(text: Any = ASK, *, system: str | None = None, **fields: Any) -> Question:
    """A question of one user message."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return Question("caller:anna", "lightweight", ("a model at an address",), messages, fields)


def image(data: bytes, **more: Any) -> list[dict[str, Any]]:
    """An ask with an inline image."""
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    return [{"type": "text", "text": ASK}, {"type": "image_url", "image_url": {"url": url, **more}}]


CHANGES: dict[str, Callable[[], Question]] = {
    "ask": lambda: question("What is a closure in Python?"),
    "case": lambda: question(ASK.lower()),
    "system": lambda: question(system="Answer in French."),
    "owner": lambda: replace(question(), owner="caller:ben"),
    "group": lambda: replace(question(), owner="group:anna"),
    "tier": lambda: replace(question(), tier="coding"),
    "deployment": lambda: replace(question(), serving=("another model",)),
    "temperature": lambda: question(temperature=0),
    "limit": lambda: question(answer_limit=20),
    "seed": lambda: question(seed=7),
    "stop": lambda: question(stop=["\n"]),
    "tools": lambda: question(tools=[TOOL]),
    "format": lambda: question(response_format={"type": "json_object"}),
    "effort": lambda: question(reasoning_effort="low"),
    "history": lambda: replace(
        question(),
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": ASK},
        ],
    ),
    "name": lambda: replace(question(), messages=[{"role": "user", "content": ASK, "name": "anna"}]),
    "image": lambda: question(image(b"one")),
    "role": lambda: replace(question(), messages=[{"role": "system", "content": ASK}]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_the_answer_changes_both_digests(what: str) -> None:
    """Each of these alone gives another key, exact and near."""
    before, after = key_of(question()), key_of(CHANGES[what]())

    assert after.exact != before.exact
    assert after.near != before.near


def test_no_two_of_them_share_a_key() -> None:
    """All changes are told apart from each other as well."""
    keys = {key_of(make()).near for make in CHANGES.values()}

    assert len(keys) == len(CHANGES)


@pytest.mark.parametrize(
    "same",
    [
        question([{"type": "text", "text": ASK}]),
        replace(question(), messages=[{"content": ASK, "role": "user"}]),
        replace(question(), messages=[{"role": "user", "content": ASK, "name": None}]),
    ],
    ids=["one part", "order", "null"],
)
def test_the_form_of_a_request_does_not_matter(same: Question) -> None:
    """String or one part, order of keys, nulls: the same key."""
    assert key_of(same) == key_of(question())


def test_order_of_arguments_and_form_of_numbers_do_not_matter() -> None:
    """1.0 is 1, and the keys of objects have no order."""
    one = key_of(
        question(seed=1, response_format={"type": "json_schema", "json_schema": {"name": "n", "strict": True}})
    )
    two = key_of(
        question(response_format={"json_schema": {"strict": True, "name": "n"}, "type": "json_schema"}, seed=1.0)
    )

    assert one == two


def test_images_count_by_their_bytes() -> None:
    """Another picture, or another detail, is another question; another spelling of the same bytes is not."""
    first, again = key_of(question(image(b"one"))), key_of(question(image(b"one", detail="auto")))
    other, finer = key_of(question(image(b"two"))), key_of(question(image(b"one", detail="high")))

    assert first == again
    assert len({first.near, other.near, finer.near}) == 3


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
    ],
)
def test_what_is_not_in_the_request_has_no_key(part: dict[str, Any]) -> None:
    """What stands at an address may change from one request to the next."""
    with pytest.raises(NotCanonical):
        key_of(question([{"type": "text", "text": ASK}, part]))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Explain  this  to me", "Explain this to me"),
        ("What is “this”?", 'What is "this"?'),
        ("Really??", "Really?"),
        ("Tell me a joke.", "Tell me a joke"),
        (" Tell me a joke\n", "Tell me a joke"),
    ],
)
def test_near_duplicates_share_a_near_key_only(one: str, two: str) -> None:
    """Spaces, typographic marks and the full stop at the end do not matter, and the exact digest still tells."""
    first, second = key_of(question(one)), key_of(question(two))

    assert first.near == second.near
    assert first.exact != second.exact
    assert first.scope == second.scope


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("polish it", "Polish it"),
        ("x² + 1", "x2 + 1"),
        ("is it on", "is it on?"),
        ("a - b", "a b"),
        ("if x:\n  y", "if x:\n y"),
        ("f(`a  b`)", "f(`a b`)"),
        ("1,000", "1.000"),
        ("and so on...", "and so on"),
        ("don't", "dont"),
        ("¬p", "p"),
    ],
)
def test_what_may_change_the_meaning_is_not_folded(one: str, two: str) -> None:
    """Case, figures, question marks and code keep their own keys."""
    assert key_of(question(one)).near != key_of(question(two)).near


@given(st.text(max_size=200))
def test_folding_is_total_and_stable(text: str) -> None:
    """Any text folds, and folding again changes nothing."""
    once = folded(text)

    assert folded(once) in (once, once.removesuffix("."), folded(once.strip()))


@given(st.dictionaries(st.sampled_from(["temperature", "seed", "top_p", "stop"]), st.integers(0, 3)))
def test_the_key_is_a_function_of_the_fields(fields: dict[str, Any]) -> None:
    """The same fields in any order give the same key; one more gives another."""
    again = dict(reversed(fields.items()))

    assert key_of(question(**fields)) == key_of(question(**again))
    assert key_of(question(**fields)).near != key_of(question(**fields, verbosity="low")).near
