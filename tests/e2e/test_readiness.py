"""``/readyz`` of the service as a process: what a balancer is told while hosts are away."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

from tests.house import START_LIMIT_S, House


def told(house: House) -> tuple[int, dict[str, Any]]:
    """Status and body of ``/readyz``; (0, {}) while nobody listens."""
    if not house.is_running:
        return 0, {}
    with closing(HTTPConnection(house.base.removeprefix("http://"), timeout=10)) as connection:
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except OSError:
            return 0, {}


def test_a_service_is_ready_when_the_first_host_is_there() -> None:
    """All hosts away: 503 from the start on, with why. The Mini comes: ready for its tier, without any request."""

    def away_from_the_start(_: object) -> None:
        for host in house.hosts.values():
            host.set_fault("down")

    house = House(change=away_from_the_start)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stack.callback(house.__exit__, None, None, None)
        starting = pool.submit(house.__enter__)  # returns at the first 200
        deadline = time.monotonic() + START_LIMIT_S
        while len((away := told(house))[1].get("held", ())) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        was_ready = starting.done()

        house.hosts["mini"].reset()
        starting.result()
        back = told(house)

    status, shown = away
    assert (status, was_ready) == (503, False)
    assert not any(shown["tiers"].values())
    assert {one["outcome"] for one in shown["held"].values()} == {"preflight_failed"}
    assert (back[0], back[1]["tiers"]["lightweight"], back[1]["tiers"]["reasoning"]) == (200, True, False)
