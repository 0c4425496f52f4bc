"""Each fault as a client meets it, over both protocols, stream and not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from service.demo.hosts import SimulatedHost

KEY = {"Authorization": "Bearer sk-simulated-1234"}
QUICK = httpx.Timeout(0.4)
TICK_S = 0.01
"""What a timer of the event loop may be early by the wall clock, which is adjusted while it runs."""
HELLO = [{"role": "user", "content": "Hello there"}]


@dataclass(frozen=True, slots=True)
class Wire:
    """One protocol of one host: where a chat goes, its body, and how its frames look."""

    host: SimulatedHost
    path: str
    model: str

    @property
    def is_native(self) -> bool:
        """Whether this is Ollama's own form."""
        return self.path == "/api/chat"

    def body(self, *, stream: bool, **fields: Any) -> dict[str, Any]:
        """Give the body of a chat."""
        think: dict[str, Any] = {"think": False} if self.is_native else {}
        return {"model": self.model, "messages": HELLO, "stream": stream, **think, **fields}

    def frames(self, raw: str) -> list[Any]:
        """Give the frames of a stream: parsed, ``DONE``, or the text of one that cannot be parsed."""
        parsed: list[Any] = []
        for line in filter(None, raw.split("\n")):
            text = line.removeprefix("data: ")
            try:
                parsed.append("DONE" if text == "[DONE]" else json.loads(text))
            except json.JSONDecodeError:
                parsed.append(text)
        return parsed

    def text(self, frame: Any) -> str:
        """Give the text in a frame, empty where there is none."""
        if not isinstance(frame, dict):
            return ""
        if self.is_native:
            return str(frame.get("message", {}).get("content", ""))
        return "".join(choice["delta"].get("content") or "" for choice in frame.get("choices", []))

    def ends(self, frames: list[Any]) -> bool:
        """Say whether a stream came to its proper end."""
        return bool(frames) and (frames[-1].get("done") is True if self.is_native else frames[-1] == "DONE")


@pytest.fixture(params=["native", "imitation", "cloud"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """Ollama's native API, its imitation of OpenAI's, and a cloud."""
    if request.param == "cloud":
        return Wire(request.getfixturevalue("cloud"), "/v1/chat/completions", "gpt-4.1")
    path = "/api/chat" if request.param == "native" else "/v1/chat/completions"
    return Wire(
        request.getfixturevalue("ollama"), path, "qwen3-coder:30b" if request.param == "imitation" else "qwen3:8b"
    )


async def post(http: httpx.AsyncClient, wire: Wire, *, stream: bool, **fields: Any) -> httpx.Response:
    """Send a chat and read the whole answer."""
    return await http.post(wire.host.address + wire.path, json=wire.body(stream=stream, **fields), headers=KEY)


async def read_until_broken(http: httpx.AsyncClient, wire: Wire) -> tuple[str, Exception | None]:
    """Stream a chat; give what came and what ended it, None for a clean end."""
    got = ""
    try:
        async with http.stream(
            "POST", wire.host.address + wire.path, json=wire.body(stream=True), headers=KEY, timeout=QUICK
        ) as answer:
            async for text in answer.aiter_text():
                got += text
    except httpx.HTTPError as error:
        return got, error
    return got, None


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "status"), [("400", 400), ("401", 401), ("404", 404), ("500", 500), ("503", 503)])
async def test_a_status_comes_in_the_words_of_the_protocol(
    wire: Wire, http: httpx.AsyncClient, fault: str, status: int, stream: bool
) -> None:
    """An error object with a message at OpenAI, a string at Ollama."""
    wire.host.set_fault(fault)

    got = await post(http, wire, stream=stream)

    error = got.json()["error"]
    assert got.status_code == status
    assert isinstance(error, str) if wire.is_native else error["message"]
    assert wire.host.log().requests[-1].fault == fault


async def test_429_says_when_to_come_back(wire: Wire, http: httpx.AsyncClient) -> None:
    """Retry-After in seconds, as set."""
    wire.host.set_fault("429:retry_after=7")

    got = await post(http, wire, stream=True)

    assert (got.status_code, got.headers["retry-after"]) == (429, "7")


async def test_a_count_ends_the_fault(wire: Wire, http: httpx.AsyncClient) -> None:
    """The request after the counted ones is answered."""
    wire.host.set_fault("500:count=2")

    statuses = [(await post(http, wire, stream=False)).status_code for _ in range(3)]

    assert statuses == [500, 500, 200]


async def test_a_context_refusal(wire: Wire, http: httpx.AsyncClient) -> None:
    """400 in the protocol's words for too long, above the limit that the fault sets."""
    wire.host.set_fault("context:tokens=100")

    short = await post(http, wire, stream=True)
    long = await post(http, wire, stream=True, messages=[{"role": "user", "content": "word " * 400}])

    error = long.json()["error"]
    assert (short.status_code, long.status_code) == (200, 400)
    assert "context length" in error if wire.is_native else error["code"] == "context_length_exceeded"


async def test_a_silent_truncation(wire: Wire, http: httpx.AsyncClient) -> None:
    """200, and a prompt count that gives it away; truncate false does not help."""
    wire.host.set_fault("truncate:tokens=64")
    long = [{"role": "user", "content": "word " * 400}]

    got = (
        await post(http, wire, stream=False, messages=long, **({"truncate": False} if wire.is_native else {}))
    ).json()

    assert (got["prompt_eval_count"] if wire.is_native else got["usage"]["prompt_tokens"]) == 64


@pytest.mark.parametrize("stream", [True, False])
async def test_a_wrong_model(wire: Wire, http: httpx.AsyncClient, stream: bool) -> None:
    """The answer names another model than was asked for."""
    wire.host.set_fault("wrong-model:model=tiny:1b")

    got = await post(http, wire, stream=stream)

    first = wire.frames(got.text)[0] if stream else got.json()
    assert first["model"] == "tiny:1b"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_empty_200(wire: Wire, http: httpx.AsyncClient, stream: bool) -> None:
    """No byte of a body."""
    wire.host.set_fault("empty-200")

    got = await post(http, wire, stream=stream)

    assert (got.status_code, got.content) == (200, b"")


async def test_a_captive_portal_answers_every_path(wire: Wire, http: httpx.AsyncClient) -> None:
    """200 with a page, for the chat and for the listings."""
    wire.host.set_fault("garbage")
    listing = "/v1/models" if wire.host.spec.kind == "openai" else "/api/ps"

    chat = await post(http, wire, stream=True)
    listed = await http.get(wire.host.address + listing, headers=KEY)

    for got in (chat, listed):
        assert (got.status_code, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert got.text.startswith("<!DOCTYPE html>")


async def test_a_cut_is_a_clean_end_without_the_last_frame(wire: Wire, http: httpx.AsyncClient) -> None:
    """Two tokens, then the end of the body."""
    wire.host.set_fault("cut:after=2")

    got, error = await read_until_broken(http, wire)

    frames = wire.frames(got)
    assert error is None
    assert sum(1 for frame in frames if wire.text(frame)) == 2
    assert not wire.ends(frames)


async def test_a_reset_mid_stream(wire: Wire, http: httpx.AsyncClient) -> None:
    """Two tokens, then the connection is reset."""
    wire.host.set_fault("reset-mid-stream:after=2")

    got, error = await read_until_broken(http, wire)

    assert sum(1 for frame in wire.frames(got) if wire.text(frame)) == 2
    assert isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
    assert wire.host.log().requests[-1].disconnected is False


async def test_a_hang_mid_stream(wire: Wire, http: httpx.AsyncClient) -> None:
    """Two tokens, then silence; the log sees the client leave."""
    wire.host.set_fault("hang-mid-stream:after=2")

    got, error = await read_until_broken(http, wire)

    await asyncio.sleep(0.05)
    assert sum(1 for frame in wire.frames(got) if wire.text(frame)) == 2
    assert isinstance(error, httpx.ReadTimeout)
    assert wire.host.log().requests[-1].disconnected is True


async def test_a_fault_mid_stream_after_no_token(wire: Wire, http: httpx.AsyncClient) -> None:
    """after=0 breaks the stream before the first token."""
    wire.host.set_fault("in-band-error:after=0")

    got, error = await read_until_broken(http, wire)

    assert error is None
    assert not any(wire.text(frame) for frame in wire.frames(got))


async def test_a_fault_later_than_the_answer_comes_at_its_end(wire: Wire, http: httpx.AsyncClient) -> None:
    """after=999 still takes the last frame away."""
    wire.host.set_fault("cut:after=999")

    got, _ = await read_until_broken(http, wire)

    assert not wire.ends(wire.frames(got))


async def test_an_error_in_band(wire: Wire, http: httpx.AsyncClient) -> None:
    """The last frame is an error, and there is no proper end."""
    wire.host.set_fault("in-band-error:after=2")

    got, error = await read_until_broken(http, wire)

    last = wire.frames(got)[-1]
    assert error is None
    assert list(last) == ["error"]


async def test_a_broken_line_in_an_otherwise_good_stream(wire: Wire, http: httpx.AsyncClient) -> None:
    """One frame cannot be parsed, the stream goes on to its end."""
    wire.host.set_fault("broken-line:after=2")

    got, error = await read_until_broken(http, wire)

    frames = wire.frames(got)
    assert error is None
    assert [isinstance(frame, str) and frame != "DONE" for frame in frames].count(True) == 1
    assert wire.ends(frames)


@pytest.mark.parametrize("fault", ["cut", "broken-line"])
async def test_a_body_without_a_stream_is_broken_json(wire: Wire, http: httpx.AsyncClient, fault: str) -> None:
    """A 200 that does not parse."""
    wire.host.set_fault(fault)

    got = await post(http, wire, stream=False)

    assert got.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        got.json()


async def test_an_error_in_band_without_a_stream(wire: Wire, http: httpx.AsyncClient) -> None:
    """Ollama has a status for it, OpenAI-like servers put it into a 200."""
    wire.host.set_fault("in-band-error")

    got = await post(http, wire, stream=False)

    assert (got.status_code, list(got.json())) == (500 if wire.is_native else 200, ["error"])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("reset-mid-stream", (httpx.ReadError, httpx.RemoteProtocolError)), ("hang-mid-stream", httpx.ReadTimeout)],
)
async def test_a_body_without_a_stream_is_left_half_sent(
    wire: Wire, http: httpx.AsyncClient, fault: str, expected: Any
) -> None:
    """The headers promise more than comes."""
    wire.host.set_fault(fault)
    http.timeout = QUICK

    with pytest.raises(expected):
        await post(http, wire, stream=False)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_hang_answers_nothing(wire: Wire, http: httpx.AsyncClient, stream: bool) -> None:
    """Connected, sent, no byte back."""
    wire.host.set_fault("hang")
    http.timeout = QUICK

    with pytest.raises(httpx.ReadTimeout):
        await post(http, wire, stream=stream)

    entry = wire.host.log().requests[-1]
    assert (entry.fault, entry.first_byte_at, entry.status) == ("hang", None, None)


async def test_the_scope_of_a_hang(wire: Wire, http: httpx.AsyncClient) -> None:
    """The whole host by default, only the answers where asked for."""
    listing = wire.host.address + ("/v1/models" if wire.host.spec.kind == "openai" else "/api/ps")

    wire.host.set_fault("hang")
    with pytest.raises(httpx.ReadTimeout):
        await http.get(listing, headers=KEY, timeout=QUICK)
    wire.host.set_fault("hang:scope=answers")

    assert (await http.get(listing, headers=KEY)).status_code == 200


async def test_what_hangs_is_dropped_when_the_fault_changes(wire: Wire, http: httpx.AsyncClient) -> None:
    """A test does not have to wait for its own hang."""
    wire.host.set_fault("hang")
    hanging = asyncio.create_task(post(http, wire, stream=True))
    while not wire.host.log().requests:
        await asyncio.sleep(0.01)

    wire.host.set_fault("none")

    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await hanging
    assert (await post(http, wire, stream=False)).status_code == 200


async def test_headers_then_silence(wire: Wire, http: httpx.AsyncClient) -> None:
    """A 200 that never gets a body."""
    wire.host.set_fault("headers-then-hang")

    async with http.stream(
        "POST", wire.host.address + wire.path, json=wire.body(stream=True), headers=KEY, timeout=QUICK
    ) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            await answer.aread()


async def test_a_slow_first_token(wire: Wire, http: httpx.AsyncClient) -> None:
    """The answer begins as late as set, and is complete."""
    wire.host.set_fault("slow-first-token:s=0.2")

    got = await post(http, wire, stream=True)

    entry = wire.host.log().requests[-1]
    assert entry.first_byte_at is not None
    assert entry.first_byte_at - entry.received_at >= 0.2 - TICK_S
    assert wire.ends(wire.frames(got.text))


async def test_a_cold_model_loads_for_as_long_as_set(wire: Wire, http: httpx.AsyncClient) -> None:
    """The first answer waits for the load, the second does not."""
    wire.host.set_fault("cold:s=0.2")

    await post(http, wire, stream=True)
    await post(http, wire, stream=True)

    first, second = wire.host.log().requests
    assert first.load_s >= 0.2 - TICK_S > second.load_s


async def test_down_refuses_and_comes_back_on_the_same_port(wire: Wire, http: httpx.AsyncClient) -> None:
    """Nothing listens, and open connections are broken; afterwards all is as before."""
    assert (await post(http, wire, stream=False)).status_code == 200

    wire.host.set_fault("down")
    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
        await post(http, wire, stream=False)
    with pytest.raises(httpx.ConnectError):
        await post(http, wire, stream=False)
    wire.host.set_fault("none")

    assert (await post(http, wire, stream=False)).status_code == 200


async def test_down_breaks_a_running_stream(wire: Wire, http: httpx.AsyncClient) -> None:
    """A host that is switched off in the middle of an answer."""
    wire.host.set_fault("hang-mid-stream")
    reading = asyncio.create_task(read_until_broken(http, wire))
    await asyncio.sleep(0.1)

    wire.host.set_fault("down")

    _, error = await reading
    assert isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)


@pytest.mark.skipif(sys.platform != "linux", reason="a full accept queue swallows connections on Linux only")
async def test_a_black_hole_never_answers_a_connection(wire: Wire, http: httpx.AsyncClient) -> None:
    """connect() neither succeeds nor fails; afterwards the host is back."""
    wire.host.set_fault("black-hole")

    with pytest.raises(httpx.ConnectTimeout):
        await http.post(wire.host.address + wire.path, json={}, timeout=QUICK)
    wire.host.set_fault("none")

    assert (await post(http, wire, stream=False)).status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="a full accept queue swallows connections on Linux only")
async def test_a_black_hole_silences_open_connections(ollama: SimulatedHost) -> None:
    """A kept connection takes the bytes and gives nothing back, as with a machine that fell asleep."""
    request = b"GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.closing(socket.create_connection(("127.0.0.1", ollama.port), timeout=1)) as kept:
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")

        ollama.set_fault("black-hole")
        kept.sendall(request)

        kept.settimeout(0.3)
        with pytest.raises(TimeoutError):
            kept.recv(4096)


async def test_flapping_alternates(ollama: SimulatedHost) -> None:
    """Up first, then down and up again by the period."""
    ollama.set_fault("flapping:period=0.1")
    seen: list[bool] = []
    ends = time.monotonic() + 5

    while seen != [True, False, True] and time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", ollama.port), timeout=1).close()
            up = True
        except ConnectionRefusedError:
            up = False
        if not seen or seen[-1] != up:
            seen.append(up)
        await asyncio.sleep(0.01)

    assert seen == [True, False, True]
