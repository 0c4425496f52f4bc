"""What a client can send to reach beyond its request, and what becomes of it."""

from __future__ import annotations

import gzip
import socket
import time
from typing import Any

import pytest

from tests.house import House

ASK = [{"role": "user", "content": "What is a mutex?"}]
STEERING: dict[str, Any] = {
    "api_base": "http://127.0.0.1:9",
    "base_url": "http://127.0.0.1:9",
    "api_key": "sk-x",
    "api_version": "1",
    "mock_response": "a lie",
    "mock_timeout": True,
    "fallbacks": ["reasoning"],
    "context_window_fallback_dict": {"a": "b"},
    "extra_body": {"options": {"num_ctx": 1}},
    "extra_headers": {"x": "y"},
    "headers": {"x": "y"},
    "options": {"num_ctx": 1},
    "num_ctx": 1,
    "custom_llm_provider": "openai",
    "model_list": [],
    "num_retries": 99,
    "timeout": 1,
    "caching": True,
    "litellm_metadata": {},
    "proxy_server_request": {},
    "deployment_id": "x",
    "drop_params": True,
    "truncate": True,
    "__proto__": {"admin": True},
}


def sent(house: House) -> list[dict[str, Any]]:
    """Bodies of all questions that reached any host."""
    return [
        entry.body
        for host in house.hosts.values()
        for entry in host.log().requests
        if entry.path in ("/api/chat", "/v1/chat/completions") and isinstance(entry.body, dict)
    ]


@pytest.mark.parametrize("name", sorted(STEERING))
def test_a_field_that_steers_is_refused_by_name(house: House, name: str) -> None:
    """A 400 with the field as param, and nothing is sent anywhere."""
    answer = house.post("/v1/chat/completions", {"model": "auto", "messages": ASK, name: STEERING[name]})

    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, name, "unsupported_field")
    assert sent(house) == []


@pytest.mark.parametrize(
    "model", ["ollama/qwen3:8b", "openai/gpt-4.1", "lightweight-mini", "../../etc/passwd", "auto\r\nx: y", "AUTO", "*"]
)
def test_no_model_string_reaches_a_host_by_itself(house: House, model: str) -> None:
    """A litellm model string, a deployment's id or a path is an unknown model."""
    answer = house.post("/v1/chat/completions", {"model": model, "messages": ASK})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert sent(house) == []


def test_steering_words_inside_other_fields_are_only_data(house: House) -> None:
    """In metadata, in a tool's schema or beside a message's text they change no host and no answer."""
    steering = {"api_base": "http://127.0.0.1:9", "mock_response": "a lie", "fallbacks": "x", "num_ctx": "1"}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", **steering}, **steering}}
    body = {
        "model": "lightweight",
        "messages": [{**ASK[0], **steering}],
        "metadata": {**steering, "x-autotier-tier": "lightweight"},
        "tools": [{**tool, **steering}],
    }

    answer = house.post("/v1/chat/completions", body)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-autotier-deployment"] == "lightweight-mini"
    assert "a lie" not in answer.json()["choices"][0]["message"]["content"]
    (arrived,) = sent(house)
    assert arrived["options"]["num_ctx"] == 8192
    assert not {"api_base", "mock_response", "fallbacks", "metadata"} & arrived.keys()


@pytest.mark.parametrize(
    "tool", [{"type": "mcp", "server_url": "http://127.0.0.1:9"}, {"type": "web_search"}, {"function": {}}, "f", None]
)
def test_tools_that_somebody_else_would_carry_out_are_refused(house: House, tool: Any) -> None:
    """Only OpenAI's two kinds of chat tools, which the client itself carries out."""
    answer = house.post("/v1/chat/completions", {"model": "auto", "messages": ASK, "tools": [tool]})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"model":"auto","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", id="deep"),
        pytest.param(b'{"model":"auto","messages":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}", id="deep objects"),
        pytest.param(b'{"model":"auto","messages":[{"role":"user","content":"\xff\xfe"}]}', id="no UTF-8"),
        pytest.param(b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}', id="lone surrogate"),
        pytest.param(b'{"model":"auto","messages":[],"seed":1e999}', id="infinity"),
        pytest.param(b'{"model":"auto","messages":[],"seed":NaN}', id="not a number"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(gzip.compress(b"{}"), id="compressed without a word"),
    ],
)
def test_what_cannot_be_read_is_a_400(house: House, content: bytes) -> None:
    """Whatever the bytes are, the answer is an error of OpenAI's form and the service goes on."""
    answer = house.post("/v1/chat/completions", content=content)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert house.get("/healthz").status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP"])
def test_a_compression_bomb_is_never_inflated(house: House, encoding: str) -> None:
    """A compressed body is refused by its header."""
    bomb = gzip.compress(b"0" * 50_000_000)

    answer = house.post("/v1/chat/completions", content=bomb, headers={"content-encoding": encoding})

    assert answer.status_code == 400
    assert "uncompressed" in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", ["1" + "0" * 4000, "1e308", "-1", "0", "18446744073709551616", "1.5", "true", '"5"'])
def test_a_giant_or_odd_number_is_a_400(house: House, number: str) -> None:
    """A limit of tokens that no deployment has, or that is none, is the client's error."""
    content = f'{{"model":"lightweight","messages":[{{"role":"user","content":"hi"}}],"max_tokens":{number}}}'

    answer = house.post("/v1/chat/completions", content=content.encode())

    assert answer.status_code == 400
    assert sent(house) == []


def test_of_a_field_that_is_there_twice_the_last_is_checked_and_sent(house: House) -> None:
    """What is sent upstream is what was checked, never the bytes: the two readings of JSON cannot differ."""
    content = (
        b'{"model":"reasoning","model":"lightweight","temperature":2,"temperature":0.5,'
        b'"messages":[{"role":"user","content":"first"}],"messages":[{"role":"user","content":"second"}]}'
    )

    answer = house.post("/v1/chat/completions", content=content)

    (arrived,) = sent(house)
    assert answer.headers["x-autotier-tier"] == "lightweight"
    assert arrived["options"]["temperature"] == 0.5
    assert [m["content"] for m in arrived["messages"]] == ["second"]


def raw(house: House, head: bytes, body: bytes = b"", limit_s: float = 10.0) -> bytes:
    """What the service answers to bytes that no HTTP client would send."""
    port = int(house.base.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), limit_s) as connection:
        connection.sendall(head + b"\r\n" + body)
        answer = b""
        try:
            while b"\r\n\r\n" not in answer and (piece := connection.recv(65_536)):
                answer += piece
        except ConnectionError:
            pass  # refused in the middle of what was sent
    return answer


BODY = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'


def head(*lines: bytes, length: int = len(BODY)) -> bytes:
    """The head of a chat request with more header lines."""
    first = (b"POST /v1/chat/completions HTTP/1.1", b"Host: x", b"Content-Length: %d" % length)
    return b"".join(line + b"\r\n" for line in (*first, *lines))


@pytest.mark.parametrize(
    "value",
    [b"abc\r\nx-injected: yes", b"abc\nx-injected: yes", b"a\x00b", b"\xc3\xa4\xff", b"a" * 5000, b"%0d%0ax: y"],
)
def test_no_header_of_a_client_comes_back_as_another(house: House, value: bytes) -> None:
    """A conversation's id cannot write a header of the answer."""
    answer = raw(house, head(b"x-autotier-conversation: " + value), BODY)

    names = [line.partition(b":")[0].lower() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")]
    assert answer.startswith(b"HTTP/1.1 ")
    assert b"x-injected" not in names
    assert b"x" not in names


def test_very_many_headers_do_not_stop_the_service(house: House) -> None:
    """20,000 headers are answered one way or the other, and the next client is served."""
    answer = raw(house, head(*(b"x-h%d: %d" % (n, n) for n in range(20_000))), BODY, 30.0)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert house.ask("What is a mutex?").status_code == 200


def test_headers_without_an_end_are_cut_off(house: House) -> None:
    """After 256 KB of one header the connection is closed with a 431: they would fill the memory."""
    port = int(house.base.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        sent_bytes = connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nx-long: ")
        try:
            while sent_bytes < 50_000_000:
                sent_bytes += connection.send(b"a" * 65_536)
        except ConnectionError:
            pass  # cut off

    assert sent_bytes < 20_000_000  # more than the limit: the kernel's buffers take some
    assert house.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "dec_%00",
        "dec_" + "a" * 5000,
        "%27%20OR%201%3D1",
        "%ff",
        "dec_%0a",
    ],
)
def test_an_id_is_an_id(house: House, path: str) -> None:
    """A path, a quote or a null byte in the place of an id is a 404, on every route that takes one."""
    for route in ("/v1/decisions/", "/v1/models/"):
        answer = raw(house, b"GET %s%s HTTP/1.1\r\nHost: x\r\n" % (route.encode(), path.encode()))

        assert answer.split(b" ", 2)[1] in (b"404", b"400")


def test_a_body_that_says_two_lengths_is_refused(house: House) -> None:
    """Content-Length beside Transfer-Encoding is how requests are smuggled past a proxy."""
    answer = raw(house, head(b"Transfer-Encoding: chunked"), b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400")


def test_a_client_that_sends_its_body_slowly_holds_nobody_up(house: House) -> None:
    """A hundred half bodies stay open, and a whole one is answered at once."""
    port = int(house.base.rpartition(":")[2])
    slow = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(100)]
    for connection in slow:
        connection.sendall(head(length=1000) + b"\r\n" + b'{"model":')
    time.sleep(0.2)

    answer = house.ask("What is a mutex?")

    for connection in slow:
        connection.close()
    assert answer.status_code == 200
