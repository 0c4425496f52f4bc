"""The cache as clients meet it: real service, simulated hosts that count what reaches them."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from service.cache.local_model import installed
from service.cli.cache import command
from service.cli.log import command as log
from tests.house import FAST, House
from tests.servers import RedisServer

EASY = "What is a closure in JavaScript?"
KEYS = {"anna": "key-of-anna", "ben": "key-of-ben", "carl": "key-of-carl"}
SLOW = {"mini": replace(FAST["mini"], token_ms=20), "macbook": replace(FAST["macbook"], token_ms=20, answer_tokens=150)}
"""Half a second for an answer of the Mini, three for one of the MacBook."""


def with_cache(**settings: Any) -> Callable[[dict[str, Any]], None]:
    """A change that switches the cache on, with callers of their own."""

    def change(document: dict[str, Any]) -> None:
        document["cache"] = {"groups": {"family": ["anna", "ben"]}, **settings}
        document["callers"] = [
            {"name": name, "key": "sha256:" + _sha(key), "admin": True} for name, key in KEYS.items()
        ]
        document["limits"] = {"cooldown_s": 0.1, "remember_failed_s": 0.1, "host_status_remember_s": 0.3}

    return change


def _sha(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    """A house with the cache in the process and hosts that take 20 ms a token."""
    with House(change=with_cache(), hosts=SLOW) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    """The house with its hosts as at their start."""
    running.reset()
    return running


def ask(house: House, text: Any, caller: str = "anna", headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """One chat request of a caller's."""
    messages = fields.pop("messages", None) or [{"role": "user", "content": text}]
    body = {"model": "lightweight", "messages": messages, **fields}
    sent = {"authorization": f"Bearer {KEYS[caller]}", **(headers or {})}
    return house.post("/v1/chat/completions", body, headers=sent)


def met(house: House) -> int:
    """Chat requests that reached any host."""
    paths = ("/api/chat", "/v1/chat/completions")
    return sum(len(host.log().on(path)) for host in house.hosts.values() for path in paths)


def joined(house: House) -> float:
    """Requests that shared a call so far."""
    text = house.get("/metrics", headers={"authorization": f"Bearer {KEYS['anna']}"}).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("autotier_cache_joined_total "))


def words(answer: httpx.Response) -> str:
    """The text of an answer, streamed or not."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    return "".join(c["delta"].get("content") or "" for e in events for c in e.get("choices", ()))


def test_a_repeat_is_answered_here(house: House) -> None:
    """The second one reaches no host, costs nothing, and headers and record say so."""
    first = ask(house, f"{EASY} (repeat)")

    second = ask(house, f"{EASY} (repeat)")

    assert first.headers["x-autotier-cache"] == "miss"
    assert second.headers["x-autotier-cache"] == "hit-exact"
    assert second.headers["x-autotier-attempts"] == "0"
    assert float(second.headers["x-autotier-cache-age"]) >= 0
    assert words(second) == words(first)
    assert second.json()["id"] != first.json()["id"]
    assert second.json()["usage"] == first.json()["usage"]
    assert met(house) == 1
    key = {"headers": {"authorization": f"Bearer {KEYS['anna']}"}}
    for _ in range(100):
        record = house.get(f"/v1/decisions/{second.headers['x-autotier-decision']}", **key)
        if record.status_code == 200:
            break
        time.sleep(0.05)
    assert record.json()["attempts"] == []
    assert record.json()["cost_usd"] == 0
    assert record.json()["decision"]["cache"]["status"] == "hit-exact"
    assert record.json()["decision"]["cache"]["source"] == first.headers["x-autotier-decision"]
    assert record.json()["decision"]["cache"]["saved_ms"] > 0


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (True, True)])
def test_streams_and_whole_answers_share_an_entry(house: House, before: bool, after: bool) -> None:
    """Whichever way it was made, it is given in the way that is asked for."""
    text = f"{EASY} ({before}, {after})"
    first = ask(house, text, stream=before)

    second = ask(house, text, stream=after, **({"stream_options": {"include_usage": True}} if after else {}))

    assert second.headers["x-autotier-cache"] == "hit-exact"
    assert words(second) == words(first)
    assert met(house) == 1
    if after:
        last = json.loads(second.text.split("data: ")[-2])
        assert last["usage"]["completion_tokens"] > 0
        assert last["autotier"]["cache"] == "hit-exact"
        assert last["autotier"]["cost_usd"] == 0
        assert second.text.endswith("data: [DONE]\n\n")


def test_a_near_duplicate_says_that_it_is_one(house: House) -> None:
    """Doubled spaces do not matter; the header tells."""
    ask(house, "What is  a closure in Rust?")

    second = ask(house, "What is a closure in Rust?")

    assert second.headers["x-autotier-cache"] == "hit-near"


PICTURE = [{"type": "text", "text": "What is this?"}]


def _picture(data: bytes) -> list[dict[str, Any]]:
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    return [*PICTURE, {"type": "image_url", "image_url": {"url": url}}]


def _turns(*texts: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


LEAKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another caller": ({"caller": "anna"}, {"caller": "carl"}),
    "system prompt": (
        {"messages": [{"role": "system", "content": "You are A."}, {"role": "user", "content": EASY}]},
        {"messages": [{"role": "system", "content": "You are B."}, {"role": "user", "content": EASY}]},
    ),
    "history": (
        {"messages": _turns("a", "b", "c")},
        {"messages": _turns("a", "x", "c")},
    ),
    "image": ({"text": _picture(b"one")}, {"text": _picture(b"two")}),
    "tier": ({"model": "lightweight"}, {"model": "coding"}),
    "format": ({}, {"response_format": {"type": "json_object"}}),
    "limit": ({"max_tokens": 200}, {"max_tokens": 100}),
    "seed": ({"seed": 1}, {"seed": 2}),
    "role": (
        {"messages": [{"role": "user", "content": "Ignore this"}, {"role": "user", "content": "x"}]},
        {"messages": [{"role": "system", "content": "Ignore this"}, {"role": "user", "content": "x"}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LEAKS)
def test_nothing_leaks_from_one_scope_to_another(house: House, what: str) -> None:
    """Each of these alone sends the second request upstream: none may be fed with another's answer."""
    first, second = ({"text": f"{EASY} ({what})", **fields} for fields in LEAKS[what])
    ask(house, **first)

    answer = ask(house, **second)

    assert answer.status_code == 200
    assert answer.headers["x-autotier-cache"] == "miss"
    assert met(house) == 2


def test_a_named_group_shares(house: House) -> None:
    """Ben gets what Anna asked, because the operator named the two."""
    ask(house, f"{EASY} (group)", caller="anna")

    assert ask(house, f"{EASY} (group)", caller="ben").headers["x-autotier-cache"] == "hit-exact"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"headers": {"x-autotier-cache": "bypass"}}, "asked"),
        ({"temperature": 0.7}, "temperature"),
        ({"text": "What is the latest version of Node?"}, "now"),
        ({"headers": {"x-autotier-privacy": "local"}}, "private"),
        ({"text": "Is 4111 1111 1111 1111 a card number?"}, "private"),
    ],
)
def test_a_bypass_names_its_reason(house: House, fields: dict[str, Any], reason: str) -> None:
    """Twice the same, twice upstream, and the header says why."""
    fields = {"text": EASY, **fields}
    ask(house, **fields)

    answer = ask(house, **fields)

    assert answer.headers["x-autotier-cache"] == f"bypass:{reason}"
    assert met(house) == 2


def test_refresh_asks_again_and_replaces(house: House) -> None:
    """A refresh goes upstream, and the next one gets what it brought."""
    ask(house, f"{EASY} (refresh)")
    fresh = ask(house, f"{EASY} (refresh)", headers={"x-autotier-cache": "refresh"})

    after = ask(house, f"{EASY} (refresh)")

    assert fresh.headers["x-autotier-cache"] == "refresh"
    assert after.headers["x-autotier-cache"] in ("hit-exact", "miss")  # a refresh may go one tier up
    assert met(house) >= 2


def test_a_cut_answer_is_not_kept(house: House) -> None:
    """max_tokens ended it: it is nobody's answer but the asker's."""
    ask(house, f"{EASY} (cut)", max_tokens=3)

    assert ask(house, f"{EASY} (cut)", max_tokens=3).headers["x-autotier-cache"] == "miss"


@pytest.mark.parametrize("stream", [False, True])
def test_twenty_at_once_make_one_call(house: House, stream: bool) -> None:
    """One leads, the others share its call while it runs, and all get the same words."""
    text = f"{EASY} (twenty, {stream})"
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: ask(house, text, stream=stream), range(20)))

    assert {a.status_code for a in answers} == {200}
    assert len({words(a) for a in answers}) == 1
    assert met(house) == 1
    assert sorted({a.headers["x-autotier-cache"] for a in answers}) != ["miss"]
    assert len({a.headers["x-autotier-decision"] for a in answers}) == 20


def test_the_leader_leaves_and_the_others_get_their_answer(house: House) -> None:
    """The first client hangs up in the middle of its stream; the second one has the whole answer."""
    text = f"{EASY} (leader)"
    body = {"model": "coding", "stream": True, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {KEYS['anna']}"}
    before = joined(house)
    with httpx.Client(trust_env=False) as http, ThreadPoolExecutor(1) as threads:
        with http.stream("POST", f"{house.base}/v1/chat/completions", json=body, headers=headers) as leader:
            lines = leader.iter_lines()  # kept: a generator that is dropped closes the response
            next(lines)
            second = threads.submit(ask, house, text, model="coding", stream=True)
            deadline = time.monotonic() + 10
            while joined(house) == before and time.monotonic() < deadline:
                time.sleep(0.02)
        answer = second.result()

    assert answer.headers["x-autotier-cache"] == "shared"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert met(house) == 1
    assert ask(house, text, model="coding").headers["x-autotier-cache"] == "hit-exact"


def test_all_hosts_down_fails_everybody_once(house: House) -> None:
    """Followers get the leader's failure instead of trying one after the other."""
    for host in house.hosts.values():
        host.set_fault("500")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(house, f"{EASY} (down)"), range(8)))

    assert {a.status_code for a in answers} == {503}


def test_an_answer_that_did_not_help_is_not_given_again(house: House) -> None:
    """Feedback takes the entry back."""
    ask(house, f"{EASY} (wrong)")
    hit = ask(house, f"{EASY} (wrong)")
    assert hit.headers["x-autotier-cache"] == "hit-exact"
    key = {"headers": {"authorization": f"Bearer {KEYS['anna']}"}}

    said = house.post("/v1/feedback", {"decision_id": hit.headers["x-autotier-decision"], "solved": False}, **key)

    assert said.status_code == 200
    assert ask(house, f"{EASY} (wrong)").headers["x-autotier-cache"] == "miss"


def test_replicas_share_answers_and_calls_and_survive_their_redis() -> None:
    """What one replica was told the other one knows; without the Redis both go on, and nothing old comes back."""
    with RedisServer() as server:
        settings = with_cache(redis_url=server.url, timeout_ms=500)  # this machine may be busy
        with House(change=settings, hosts=SLOW) as one, House(change=_beside(one, settings)) as two:
            first = ask(one, EASY)
            assert ask(two, EASY).headers["x-autotier-cache"] == "hit-exact"

            with ThreadPoolExecutor(8) as threads:
                both = list(threads.map(lambda i: ask((one, two)[i % 2], f"{EASY} (both)"), range(8)))
            assert len({words(a) for a in both}) == 1
            assert len([a for a in both if a.headers["x-autotier-cache"] == "miss"]) == 1

            server.freeze()
            hung = [ask(house, EASY) for house in (one, two, one, two)]
            assert {a.status_code for a in hung} == {200}
            server.thaw()
            server.stop()
            assert ask(one, EASY).status_code == 200
            server.start()
            deadline = time.monotonic() + 20
            while not list(server.client.scan_iter("*:v1:*")) and time.monotonic() < deadline:
                ask(two, EASY)  # from its own memory until the Redis is back, then anew
                time.sleep(0.2)
            assert list(server.client.scan_iter("*:v1:*"))
            assert ask(two, EASY).headers["x-autotier-cache"] == "hit-exact"
            assert words(ask(two, EASY)) == words(first)


def _beside(house: House, settings: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """The configuration of a second replica over the first one's hosts."""

    def change(document: dict[str, Any]) -> None:
        settings(document)
        clouds = iter(("cloud1", "cloud2"))
        for name, host in document["hosts"].items():
            host["address"] = (
                house.hosts[name].address if name in house.hosts else house.hosts[next(clouds)].address + "/v1"
            )

    return change


SAME = ("How do I undo my last commit in Git?", "I committed too early, what takes that back in Git?")
OTHER = (
    "How do I undo my last two commits in Git?",
    "How do I undo my last commit in Mercurial?",
    "How do I redo my last commit in Git?",
    "Who invented the commit in Git, and what for?",
)


@pytest.fixture(scope="module", params=["memory", "redis"])
def semantic(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house that compares asks with the model on this machine, kept in the process or in a Redis."""
    if not installed():
        pytest.skip("the extra cache-local is not installed")
    settings: dict[str, Any] = {"semantic": {"embedding": {"deadline_ms": 10_000}}, "timeout_ms": 1000}
    if request.param == "memory":
        with House(change=with_cache(**settings)) as house:
            yield house
        return
    with RedisServer() as server, House(change=with_cache(redis_url=server.url, **settings)) as house:
        yield house


def test_deleting_a_caller_reaches_the_cache(semantic: House) -> None:
    """No equal and no similar ask gets an answer of theirs any more; another caller's answer stays."""
    semantic.reset()
    texts = ("How do I list the open ports of a Linux machine?", "Which way shows the open ports of my Linux machine?")
    ask(semantic, texts[0], "carl")
    ask(semantic, texts[0], "ben")
    assert ask(semantic, texts[0], "carl").headers["x-autotier-cache"] == "hit-exact"
    store, key = ("--store", f"sqlite:///{semantic.folder / 'demo.sqlite3'}"), ("--key", KEYS["anna"])
    what = ("delete", "--caller", "carl", "--yes", "--base", semantic.base)
    time.sleep(0.5)  # records are written behind the answers

    done = CliRunner().invoke(log, [*store, *what, *key])

    assert done.exit_code == 0, done.output
    assert "2 decisions" in done.output
    assert "1 answers in the cache forgotten" in done.output
    assert [ask(semantic, text, "carl").headers["x-autotier-cache"] for text in (texts[1], texts[0])] == [
        "miss",
        "miss",
    ]
    assert ask(semantic, texts[0], "ben").headers["x-autotier-cache"] == "hit-exact"


def test_every_number_is_described_and_only_counters_end_in_total(semantic: House) -> None:
    """HELP has a sentence for each, not its name again."""
    text = semantic.get("/metrics", headers={"authorization": f"Bearer {KEYS['anna']}"}).text

    assert "# HELP autotier_cache_semantic_served_total Hits by a similar ask." in text
    assert re.findall(r"# HELP autotier_(\w+) \1\.$|# HELP (autotier_\w+) *$", text, re.MULTILINE) == []
    assert re.findall(r"# TYPE (\w+_total) gauge", text) == []


def test_other_words_for_the_same_are_answered_here(semantic: House) -> None:
    """A paraphrase is served, with its similarity; what differs in a word that counts is not, nor another caller's."""
    semantic.reset()
    first = ask(semantic, SAME[0])
    assert first.headers["x-autotier-cache"] == "miss"

    second = ask(semantic, SAME[1])

    assert second.headers["x-autotier-cache"] == "hit-semantic"
    assert 0.6 < float(second.headers["x-autotier-cache-similarity"]) < 1
    assert words(second) == words(first)
    assert met(semantic) == 1
    assert ask(semantic, SAME[1], caller="carl").headers["x-autotier-cache"] == "miss"
    for text in OTHER:
        assert ask(semantic, text).headers["x-autotier-cache"] == "miss"
    assert ask(semantic, SAME[1]).headers["x-autotier-cache"] == "miss"  # now there are rivals
    system = [{"role": "system", "content": "Answer in French."}, {"role": "user", "content": SAME[1]}]
    assert ask(semantic, "", messages=system).headers["x-autotier-cache"] == "miss"


def test_one_wrong_answer_takes_its_entry_along(semantic: House) -> None:
    """Feedback about a semantic hit takes the answer back for both asks."""
    key = {"headers": {"authorization": f"Bearer {KEYS['anna']}"}}
    httpx.delete(f"{semantic.base}/v1/admin/cache", trust_env=False, timeout=10, **key)
    ask(semantic, SAME[0])
    hit = ask(semantic, SAME[1])
    assert hit.headers["x-autotier-cache"] == "hit-semantic"

    said = semantic.post("/v1/feedback", {"decision_id": hit.headers["x-autotier-decision"], "solved": False}, **key)

    assert said.status_code == 200
    assert ask(semantic, SAME[0]).headers["x-autotier-cache"] == "miss"


def test_the_command_looks_into_a_running_service(house: House) -> None:
    """stats, inspect, evict and clear, over the admin routes; without the key they are refused in one line."""
    answer = ask(house, f"{EASY} (command)")
    decision = answer.headers["x-autotier-decision"]
    assert ask(house, f"{EASY} (command)").headers["x-autotier-cache"] == "hit-exact"
    at = ["--base", house.base, "--key", KEYS["anna"]]

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(command, arguments)

    shown = run("stats", *at)
    assert shown.exit_code == 0
    assert "entries" in shown.output
    assert "similar asks: off" in shown.output
    for _ in range(100):
        found = run("inspect", decision, *at)
        if found.exit_code == 0:
            break
        time.sleep(0.05)
    assert json.loads(found.output)["choices"][0]["message"]["content"] == words(answer)
    assert run("evict", decision, *at).output == "removed\n"
    assert ask(house, f"{EASY} (command)").headers["x-autotier-cache"] == "miss"
    assert "answers removed" in run("clear", *at).output
    refused = run("stats", "--base", house.base)
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1
    assert run("stats", "--base", "http://127.0.0.1:9").exit_code == 1


def test_the_death_of_the_replica_that_leads_does_not_hang_the_others() -> None:
    """It is killed in the middle of its call: who waits on another replica asks for itself and has the whole answer."""
    with RedisServer() as server:
        settings = with_cache(
            redis_url=server.url, timeout_ms=5000
        )  # this machine may be busy: one that waits longer asks alone
        with House(change=settings, hosts=SLOW) as one, House(change=_beside(one, settings)) as two:
            text = f"{EASY} (death)"
            with ThreadPoolExecutor(2) as threads:
                leader = threads.submit(ask, one, text, model="coding", stream=True)
                deadline = time.monotonic() + 10
                while not list(server.client.scan_iter("*:turn:*")) and time.monotonic() < deadline:
                    time.sleep(0.02)
                follower = threads.submit(ask, two, text, model="coding", stream=True)
                time.sleep(0.7)  # it waits by now, and the answer takes three seconds
                assert not follower.done()
                one.stop(kill=True)
                answer = follower.result(timeout=40)
                with pytest.raises(httpx.HTTPError):
                    leader.result()

            assert answer.status_code == 200
            assert answer.text.endswith("data: [DONE]\n\n")
            assert len(words(answer)) > 100
            assert ask(two, text, model="coding").headers["x-autotier-cache"] == "hit-exact"


def test_a_stream_that_another_replica_is_given_comes_whole() -> None:
    """Two replicas, one call upstream: who waits elsewhere gets the answer as a stream once it is complete."""
    with RedisServer() as server:
        settings = with_cache(redis_url=server.url, timeout_ms=5000)  # as above
        with House(change=settings, hosts=SLOW) as one, House(change=_beside(one, settings)) as two:
            with ThreadPoolExecutor(4) as threads:
                answers = list(
                    threads.map(
                        lambda i: ask((one, two)[i % 2], f"{EASY} (both)", model="coding", stream=True), range(4)
                    )
                )

            assert sorted(a.headers["x-autotier-cache"] for a in answers) == ["miss", "shared", "shared", "shared"]
            assert met(one) == 1
            assert len({words(a) for a in answers}) == 1
            assert all(a.text.endswith("data: [DONE]\n\n") for a in answers)
