"""Another configuration while requests are at work."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
import yaml

from tests.house import FAST, House

MUTEX = "What is a mutex?"
RELOAD = "/v1/admin/reload"


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A house on a Mini that takes a second and a half for an answer."""
    with House(hosts={"mini": replace(FAST["mini"], token_ms=60)}) as house:
        yield house


def renamed(name: str) -> Callable[[dict[str, Any]], None]:
    """Gives the first deployment of the lightweight tier another id."""

    def change(document: dict[str, Any]) -> None:
        document["tiers"]["lightweight"]["deployments"][0]["id"] = name

    return change


def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Waits for something to be so."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_running_stream_ends_on_what_it_began_with(house: House) -> None:
    """After the reload new requests meet the new configuration, the old stream its old one; counters go on."""
    house.change(renamed("old-name"))
    house.post(RELOAD)
    with house.client() as client:
        stream = client.chat.completions.create(
            model="lightweight", messages=[{"role": "user", "content": MUTEX}], stream=True
        )
        first = next(iter(stream))
        house.change(renamed("new-name"))

        said = house.post(RELOAD)
        after = house.ask(MUTEX, "lightweight-tier", headers={"x-autotier-cache": "bypass"})
        rest = list(stream)

    assert (said.status_code, said.json()["changed"], said.json()["needs_restart"]) == (200, ["tiers"], [])
    assert first.model == "old-name"
    assert (rest[-1].model, rest[-1].choices[0].finish_reason) == ("old-name", "stop")
    assert after.headers["x-autotier-deployment"] in ("new-name", "lightweight-macbook")
    text = house.get("/metrics").text
    assert 'autotier_attempts_total{deployment="old-name",outcome="answered"} 1.0' in text
    assert 'autotier_reloads_total{result="done"}' in text


def test_a_hang_up_signal_reloads(house: House) -> None:
    """SIGHUP does what the route does."""
    house.change(renamed("by-signal"))

    house.signal(signal.SIGHUP)

    until(lambda: "by-signal" in house.post("/v1/route", {"model": "lightweight", "messages": [
        {"role": "user", "content": MUTEX}]}).text)  # fmt: skip


def test_a_configuration_that_cannot_be_used_is_refused(house: House) -> None:
    """The route answers 400 with the one line, the signal logs it; the configuration before goes on."""
    before = house.file.read_text()
    house.file.write_text(before.replace("port:", "prot:"))

    by_route = house.post(RELOAD)
    house.signal(signal.SIGHUP)
    until(lambda: "not reloaded, the configuration before goes on" in house.log())
    served = house.ask(MUTEX)
    house.file.write_text(before)
    mended = house.post(RELOAD)

    assert by_route.status_code == 400
    assert "server.prot" in by_route.json()["error"]["message"]
    assert "\n" not in by_route.json()["error"]["message"]
    assert served.status_code == 200
    assert mended.status_code == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(classifier={"artifact": "no-such-folder"}), "classifier.artifact"),
        (lambda d: d.update(store={"url": f"sqlite:///{__file__}/a.sqlite3"}), "test_reload.py/a.sqlite3"),
    ],
)
def test_what_a_file_names_is_checked_too(house: House, change: Callable[[dict[str, Any]], None], words: str) -> None:
    """An artifact or a store that cannot be opened is no reason to stop serving."""
    before = house.file.read_text()
    house.change(change)

    refused = house.post(RELOAD)
    served = house.ask(MUTEX)

    house.file.write_text(before)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["message"]
    assert served.status_code == 200


def test_records_and_conversations_survive(house: House) -> None:
    """What was kept before is there afterwards, and a follow-up keeps its tier by its hold."""
    hard = "Analyze the trade-offs between event sourcing and CQRS for an e-commerce system"
    first = house.ask(hard)

    house.post(RELOAD)
    turns = [
        {"role": "user", "content": hard},
        first.json()["choices"][0]["message"],
        {"role": "user", "content": "yes, go on"},
    ]
    second = house.post("/v1/chat/completions", {"model": "auto", "messages": turns})

    assert house.decision(first.headers["x-autotier-decision"])["tier"] == "reasoning"
    assert (second.headers["x-autotier-tier"], second.headers["x-autotier-reason"]) == ("reasoning", "conversation")
    record = house.decision(second.headers["x-autotier-decision"])
    assert record["decision"]["recomputed"] is False


def test_a_new_store_takes_the_new_records(house: House) -> None:
    """With another store.url the old store gets what began before, the new one what began after."""
    before = house.file.read_text()
    old = house.ask(MUTEX).headers["x-autotier-decision"]
    house.decision(old)

    house.change(lambda d: d.update(store={"url": f"sqlite:///{house.folder / 'second.sqlite3'}"}))
    said = house.post(RELOAD)
    new = house.ask(MUTEX).headers["x-autotier-decision"]

    assert said.json()["changed"] == ["store"]
    assert house.decision(new)["id"] == new
    assert house.get(f"/v1/decisions/{old}").status_code == 404
    house.file.write_text(before)
    house.post(RELOAD)
    assert house.decision(old)["id"] == old


def answers_during_reloads(house: House, number: int) -> list[httpx.Response]:
    """So many requests, streams and not, to hosts in the house and clouds, while one reload follows the other."""
    done = threading.Event()

    def reloads() -> set[int]:
        statuses = set()
        while not done.is_set():
            statuses.add(house.post(RELOAD).status_code)
        return statuses

    def ask(n: int) -> httpx.Response:
        model = "reasoning" if n % 3 else "coding"
        return house.ask(f"What is {n} + {n}?", model, {"x-autotier-cache": "bypass"}, stream=n % 2 == 0)

    with ThreadPoolExecutor(9) as pool:
        reloading = pool.submit(reloads)
        answers = list(pool.map(ask, range(number)))
        done.set()
    assert reloading.result() == {200}
    return answers


@pytest.mark.parametrize("way", ["auto", "router"])
def test_no_request_is_lost_while_reloads_go_on(house: House, way: str) -> None:
    """Each gets its answer, over both ways upstream, and everything that was replaced is closed."""
    house.change(lambda d: d.update(upstream={"way": way}))
    house.post(RELOAD)

    answers = answers_during_reloads(house, 36)

    assert [answer.text for answer in answers if answer.status_code != 200] == []
    assert all("[DONE]" in answer.text for answer in answers[::2])
    until(lambda: "autotier_places_running 0.0" in house.get("/metrics").text)
    assert "could not be closed" not in house.log()
    assert "Traceback" not in house.log()


def test_reloading_needs_the_admin_right(house: House) -> None:
    """Once callers have keys, only one with the right reloads; and the keys come by a reload as well."""
    before = house.file.read_text()
    hashes = {
        "ann": "sha256:4d9d5bd4bbb4d5e7d4a3e7a5eb1ca0b4d3a0ab9a7b2eb3d0ba6b8f0a3cbbf6d5",
        "bob": "sha256:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9",  # of the key "bob"
    }
    callers = [{"name": name, "key": key, "admin": name == "bob"} for name, key in hashes.items()]
    house.change(lambda d: d.update(callers=callers))
    house.post(RELOAD)

    without = house.post(RELOAD)
    house.file.write_text(before)
    with_right = house.post(RELOAD, headers={"authorization": "Bearer bob"})

    assert without.status_code == 401
    assert with_right.status_code == 200
    assert house.ask(MUTEX).status_code == 200


def test_a_service_that_cannot_start_says_why_in_one_line(house: House) -> None:
    """What a file names is checked at the start as at a reload: one line on the terminal, exit status 2."""
    document = yaml.safe_load(house.file.read_text())
    document["classifier"] = {"artifact": "no-such-folder"}
    file = house.folder / "bad.yaml"
    file.write_text(yaml.safe_dump(document))

    command = [sys.executable, "-m", "service.cli", "serve", "-c", str(file), "--port", "0", "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "classifier.artifact" in done.stderr
