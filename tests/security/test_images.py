"""Nobody in the house follows an address that stands in a prompt."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import House

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


class Bait(http.server.ThreadingHTTPServer):
    """A server that must never be asked.

    Attributes:
        asked: Paths that were.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Asked)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Asked(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Bait)
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def bait() -> Iterator[Bait]:
    """A server whose address goes into prompts."""
    with Bait() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asking(url: object, model: str) -> dict[str, Any]:
    """A question about an image."""
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]
    return {"model": model, "messages": [{"role": "user", "content": parts}]}


def bodies(house: House, name: str) -> list[Any]:
    """What a host was asked."""
    return [r.body for r in house.hosts[name].log().requests if r.path.endswith(("/api/chat", "/chat/completions"))]


@pytest.mark.parametrize("model", ["auto", "lightweight", "coding"])
def test_an_image_by_its_address_goes_past_every_host_in_the_house(house: House, bait: Bait, model: str) -> None:
    """Only a cloud gets it, which fetches from outside; the record names what removed the hosts in the house."""
    answer = house.post("/v1/chat/completions", asking({"url": f"{bait.url}/secret.png"}, model))

    assert bodies(house, "mini") == []
    assert bodies(house, "macbook") == []
    assert bait.asked == []
    if answer.status_code != 200:
        assert answer.json()["error"]["param"] == "messages"


def test_an_image_in_the_request_reaches_a_host_in_the_house(house: House) -> None:
    """A data: URL needs no fetching."""
    answer = house.post("/v1/chat/completions", asking({"url": PIXEL}, "lightweight"))

    assert answer.status_code == 200, answer.text
    assert bodies(house, "mini")[0]["messages"][0]["images"]


@pytest.mark.parametrize(
    "url",
    [
        {"url": "file:///etc/passwd"}, "/etc/passwd", {"url": "ftp://127.0.0.1/x"}, {"url": "gopher://127.0.0.1/x"},
        {"url": " http://127.0.0.1/x"}, {"url": None}, {}, None, {"url": ["http://127.0.0.1/x"]}, 7,
    ],
)  # fmt: skip
def test_an_image_from_anywhere_else_is_refused(house: House, url: object) -> None:
    """Files, paths and other schemes are a 400 that names the message."""
    answer = house.post("/v1/chat/completions", asking(url, "auto"))

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages")


def test_a_private_image_by_its_address_is_refused_with_the_reason(house: House, bait: Bait) -> None:
    """It may not leave the house and nobody in the house may fetch it: nothing is left."""
    answer = house.post(
        "/v1/chat/completions", asking({"url": bait.url}, "auto"), headers={"x-autotier-privacy": "local"}
    )

    assert answer.status_code == 400
    assert "private" in answer.text or "privacy" in answer.text
    assert bait.asked == []
