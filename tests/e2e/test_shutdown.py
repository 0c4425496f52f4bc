"""The end of the service: what runs is finished, or told why not."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from tests.house import FAST, House

MUTEX = "What is a mutex?"
SLOW = {"mini": replace(FAST["mini"], token_ms=60), "macbook": replace(FAST["macbook"], token_ms=60)}
STREAM = {"model": "lightweight", "stream": True, "messages": [{"role": "user", "content": MUTEX}]}


def server(**settings: float) -> Callable[[dict[str, Any]], None]:
    """Changes keys of ``server``."""

    def change(document: dict[str, Any]) -> None:
        document["server"] |= settings

    return change


def refused(house: House) -> bool:
    """Whether nobody listens any more: refused, or cut when the listener closed with the connection in its queue."""
    try:
        house.get("/healthz")
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        return True
    return False


def until(true: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Waits for something to be so."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_running_stream_is_finished() -> None:
    """After SIGTERM nobody new is let in, and the stream comes to its end."""
    with House(hosts=SLOW) as house:
        with (
            httpx.Client(trust_env=False, timeout=20) as client,
            client.stream("POST", f"{house.base}/v1/chat/completions", json=STREAM) as answer,
        ):
            lines = answer.iter_lines()
            first = next(lines)
            house.signal(signal.SIGTERM)
            until(lambda: refused(house))
            rest = [line for line in lines if line]

        status = house.wait()

    assert first.startswith("data: {")
    assert rest[-1] == "data: [DONE]"
    assert status in (0, -signal.SIGTERM)


def test_what_takes_longer_is_told_why_and_recorded() -> None:
    """After shutdown_s a stream ends with an error event and without [DONE], another request with a 503."""
    whole: list[httpx.Response] = []
    long = {name: replace(spec, answer_tokens=400) for name, spec in SLOW.items()}
    with House(change=server(shutdown_s=0.2), hosts=long) as house:
        other = threading.Thread(target=lambda: whole.append(house.ask("What is a lock?", "coding")))
        with (
            httpx.Client(trust_env=False, timeout=20) as client,
            client.stream("POST", f"{house.base}/v1/chat/completions", json=STREAM) as answer,
        ):
            decision = answer.headers["x-autotier-decision"]
            lines = answer.iter_lines()
            next(lines)
            other.start()
            until(lambda: "autotier_places_running 2.0" in house.get("/metrics").text)
            house.signal(signal.SIGTERM)
            rest = [line for line in lines if line]
        other.join(10)
        house.wait()
        house.start()

        record = house.decision(decision)
        second = house.decision(whole[0].headers["x-autotier-decision"])

    assert "data: [DONE]" not in rest
    error = json.loads(rest[-1].removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "shutting_down")
    assert "told to end" in error["message"]
    assert (record["outcome"], record["error"]["code"]) == ("cut", "shutting_down")
    assert record["attempts"][0]["outcome"] == "aborted"
    assert record["attempts"][0]["completion_tokens"] >= 1
    assert (whole[0].status_code, whole[0].json()["error"]["code"]) == (503, "shutting_down")
    assert (second["outcome"], second["status"]) == ("failed", 503)


def test_a_balancer_is_told_before_listening_ends() -> None:
    """For drain_s after the signal /readyz is 503, and requests that still come are served."""
    with House(change=server(drain_s=1.5)) as house:
        house.signal(signal.SIGTERM)
        until(lambda: house.get("/readyz").status_code == 503)
        ready = house.get("/readyz")
        served = house.ask(MUTEX)

        house.wait()

    assert (ready.json()["ready"], ready.json()["draining"]) == (False, True)
    assert served.status_code == 200


def test_an_idle_service_ends_at_once() -> None:
    """Nothing at work: no waiting, and no noise in the log."""
    with House() as house:
        house.signal(signal.SIGINT)

        house.wait(10)

        assert "Traceback" not in house.log()
