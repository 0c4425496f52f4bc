"""Two replicas behind a TCP balancer, one Redis, one PostgreSQL, all real: what they share, and what a death costs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fleet import OPERATOR, Fleet, Replica, bearer

pytestmark = pytest.mark.timeout(300)  # three services start, on a loaded machine one after the other

HARD = "Analyze the trade-offs between event sourcing and CQRS for an e-commerce system"
EASY = "What is a mutex?"
NO_LIMIT = {"requests_per_minute": None, "tokens_per_minute": None, "parallel": None, "usd_per_day": None}
CALLERS: dict[str, dict[str, Any]] = {
    "free": {"limits": NO_LIMIT},
    "few": {"limits": {**NO_LIMIT, "requests_per_minute": 5}},
    "fewer": {"limits": {**NO_LIMIT, "requests_per_minute": 5}},
    "one": {"limits": {**NO_LIMIT, "parallel": 1}},
    # One request may cost 0.01505 at the dearest deployment; what it really costs leaves no room for a second one.
    "poor": {"limits": {**NO_LIMIT, "usd_per_day": 0.0151}},
    "poorer": {"limits": {**NO_LIMIT, "usd_per_day": 0.0151}},
    "rich": {"limits": {**NO_LIMIT, "usd_per_day": 0.0151}},
}


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    """The fleet, started once."""
    with Fleet(CALLERS) as fleet:
        yield fleet


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    """The fleet with its hosts as at their start."""
    running.reset()
    return running


def eventually(true: Any, limit_s: float = 15.0) -> None:
    """Waits until what happens behind answers has happened."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def state_of(replica: Replica) -> dict[str, Any]:
    """What a replica says of the shared state."""
    shown: dict[str, Any] = replica.get("/readyz").json()["state"]
    return shown


def asked_for_money(replica: Replica, caller: str) -> httpx.Response:
    """A request that costs something, never the same twice."""
    return replica.ask(f"{HARD} {time.time()}", "reasoning", headers=bearer(caller), max_tokens=1000)


def test_both_replicas_know_of_each_other(fleet: Fleet) -> None:
    """Each is ready, shares its state, and counts two processes."""
    both = {"shared": True, "problem": None, "processes": 2}

    eventually(lambda: all(state_of(replica) == both for replica in fleet.replicas))


def test_the_shipped_file_starts_a_replica(fleet: Fleet) -> None:
    """configs/team.yaml as it is, its addresses in the environment, starts a replica that joins the others."""
    with Replica(environment=fleet.environment) as third:
        eventually(lambda: state_of(third)["processes"] == 3)
        answer = third.ask(EASY, headers=bearer("free"))

    assert answer.status_code == 200
    assert answer.headers["x-autotier-deployment"] == "lightweight-mini"


def test_a_limit_is_one_for_both(fleet: Fleet) -> None:
    """Five requests a minute are five, whichever replica the balancer takes."""
    answers = [fleet.ask(EASY, "few") for _ in range(8)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_parallel_requests_are_counted_together(fleet: Fleet) -> None:
    """While one replica answers a caller's only request, the other one refuses the next."""
    first, second = fleet.replicas
    fleet.hosts["mini"].set_fault("hang-mid-stream")
    body = {"model": "lightweight", "stream": True, "messages": [{"role": "user", "content": f"{EASY} 1"}]}
    url = f"{first.base}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=bearer("one"), trust_env=False, timeout=30) as stream:
        pieces = stream.iter_raw()  # kept: one that is thrown away closes the answer
        next(pieces)

        refused = second.ask(f"{EASY} 2", headers=bearer("one"))

        assert refused.status_code == 429
    fleet.hosts["mini"].reset()
    eventually(lambda: second.ask(f"{EASY} 3", headers=bearer("one")).status_code == 200)


def test_spend_is_one_for_both(fleet: Fleet) -> None:
    """What one replica spent of a caller's day is missing at the other."""
    first, second = fleet.replicas

    paid = asked_for_money(first, "poor")
    refused = asked_for_money(second, "poor")
    other = asked_for_money(second, "rich")

    assert (paid.status_code, refused.status_code, other.status_code) == (200, 429, 200)


def test_a_cooldown_is_one_for_both(fleet: Fleet) -> None:
    """A 429 that one replica met is not met again by the other."""
    first, second = fleet.replicas
    fleet.hosts["cloud1"].set_fault("429:retry_after=60")
    assert first.ask(f"{HARD} 1", "reasoning", headers=bearer("free")).status_code == 200

    eventually(lambda: "deployment:reasoning-cloud" in second.get("/readyz").json()["held"])
    answer = second.ask(f"{HARD} 2", "reasoning", headers=bearer("free"))

    attempts = fleet.decision(answer.headers["x-autotier-decision"], second)["attempts"]
    assert [(a["deployment_id"], a["outcome"]) for a in attempts] == [
        ("reasoning-cloud", "cooling_down"), ("reasoning-cloud-2", "answered"),
    ]  # fmt: skip


def test_a_conversation_keeps_its_tier_at_the_other_replica(fleet: Fleet) -> None:
    """The next turn comes at once, before any batch is written, and is not computed again."""
    first, second = fleet.replicas
    turns = [{"role": "user", "content": f"{HARD} ({time.time()})"}]
    answer = first.post("/v1/chat/completions", {"model": "auto", "messages": turns}, headers=bearer("free"))
    turns += [answer.json()["choices"][0]["message"], {"role": "user", "content": "yes, go on"}]

    following = second.post("/v1/chat/completions", {"model": "auto", "messages": turns}, headers=bearer("free"))

    assert following.headers["x-autotier-tier"] == answer.headers["x-autotier-tier"] == "reasoning"
    assert following.headers["x-autotier-reason"] == "conversation"
    record = fleet.decision(following.headers["x-autotier-decision"], first)
    assert record["decision"]["recomputed"] is False


def test_a_regeneration_is_told_by_the_other_replica(fleet: Fleet) -> None:
    """The same messages with the same id, at another replica, go one tier up."""
    first, second = fleet.replicas
    named = {**bearer("free"), "x-autotier-conversation": f"chat-{time.time()}"}
    before = first.ask(EASY, headers=named)

    after = second.ask(EASY, headers=named)

    assert (before.headers["x-autotier-tier"], after.headers["x-autotier-tier"]) == ("lightweight", "coding")


def test_every_replica_reads_every_record(fleet: Fleet) -> None:
    """What one has decided and was told, the other one shows."""
    first, second = fleet.replicas
    decision = first.ask(EASY, headers=bearer("free")).headers["x-autotier-decision"]
    fleet.decision(decision, first)

    said = second.post("/v1/feedback", {"decision_id": decision, "solved": True}, headers=bearer("free"))

    assert said.status_code == 200, said.text
    assert fleet.decision(decision, first)["feedback"][0]["solved"] is True


def test_a_lost_redis_stops_nobody(fleet: Fleet) -> None:
    """Without it each replica goes on alone and says so; spent days stay spent; it is used again by itself."""
    first, second = fleet.replicas
    assert asked_for_money(first, "poorer").status_code == 200
    assert asked_for_money(second, "poorer").status_code == 429

    fleet.redis.stop()
    alone = [replica.ask(f"{EASY} {n}", headers=bearer("free")) for replica in fleet.replicas for n in range(3)]
    poor = [asked_for_money(replica, "poorer") for replica in fleet.replicas]
    eventually(lambda: all(state_of(replica)["problem"] for replica in fleet.replicas))
    ready = [replica.get("/readyz").status_code for replica in fleet.replicas]
    fleet.redis.start()
    eventually(lambda: all(state_of(replica)["shared"] for replica in fleet.replicas))

    assert [answer.status_code for answer in alone] == [200] * 6
    assert [answer.status_code for answer in poor] == [429] * 2
    assert ready == [200, 200]
    assert all("goes on alone" in replica.log() for replica in fleet.replicas)
    shown = first.get("/metrics", headers={"authorization": f"Bearer {OPERATOR}"}).text
    assert "autotier_state_working 1.0" in shown


def test_streams_through_the_balancer_are_whole(fleet: Fleet) -> None:
    """Nothing of a stream is lost on the way."""
    answer = fleet.ask(EASY, "free", stream=True)

    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert any(json.loads(event)["choices"][0]["delta"].get("content") for event in events[:-1] if '"choices"' in event)


def test_a_killed_replica_takes_only_its_open_answers_with_it(fleet: Fleet) -> None:
    """SIGKILL under load: what begins afterwards is answered, limits and conversations go on, records are there."""
    dying, living = fleet.replicas
    killed = threading.Event()
    given: list[tuple[bool, str, str | None]] = []

    def load(thread: int) -> None:
        for number in range(12):
            begun_after, streams = killed.is_set(), number % 2 == 0
            try:
                answer = fleet.ask(f"{EASY} {thread} {number}", "free", stream=streams)
                whole = answer.status_code == 200 and ("[DONE]" in answer.text or not streams)
                told = "whole" if whole else f"{answer.status_code} {answer.text}"
                given.append((begun_after, told, answer.headers.get("x-autotier-decision")))
            except httpx.TransportError as error:
                given.append((begun_after, repr(error), None))

    turns = [{"role": "user", "content": f"{HARD} ({time.time()})"}]
    answer = dying.post("/v1/chat/completions", {"model": "auto", "messages": turns}, headers=bearer("free"))
    turns += [answer.json()["choices"][0]["message"], {"role": "user", "content": "yes, go on"}]
    assert [dying.ask(EASY, headers=bearer("fewer")).status_code for _ in range(5)] == [200] * 5
    threads = 8
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(load, number) for number in range(threads)]
        eventually(lambda: len(given) > 24, limit_s=120)
        dying.stop(kill=True)
        killed.set()
        for future in futures:
            future.result()

    assert {told for after, told, _ in given if after} == {"whole"}
    assert sum(told != "whole" for _, told, _ in given) <= threads
    assert living.ask(EASY, headers=bearer("fewer")).status_code == 429
    following = living.post("/v1/chat/completions", {"model": "auto", "messages": turns}, headers=bearer("free"))
    assert following.headers["x-autotier-reason"] == "conversation"
    for after, _, decision in given:
        if after and decision:
            fleet.decision(decision, living)
