"""Text chunks are read and written between bytes that stay: whatever the text, nobody can tell the difference."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.wire import Envelope, EventWriter, event
from service.upstream.collect import Collector, Tally
from service.upstream.interface import Chunk, UpstreamFailure
from service.upstream.lean_lines import LineReader
from service.upstream.lean_ollama_stream import OllamaReader
from service.upstream.lean_openai import OpenAIReader
from service.upstream.text_chunk import TextChunk

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['","content":"', '"},"finish_reason":null}', "\\", '\\"content\\":', "\x00text\x00", "data: [DONE]"]
)


def openai_line(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One event."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "x", "model": "m", "choices": [choice], **more}) + b"\n\n"


def ollama_line(content: str, number: int, **more: Any) -> bytes:
    """One line as Go writes it."""
    message = {"role": "assistant", "content": content}
    return orjson.dumps({"model": "m", "created_at": f"2026-01-01T00:00:0{number % 10}Z", "message": message, **more})


def long_way(reader: LineReader, body: bytes) -> list[Chunk]:
    """The chunks of a body, line by line."""
    chunks: list[Chunk] = []
    for line in body.split(b"\n"):
        reader._line(line, chunks)
    return chunks


def apart(chunks: list[Chunk]) -> list[Chunk]:
    """The chunks as one by one: those that came at once, told apart."""
    found: list[Chunk] = []
    for chunk in chunks:
        if type(chunk) is TextChunk and chunk.parts is not None:
            found += [TextChunk(orjson.loads(part), chunk.form) for part in chunk.parts]
        else:
            found.append(chunk)
    return found


def seen(chunks: list[Chunk]) -> tuple[Any, ...]:
    """All that anybody sees of chunks."""
    collector, tally = Collector(), Tally()
    writer = EventWriter(Envelope("chatcmpl-1", 7, "deployment", True))
    written = writer.events(chunks)
    for chunk in chunks:
        tally.add(chunk)
        collector.add(chunk)
    return written, tally, collector.choices(), apart(chunks)


@given(st.lists(TEXT, max_size=8), st.booleans(), st.sampled_from([None, "fp_1"]))
def test_openai_text_is_read_as_the_long_way_reads_it(
    texts: list[str], has_role: bool, fingerprint: str | None
) -> None:
    """Bytes to the client, tally, whole answer and choices are equal, with a role in each delta too."""
    role = {"role": "assistant"} if has_role else {}
    body = openai_line({"role": "assistant", "content": ""})
    body += b"".join(openai_line({**role, "content": text}, system_fingerprint=fingerprint) for text in texts)
    body += openai_line({}, "stop") + b"data: [DONE]\n\n"

    fast, slow = OpenAIReader().feed(body), long_way(OpenAIReader(), body)

    assert seen(fast) == seen(slow)


@given(st.lists(TEXT, max_size=8))
def test_ollama_text_is_read_as_the_long_way_reads_it(texts: list[str]) -> None:
    """The same for lines of JSON, whose time changes."""
    lines = [ollama_line(text, number, done=False) for number, text in enumerate(["x", *texts])]
    body = b"\n".join([*lines, ollama_line("", 1, done=True, done_reason="stop")]) + b"\n"

    fast, slow = OllamaReader().feed(body), long_way(OllamaReader(), body)

    assert seen(fast) == seen(slow)


def test_text_chunks_are_recognised() -> None:
    """Else the two tests above would compare the long way with itself."""
    events = b"".join(openai_line({"content": text}) for text in ("a", "b", "c", "d"))
    lines = b"".join(ollama_line(text, 1, done=False) + b"\n" for text in ("a", "b", "c", "d"))

    found = [[c.parts if type(c) is TextChunk else None for c in reader.feed(data)] for reader, data in
             ((OpenAIReader(), events), (OllamaReader(), lines))]  # fmt: skip

    assert found == [[None, None, [b'"c"', b'"d"']], [None, [b'"b"', b'"c"', b'"d"']]]


def test_the_event_with_the_role_shows_what_stands_around_the_text() -> None:
    """It differs from those with text in its delta alone; from one with more in it nothing is concluded."""
    texts = b"".join(openai_line({"content": text}) for text in "abc")
    whole = [b'"a"', b'"b"', b'"c"']
    cases = [
        ({"role": "assistant", "content": "", "refusal": None}, [None, whole]),
        ({"role": "assistant", "content": "}"}, [None, None, whole[1:]]),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, [None, None, whole[1:]]),
        ({"role": "assistant", "content": '"delta":'}, [None, whole]),
    ]
    for delta, expected in cases:
        body = openai_line(delta) + texts
        chunks = OpenAIReader().feed(body)

        assert [c.parts if type(c) is TextChunk else None for c in chunks] == expected
        assert apart(chunks) == long_way(OpenAIReader(), body)


def test_a_run_of_text_ends_where_something_else_comes() -> None:
    """A comment, an event that is not whole yet, another kind of event: each is read for itself, nothing is lost."""
    text = [openai_line({"content": text}) for text in "abcdefg"]
    body = b"".join(text[:3]) + b": PROCESSING\n\n" + b"".join(text[3:5]) + openai_line({"reasoning_content": "x"})
    body += b"".join(text[5:]) + openai_line({}, "stop")

    for cut in range(0, len(body), 7):
        reader = OpenAIReader()
        chunks = reader.feed(body[:cut]) + reader.feed(body[cut:])

        assert apart(chunks) == long_way(OpenAIReader(), body)


def test_a_long_answer_at_once_is_read_whole() -> None:
    """More than is looked at together, for both protocols."""
    texts = [f"word {number} \"'\n" for number in range(3000)]
    lines = b"".join(ollama_line(text, 1, done=False) + b"\n" for text in texts)
    events = b"".join(openai_line({"content": text}) for text in texts)

    for reader, body in ((OllamaReader(), lines), (OpenAIReader(), events)):
        collector = Collector()
        for chunk in reader.feed(body):
            collector.add(chunk)

        assert collector.choices()[0]["message"]["content"] == "".join(texts)


def test_choices_that_were_looked_at_are_what_counts() -> None:
    """Somebody who looks may change them: from then on the text is not taken from elsewhere."""
    chunk = OpenAIReader().feed(b"".join(openai_line({"content": text}) for text in ("a", "b", "c")))[-1]

    chunk.choices[0]["delta"]["content"] = "changed"

    assert b"changed" in EventWriter(Envelope("i", 1, "m", False)).events([chunk])
    assert chunk == Chunk([{**chunk.choices[0]}])


@pytest.mark.parametrize("value", ["7", "null", "true", '{"a":1}', '"a","role":"x"', '"a'])
def test_what_is_no_text_between_the_same_bytes_goes_the_long_way(value: str) -> None:
    """The bytes around tell nothing about what stands between them."""
    events = [openai_line({"content": text}) for text in ("aa", "bb", "cc", "SLOT")]
    body = b"".join(events).replace(b'"SLOT"', value.encode())

    reader = OpenAIReader()
    fast = reader.feed(body)

    with_failure = reader.failure is not None or reader._pending
    try:
        slow = long_way(OpenAIReader(), body)
    except UpstreamFailure:
        slow = fast
        assert with_failure
    assert seen(fast) == seen(slow)


def test_events_of_the_writer_are_those_of_one_by_one() -> None:
    """Also where a fingerprint and the null usage stand around the choices."""
    chunks = OpenAIReader().feed(b"".join(openai_line({"content": t}, system_fingerprint="f") for t in "abc"))
    envelope = Envelope("chatcmpl-1", 7, 'a "choices":[] b', True)

    written = EventWriter(envelope).events(chunks)

    assert written == b"".join(event(chunk, envelope) for chunk in apart(chunks))


def test_a_run_of_lines_ends_where_something_else_comes() -> None:
    """Ollama's, too: another model's name, a time that is none, a field more, a line that is not whole yet."""
    lines = [ollama_line(text, number, done=False) + b"\n" for number, text in enumerate("abcdefgh")]
    lines[3] = lines[3].replace(b'"model":"m"', b'"model":"n"')
    lines[5] = lines[5].replace(b'Z","message"', b'","x":"Z","message"')
    lines[6] = lines[6].replace(b'"content"', b'"thinking":"t","content"')
    body = b"".join(lines) + ollama_line("", 1, done=True, done_reason="stop") + b"\n"

    for cut in range(0, len(body), 7):
        reader = OllamaReader()
        chunks = reader.feed(body[:cut]) + reader.feed(body[cut:])

        assert apart(chunks) == long_way(OllamaReader(), body)
