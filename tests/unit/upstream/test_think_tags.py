"""Thinking between tags at the beginning of a text, whatever pieces it comes in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config import Deployment
from service.upstream.collect import Collector
from service.upstream.interface import Call, Chunk
from service.upstream.lean_ollama_stream import OllamaReader
from service.upstream.lean_openai import OpenAIReader
from service.upstream.think_tags import ThinkTags, tags_of


def chunk(text: str, finish: str | None = None, index: int = 0, **delta: Any) -> Chunk:
    """One chunk with a text."""
    return Chunk([{"index": index, "delta": {"content": text, **delta}, "finish_reason": finish}])


def read(*chunks: Chunk, tags: ThinkTags | None = None, ended: bool = True) -> dict[str, Any]:
    """The first choice's message, each chunk a batch of its own."""
    tags, collector = tags or ThinkTags(), Collector()
    for number, one in enumerate(chunks, 1):
        batch = [one]
        if not tags.over:
            tags.part(batch, ended=ended and number == len(chunks))
        for parted in batch:
            collector.add(parted)
    message: dict[str, Any] = collector.choices()[0]["message"]
    return message


TEXTS = [
    ("<think>a < b</think>\n\nyes <think>x</think>", "a < b", "yes <think>x</think>"),
    (" \n<think></think>yes", None, "yes"),
    ("<think>never closed</thin", "never closed</thin", ""),
    ("It says <think>x</think>", None, "It says <think>x</think>"),
    ("<thinking>x</thinking>", None, "<thinking>x</thinking>"),
    ("  <th", None, "  <th"),
    ("\n\nyes", None, "\n\nyes"),
]


@pytest.mark.parametrize(("text", "thinking", "answer"), TEXTS)
@given(places=st.lists(st.integers(0, 60), max_size=6), finishes=st.booleans())
def test_thinking_is_told_from_the_answer(
    text: str, thinking: str | None, answer: str, places: list[int], finishes: bool
) -> None:
    """Nothing of the text is lost, wherever it is cut, whether a finish reason or only the end of the stream comes."""
    cuts = sorted({0, len(text), *(place for place in places if place < len(text))})
    chunks = [chunk(text[a:b]) for a, b in pairwise(cuts)]
    chunks.append(Chunk([{"index": 0, "delta": {}, "finish_reason": "stop" if finishes else None}]))

    message = read(*chunks)

    assert (message.get("reasoning_content"), message["content"]) == (thinking, answer)


def test_each_choice_has_its_own_beginning() -> None:
    """One that begins with its answer does not stand for the other."""
    tags = ThinkTags(choices=2)
    batch = [chunk("yes"), chunk("<think>a</think>no", index=1)]

    tags.part(batch, ended=False)

    assert [one.choices[0]["delta"] for one in batch] == [
        {"content": "yes"},
        {"reasoning_content": "a", "content": "no"},
    ]
    assert tags.over


def test_a_host_that_keeps_thinking_apart_is_believed() -> None:
    """Tags in the text after its thinking are the answer's."""
    first = Chunk([{"index": 0, "delta": {"reasoning_content": "a"}, "finish_reason": None}])

    assert read(first, chunk("<think> is a tag"))["content"] == "<think> is a tag"


def test_chunks_that_came_are_not_changed() -> None:
    """The lean way keeps one as the form of those that follow."""
    came = chunk("<think>a</think>b")

    read(came)

    assert came.choices[0]["delta"] == {"content": "<think>a</think>b"}


@pytest.mark.parametrize("native", [True, False])
def test_a_reader_looks_no_longer_than_it_must(native: bool) -> None:
    """After a text that begins with anything else, later ones cost nothing more."""
    lines = {
        True: b'{"model":"m","message":{"role":"assistant","content":"yes"},"done":false}\n',
        False: b'data: {"choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":null}]}\n\n',
    }
    reader = OllamaReader(ThinkTags()) if native else OpenAIReader(ThinkTags())

    reader.feed(lines[native])

    assert reader._tags is None


@pytest.mark.parametrize(
    ("provider", "at_home", "looked"),
    [("ollama", set(), True), ("openai", {"d"}, True), ("openai", {"other"}, False)],
)
def test_clouds_are_not_looked_at(provider: str, at_home: set[str], looked: bool) -> None:
    """They keep thinking apart themselves."""
    deployment = Deployment(id="d", host="h", provider=provider, model="m", context=8192)

    tags = tags_of(Call(deployment, "http://h", None, {"n": 1}), at_home)

    assert (tags is not None) is looked
