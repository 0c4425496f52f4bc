"""Limits of callers, the queue, keys without a restart, and clients that take their time."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from tests.house import FAST, House

MUTEX = "What is a mutex?"
CALLERS: dict[str, dict[str, Any]] = {
    "root": {"admin": True},
    "few": {"limits": {"requests_per_minute": 2}},
    "one": {"limits": {"parallel": 1}},
    "words": {"limits": {"tokens_per_minute": 1200}},
    "poor": {"limits": {"usd_per_day": 0.01505}},  # one estimate fits: 1,000 tokens at 15 $ a million
    "pair": {"limits": {"usd_per_day": 0.02}},
    "free": {"limits": {"requests_per_minute": None}},
}


def sha256(key: str) -> str:
    """The stored form."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def bearer(name: str) -> dict[str, str]:
    """The header of a caller of the fixture; nothing comes from the cache."""
    return {"authorization": f"Bearer {name}-key", "x-autotier-cache": "bypass"}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A house whose callers have limits, on a Mini that takes a second and a half for an answer."""

    def change(document: dict[str, Any]) -> None:
        document["callers"] = [{"name": n, "key": sha256(f"{n}-key"), **more} for n, more in CALLERS.items()]
        document["callers_file"] = "keys.yaml"
        document["caller_limits"] = {"requests_per_minute": 30}
        document["server"] |= {"body_s": 0.5, "header_s": 0.5}

    slow = replace(FAST["mini"], token_ms=60)
    with House(change=change, hosts={"mini": slow}) as house:
        yield house


def recorded(house: House, decision: str) -> dict[str, Any]:
    """A record, read as admin."""
    for _ in range(100):
        answer = house.get(f"/v1/decisions/{decision}", headers=bearer("root"))
        if answer.status_code == 200:
            record: dict[str, Any] = answer.json()
            return record
        time.sleep(0.05)
    raise AssertionError(answer.text)


def test_a_caller_has_so_many_requests_a_minute(house: House) -> None:
    """The official client sees a rate limit with Retry-After; the refusal is recorded and counted."""
    shown = [house.ask(MUTEX, headers=bearer("few")).headers for _ in range(2)]

    with house.client(api_key="few-key") as client, pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": MUTEX}])

    headers = refused.value.response.headers
    assert [one["x-ratelimit-remaining-requests"] for one in shown] == ["1", "0"]
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert 1 <= int(headers["retry-after"]) <= 120
    assert (refused.value.type, refused.value.code) == ("rate_limit_error", "rate_limit_exceeded")
    record = recorded(house, headers["x-autotier-decision"])
    assert (record["outcome"], record["status"], record["caller"]) == ("refused", 429, "few")
    assert record["decision"]["limit"] == "requests"
    metrics = house.get("/metrics", headers=bearer("root")).text
    assert 'autotier_limited_total{caller="few",limit="requests"} 1.0' in metrics


def test_the_default_limit_holds_for_callers_without_one_of_their_own(house: House) -> None:
    """A caller's own key stands before the default, null included."""
    default = house.ask(MUTEX, headers=bearer("one"))
    own = house.ask(MUTEX, headers=bearer("free"))

    assert default.headers["x-ratelimit-limit-requests"] == "30"
    assert "x-ratelimit-limit-requests" not in own.headers


def test_a_caller_has_so_many_requests_at_once(house: House) -> None:
    """A second beside a running stream is refused; after the stream the next is served at once."""
    with house.client(api_key="one-key") as client:
        stream = client.chat.completions.create(
            model="lightweight", messages=[{"role": "user", "content": MUTEX}], stream=True
        )
        next(iter(stream))

        beside = house.ask(MUTEX, headers=bearer("one"))
        for _ in stream:
            pass
        after = house.ask("What is a semaphore?", headers=bearer("one"))

    assert (beside.status_code, beside.headers["retry-after"]) == (429, "1")
    assert after.status_code == 200


def test_tokens_are_held_before_and_corrected_after(house: House) -> None:
    """A second request at the same time does not fit beside the estimate of the first; later it does."""
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda text: house.ask(text, headers=bearer("words")), (MUTEX, "What is a lock?")))
    later = house.ask(MUTEX, "lightweight", headers=bearer("words"))

    assert sorted(answer.status_code for answer in both) == [200, 429]
    used = next(answer for answer in both if answer.status_code == 200).json()["usage"]["total_tokens"]
    assert later.status_code == 200
    left = int(later.headers["x-ratelimit-remaining-tokens"])
    assert 0 <= left <= 1200 - 1024 - used


def test_a_day_has_so_many_dollars(house: House) -> None:
    """When the next request might go beyond, it waits for tomorrow; a restart is no new day."""
    answers = [house.ask(f"Prove number {n}", "reasoning", headers=bearer("poor"), max_tokens=1000) for n in range(2)]

    recorded(house, answers[1].headers["x-autotier-decision"])
    house.stop()
    house.start()
    answers.append(house.ask("Prove another", "reasoning", headers=bearer("poor"), max_tokens=1000))

    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert "US dollars a day" in answers[1].json()["error"]["message"]
    assert int(answers[1].headers["retry-after"]) <= 86_400
    assert recorded(house, answers[1].headers["x-autotier-decision"])["decision"]["limit"] == "spend"


def test_several_answers_are_as_many_reserves(house: House) -> None:
    """``n`` answers may cost ``n`` times as much: a budget that one of them fits is not overrun by three."""
    refused = house.ask("Prove it three times", "reasoning", headers=bearer("pair"), n=3, max_tokens=1000)

    assert refused.status_code == 429
    assert "this request alone may take" in refused.json()["error"]["message"]
    assert "retry-after" not in refused.headers


def test_metrics_need_the_admin_right(house: House) -> None:
    """Without a key 401, with another caller's 403."""
    statuses = [house.get("/metrics", headers=h).status_code for h in ({}, bearer("few"), bearer("root"))]

    assert statuses == [401, 403, 200]


def keys(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``autotier keys`` on the house's configuration."""
    command = [sys.executable, "-m", "service.cli", "keys", "-c", str(house.file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_keys_come_and_go_without_a_restart(house: House) -> None:
    """A new key works with the next request, has its rights, and is refused after it was revoked."""
    made = keys(house, "add", "guest", "--tiers", "lightweight", "--no-override", "--requests-per-minute", "7")
    header = {"authorization": f"Bearer {made.stdout.strip()}"}

    served = house.ask(MUTEX, headers=header)
    named = house.ask(MUTEX, "coding", headers=header)
    rotated = keys(house, "add", "guest", "--rotate").stdout.strip()
    old, new = (house.get("/v1/models", headers={"authorization": f"Bearer {key}"}) for key in (header, rotated))
    revoked = keys(house, "revoke", "guest")
    gone = house.get("/v1/models", headers={"authorization": f"Bearer {rotated}"})

    assert served.status_code == 200, served.text
    assert served.headers["x-ratelimit-limit-requests"] == "7"
    assert named.status_code == 403
    assert (old.status_code, new.status_code, gone.status_code) == (401, 200, 401)
    assert revoked.returncode == 0
    stored = house.folder / "keys.yaml"
    assert made.stdout.strip() not in stored.read_text()
    assert stored.stat().st_mode & 0o777 == 0o600


def test_a_broken_file_of_keys_takes_no_key_away(house: House) -> None:
    """What cannot be read is logged with its place; the callers before it go on."""
    key = keys(house, "add", "kept").stdout.strip()
    header = {"authorization": f"Bearer {key}"}
    stored = house.folder / "keys.yaml"
    before = stored.read_text()
    assert house.get("/v1/models", headers=header).status_code == 200

    stored.write_text(before + "  - name: [\n")
    during = house.get("/v1/models", headers=header)
    stored.write_text(before)
    again = keys(house, "add", "kept")
    listed = json.loads(keys(house, "list", "--json").stdout)

    assert during.status_code == 200
    assert "the callers before the change go on" in house.log()
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert [row["name"] for row in listed] == ["kept"]
    keys(house, "revoke", "kept")


def talk(house: House, data: bytes, limit_s: float = 10.0) -> bytes:
    """What a raw connection answers to ``data`` until it is closed."""
    host, port = house.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), limit_s) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize("data", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-slow: 1\r\n"])
def test_headers_have_to_arrive_in_time(house: House, data: bytes) -> None:
    """A connection without a whole header is closed after header_s."""
    assert talk(house, data).startswith(b"HTTP/1.1 408")


def test_a_body_has_to_arrive_in_time(house: House) -> None:
    """A body that stops is a 408 in OpenAI's format, recorded, and the connection is closed."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer root-key\r\ncontent-length: 100\r\n\r\n"
    )

    answer = talk(house, head.encode() + b'{"model":')

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


def until(true: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Waits for something to be so."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_full_service_lets_wait_and_then_refuses() -> None:
    """One at work, one in the queue, the third refused at once; /readyz says that it is full."""

    def change(document: dict[str, Any]) -> None:
        document["server"] |= {"most_running": 1, "queue": {"most": 1, "wait_s": 20}}

    slow = replace(FAST["mini"], token_ms=50, answer_tokens=80)
    with House(change=change, hosts={"mini": slow}) as house:
        waiting: list[httpx.Response] = []
        second = threading.Thread(target=lambda: waiting.append(house.ask("What is a semaphore?", "coding")))
        with house.client() as client:
            stream = client.chat.completions.create(
                model="lightweight", messages=[{"role": "user", "content": MUTEX}], stream=True
            )
            next(iter(stream))
            second.start()
            until(lambda: "autotier_places_waiting 1.0" in house.get("/metrics").text)

            third = house.ask("What is a lock?")
            ready = house.get("/readyz")
            chunks = [chunk.choices[0].finish_reason for chunk in stream]
        second.join(20)

        assert third.status_code == 429
        assert int(third.headers["retry-after"]) >= 1
        assert house.decision(third.headers["x-autotier-decision"])["decision"]["limit"] == "queue"
        assert (ready.status_code, ready.json()["full"]) == (503, True)
        assert chunks[-1] == "stop"
        assert waiting[0].status_code == 200
        assert house.get("/readyz").status_code == 200


def test_a_client_that_takes_nothing_gives_its_upstream_back() -> None:
    """After slow_client_s the stream is over: the host sees its client go, the record says aborted."""

    def change(document: dict[str, Any]) -> None:
        document["server"] |= {"slow_client_s": 0.5}

    endless = replace(FAST["mini"], token_ms=0, answer_tokens=400_000)
    body = json.dumps({"model": "lightweight", "stream": True, "messages": [{"role": "user", "content": MUTEX}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n"
    with House(change=change, hosts={"mini": endless}) as house:
        host, port = house.base.removeprefix("http://").split(":")
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host, int(port)))
            connection.sendall((head + body).encode())
            shown = connection.recv(1024).decode()
            decision = shown.partition("x-autotier-decision: ")[2].split("\r\n")[0]

            record = house.decision(decision)

        assert record["outcome"] == "aborted"
        assert record["attempts"][0]["outcome"] == "aborted"
