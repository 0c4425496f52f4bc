"""What is read of a body, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from service.api.body import check_messages, nests_deeper, read_json
from service.config.model import Server
from service.errors import BodyTooLarge, InvalidRequest

LIMITS = Server(max_body_bytes=1000, max_messages=5, max_depth=8)


def request(pieces: list[bytes], headers: dict[str, str] | None = None) -> Request:
    """An HTTP request whose body arrives in ``pieces``."""
    waiting = list(pieces)

    async def receive() -> dict[str, Any]:
        body = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}, receive)


async def test_a_body_in_pieces_is_joined() -> None:
    """The pieces of a body make one JSON object."""
    assert await read_json(request([b'{"a"', b": 1}"]), LIMITS) == {"a": 1}


async def test_a_long_body_is_refused_while_it_arrives() -> None:
    """Nothing is read beyond the limit, whatever the client says of its length."""
    arrived = request([b"x" * 600, b"x" * 600, b"x" * 600])

    with pytest.raises(BodyTooLarge):
        await read_json(arrived, LIMITS)

    assert (await arrived.receive())["body"] == b"x" * 600  # the third piece was never taken


async def test_a_declared_length_is_refused_before_anything_is_read() -> None:
    """An honest content-length above the limit costs nothing."""
    with pytest.raises(BodyTooLarge):
        await read_json(request([b"{}"], {"content-length": "1001"}), LIMITS)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"nul", b'{"a": NaN}', b'{"a": "\xff"}', b"[" * 400 + b"]" * 400, b'{"a": 1} x']
)
async def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    """Anything but one JSON object in UTF-8 is a 400."""
    with pytest.raises(InvalidRequest):
        await read_json(request([data]), LIMITS)


async def test_a_compressed_body_is_refused() -> None:
    """A bomb is never inflated."""
    with pytest.raises(InvalidRequest, match="uncompressed"):
        await read_json(request([b"{}"], {"content-encoding": "gzip"}), LIMITS)


@settings(deadline=None)
@given(st.integers(0, 20))
def test_depth_is_measured_exactly(depth: int) -> None:
    """A value that nests ``depth`` deep passes a limit of the same size and no smaller one."""
    value: Any = {"messages": "[[[[{{{{"}
    for _ in range(depth):
        value = [value]

    assert not nests_deeper(value, depth + 1)
    assert nests_deeper(value, depth)


@pytest.mark.parametrize(
    "messages",
    [
        None, [], "hi", [1], [{}], [{"role": "robot", "content": "x"}], [{"role": "user"}],
        [{"role": "user", "content": None}], [{"role": "user", "content": 5}], [{"role": "user", "content": ["x"]}],
        [{"role": "user", "content": [{"type": "text"}]}], [{"role": "assistant", "content": "x"}] * 6,
        [{"role": "assistant", "content": [], "tool_calls": {}}],
    ],
)  # fmt: skip
def test_malformed_messages_name_the_field(messages: Any) -> None:
    """Messages that routing cannot read are a 400 with ``messages`` as param."""
    with pytest.raises(InvalidRequest) as caught:
        check_messages({"messages": messages}, LIMITS)

    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"max_tokens": "9"},
        {"max_completion_tokens": True},
        {"tools": {}},
        {"response_format": "json"},
    ],
)
def test_malformed_fields_name_themselves(fields: dict[str, Any]) -> None:
    """A field that routing reads is a 400 with its own name where its type is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        check_messages({"messages": [{"role": "user", "content": "x"}], **fields}, LIMITS)

    assert caught.value.param == next(iter(fields))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {"messages": json_values | st.lists(st.fixed_dictionaries({"role": json_values, "content": json_values}))}
    )
)
def test_any_json_is_accepted_or_refused_in_our_words(body: dict[str, Any]) -> None:
    """No body, however odd, raises anything but our own error."""
    try:
        check_messages(orjson.loads(orjson.dumps(body)), LIMITS)
    except InvalidRequest as error:
        assert error.message  # noqa: PT017  # the other branch is as good
