"""Faults that are more than one host with one fault: several at once, flapping, clients that leave, sleep, swaps.

Each scenario plays against the matrix's house, or one of its own, and tells what the client got and what broke.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tests.faults.cells import FIRST_TOKEN_S, HOSTS, LIMITS, SCALE, shortened
from tests.faults.play import PAST_CACHE, SHORT, Reply, ask, chats
from tests.faults.rules import SLACK_S
from tests.house import House

SHORT_TIERS = ("lightweight", "coding")


@dataclass(slots=True)
class Story:
    """What came of a scenario.

    Attributes:
        client: What the client got, in words.
        attempts: Deployments and outcomes of the last request, or counts over many.
        first_token_s: Of the slowest request, None without any token.
        total_s: Of the scenario.
        recorded: Endings of all requests as recorded.
        wrong: What broke.
    """

    client: str
    attempts: str
    first_token_s: float | None
    recorded: str
    total_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


Scenario = Callable[[House], Story]


def body(tier: str, *, stream: bool = True, text: str = SHORT, **fields: Any) -> dict[str, Any]:
    """A chat body."""
    return {"model": tier, "stream": stream, "messages": [{"role": "user", "content": text}], **fields}


def told(record: dict[str, Any]) -> str:
    """A record's attempts in a line."""
    return " → ".join(f"{a['deployment_id']} {a['outcome']}" for a in record["attempts"])


def _one(house: House, reply: Reply, *wrong: str | None) -> Story:
    record = house.decision(reply.decision_id)
    got = f"answer of {record['deployment_id']}" if reply.done else f"{reply.status} {(reply.error or {}).get('code')}"
    return Story(got, told(record), reply.first_token_s, record["outcome"], wrong=[w for w in wrong if w])


def _several(faults: dict[str, str], tier: str, status: int) -> Scenario:
    def played(house: House) -> Story:
        for host, fault in faults.items():
            house.hosts[host].set_fault(fault)
        reply = ask(house, body(tier))
        limit = FIRST_TOKEN_S[tier] + 2 * LIMITS["cold_extra_s"] + SLACK_S
        return _one(
            house,
            reply,
            f"status {reply.status} instead of {status}" if reply.status != status else None,
            f"{reply.total_s:.1f} s" if reply.total_s > limit else None,
        )

    return played


def flapping(house: House) -> Story:
    """The Mini is half a second up and half a second down, for four seconds of lightweight traffic."""
    house.hosts["mini"].set_fault(f"flapping:period={0.5 * SCALE}")
    served: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    until = time.monotonic() + 4 * SCALE
    while time.monotonic() < until:
        reply = ask(house, body("lightweight"))
        record = house.decision(reply.decision_id)
        served[record["deployment_id"]] += 1
        ends[record["outcome"]] += 1
        slowest = max(slowest, reply.first_token_s or 0.0)
        if not reply.done and reply.error is None:
            wrong.append("a stream just stopped")
        if reply.status != 200:
            wrong.append(f"a request got {reply.status}")
        time.sleep(0.03)
    if not served["lightweight-mini"]:
        wrong.append("the Mini was never used between its falls")
    return Story(_counted(served), f"{sum(ends.values())} requests", slowest, _counted(ends), wrong=wrong)


def mini_off_half_and_half(house: House) -> Story:
    """Mini off, lightweight and coding requests in turn: all go to the model that is loaded."""
    house.hosts["mini"].set_fault("down")
    served: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    for number in range(20):
        reply = ask(house, body(SHORT_TIERS[number % 2]))
        record = house.decision(reply.decision_id)
        served[record["deployment_id"]] += 1
        ends[record["outcome"]] += 1
        slowest = max(slowest, reply.first_token_s or 0.0)
    swaps = house.hosts["macbook"].log().swaps
    if swaps:
        wrong.append(f"{swaps} swaps at the MacBook")
    if ends["answered"] != 20:
        wrong.append(f"{20 - ends['answered']} requests were not answered")
    return Story(f"{_counted(served)}; swaps: {swaps}", "20 requests", slowest, _counted(ends), wrong=wrong)


def _leaves(fault: str, *, after_first: bool) -> Scenario:
    def played(house: House) -> Story:
        house.hosts["cloud1"].set_fault(fault)
        before = _aborted(house)
        url = f"{house.base}/v1/chat/completions"
        with httpx.Client(trust_env=False, timeout=1.0 * SCALE) as http:
            try:
                with http.stream("POST", url, json=body("reasoning"), headers=PAST_CACHE) as answer:
                    if after_first:
                        next(answer.iter_lines())
                    else:
                        answer.read()
            except httpx.TimeoutException:
                pass  # the client has had enough
        wrong = []
        if not _until(lambda: _aborted(house) == before + 1):
            wrong.append("the attempt is not recorded as aborted")
        if not _until(lambda: house.hosts["cloud1"].log().on("/v1/chat/completions")[-1].disconnected):
            wrong.append("the connection to the host stayed open")
        return Story("nothing: it left", "reasoning-cloud aborted", None, "aborted", wrong=wrong)

    return played


def _aborted(house: House) -> float:
    words = 'autotier_attempts_total{deployment="reasoning-cloud",outcome="aborted"}'
    lines = house.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(words)), 0.0)


def asleep_in_the_middle(house: House) -> Story:
    """The Mini is put to sleep (SIGSTOP) while it answers: an error event now, the next request goes elsewhere."""
    mini = house.hosts["mini"]
    mini.set_fault("hang-mid-stream")
    got: list[Reply] = []
    asking = threading.Thread(target=lambda: got.append(ask(house, body("lightweight"))))
    asking.start()
    _until(lambda: any(request.tokens >= 3 for request in mini.log().on("/api/chat")))
    mini.pause()
    try:
        asking.join()
        following = ask(house, body("lightweight"))
    finally:
        mini.resume()
    wrong = [] if got[0].error is not None and not got[0].done else ["the stream of the sleeping host has no error"]
    if not following.done:
        wrong.append("the next request was not answered")
    elif following.headers["x-autotier-deployment"] == "lightweight-mini":
        wrong.append("the next request went to the sleeping host")
    outcome = house.decision(got[0].decision_id)["attempts"][0]["outcome"]
    if outcome != "token_timeout":
        wrong.append(f"the sleeping host's attempt ended with {outcome}")
    story = _one(house, got[0], *wrong)
    story.client += f"; the next: {following.headers['x-autotier-deployment']}"
    return story


def vanishes_after_an_answer(house: House) -> Story:
    """The Mini answers and is black-holed at once: its open connection looks alive, the attempt's limit ends it."""
    ask(house, body("lightweight"))
    house.hosts["mini"].set_fault("black-hole")
    reply = ask(house, body("lightweight"))
    late = reply.total_s > LIMITS["loaded_attempt_s"] + SLACK_S
    return _one(house, reply, f"{reply.total_s:.1f} s" if late else None, None if reply.done else "no answer")


def comes_back(house: House) -> Story:
    """The Mini is off and comes back: used again within seconds, and no user's request was the try."""
    mini = house.hosts["mini"]
    mini.set_fault("down")
    ask(house, body("lightweight"))
    mini.set_fault("none")
    started = time.monotonic()
    back = _until(lambda: not [h for h in house.get("/readyz").json()["held"] if not h.startswith("deployment:rea")])
    took = time.monotonic() - started
    asked_before = chats(house)["mini"]
    reply = ask(house, body("lightweight"))
    record = house.decision(reply.decision_id)
    return _one(
        house,
        reply,
        None if back else "still held after five seconds",
        f"a user's request was the try ({asked_before})" if asked_before else None,
        f"the next request went elsewhere: {told(record)}" if len(record["attempts"]) > 1 else None,
        f"{took:.1f} s until it was used" if took > 2 + SLACK_S else None,
    )


def _until(true: Callable[[], bool], limit_s: float = 5.0 * SCALE) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.03)
    return False


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


IN_THE_MATRIX: dict[str, Scenario] = {
    "both Macs refused, lightweight": _several({"mini": "down", "macbook": "down"}, "lightweight", 200),
    "both Macs black-holed, lightweight": _several({"mini": "black-hole", "macbook": "black-hole"}, "lightweight", 200),
    "both Macs hang, coding": _several({"mini": "hang", "macbook": "hang"}, "coding", 200),
    "Mini hangs, MacBook 500, cloud 429": _several(
        {"mini": "hang", "macbook": "500", "cloud1": "429:retry_after=1"}, "lightweight", 503
    ),
    "every host refused, coding": _several(dict.fromkeys(HOSTS, "down"), "coding", 503),
    "both clouds refused, reasoning": _several({"cloud1": "down", "cloud2": "down"}, "reasoning", 503),
    "both clouds 500, reasoning": _several({"cloud1": "500", "cloud2": "500"}, "reasoning", 503),
    "Mini flapping": flapping,
    "Mini off, traffic half light, half coding": mini_off_half_and_half,
    "client leaves before the first token": _leaves("headers-then-hang", after_first=False),
    "client leaves mid-stream": _leaves("hang-mid-stream", after_first=True),
    "Mini asleep in the middle of an answer": asleep_in_the_middle,
    "Mini off and back": comes_back,
    "Mini black-holed right after an answer": vanishes_after_an_answer,
}

# A house of its own: slow tokens at the Mini, room for both models at the MacBook, everything optional switched on.

SPECIAL_CAP_S = 2.0 * SCALE
HEDGE_MS = round(250 * SCALE)
SPECIAL_HOSTS = {
    **HOSTS,
    "mini": replace(HOSTS["mini"], token_ms=round(60 * SCALE), answer_tokens=60),
    "macbook": replace(
        HOSTS["macbook"], models=("qwen3-coder:30b", "qwen3:8b"), loaded=("qwen3-coder:30b@8192", "qwen3:8b@8192"),
        memory_gb=64,
    ),
}  # fmt: skip


def special(document: dict[str, Any]) -> None:
    """Hedging and continuing on, a short cap, the 8B kept warm at the MacBook."""
    shortened(document)
    document["limits"] |= {"answer_cap_s": SPECIAL_CAP_S, "hedge_after_ms": HEDGE_MS}
    document["upstream"]["on_stream_death"] = "continue"
    document["hosts"]["macbook"]["memory_gb"] = 64
    document["tiers"]["lightweight"]["deployments"][1]["keep_warm"] = True


def longer_than_the_cap(house: House) -> Story:
    """The Mini takes 3.6 s for an answer, the cap is 2 s."""
    reply = ask(house, body("lightweight"))
    story = _one(house, reply, None if reply.error is not None and not reply.done else "no error event at the cap")
    if reply.total_s > SPECIAL_CAP_S + SLACK_S:
        story.wrong.append(f"{reply.total_s:.1f} s")
    return story


def busy_host_is_not_waited_for(house: House) -> Story:
    """While the Mini generates (one slot), the next request goes to the MacBook at once."""
    long = threading.Thread(target=ask, args=(house, body("lightweight")))
    long.start()
    _until(lambda: bool(house.hosts["mini"].log().on("/api/chat")))
    reply = ask(house, body("lightweight"))
    long.join()
    served = reply.headers.get("x-autotier-deployment")
    queued = chats(house)["mini"] > 1
    return _one(
        house,
        reply,
        None if served == "lightweight-macbook" else f"{served} served",
        "the request queued at the busy host" if queued else None,
    )


def hedged(house: House) -> Story:
    """The Mini is late with its first token: the MacBook, which holds the same model, is asked beside it and wins."""
    house.hosts["mini"].set_fault(f"slow-first-token:s={0.9 * SCALE}")
    reply = ask(house, body("lightweight"))
    attempts = house.decision(reply.decision_id)["attempts"]
    ends = [(a["deployment_id"], a["outcome"]) for a in attempts]
    expected = [("lightweight-mini", "aborted"), ("lightweight-macbook", "answered")]
    gone = _until(lambda: house.hosts["mini"].log().on("/api/chat")[-1].disconnected)
    gone = gone and house.hosts["mini"].log().on("/api/chat")[-1].tokens == 0
    return _one(
        house,
        reply,
        None if ends == expected else f"recorded are {ends}",
        None if "cancelled" in attempts[0]["detail"] else "the loser is not called one",
        None if gone else "the loser went on",
    )


def private_is_not_hedged(house: House) -> Story:
    """A request with a card number stays with one host at a time."""
    house.hosts["mini"].set_fault(f"slow-first-token:s={0.9 * SCALE}")
    reply = ask(house, body("lightweight", text="Is 4111 1111 1111 1111 a card number?"))
    asked = chats(house)
    return _one(house, reply, "a second host was asked" if asked["macbook"] else None)


def continued(house: House) -> Story:
    """The Mini's stream dies after three tokens: the MacBook goes on from there, and stream and record say so."""
    house.hosts["mini"].set_fault("cut")
    reply = ask(house, body("lightweight"))
    record = house.decision(reply.decision_id)
    sent = house.hosts["macbook"].log().on("/api/chat")
    last = sent[-1].body["messages"][-1] if sent else {}
    return _one(
        house,
        reply,
        None if reply.continued_by == ["lightweight-macbook"] else f"the stream says {reply.continued_by}",
        None if last.get("role") == "assistant" and reply.text.startswith(last["content"]) else "no prefix sent",
        None if record["deployment_id"] == "lightweight-macbook" else f"recorded is {record['deployment_id']}",
        None if any("continues after" in n for n in record["decision"]["order_notes"]) else "not in the record",
    )


def kept_warm(house: House) -> Story:
    """The MacBook has lost its 8B: the prober loads it again, with the context that requests use, unasked."""
    macbook = house.hosts["macbook"]
    httpx.post(f"{macbook.address}/api/generate", json={"model": "qwen3:8b", "keep_alive": 0}, trust_env=False)
    loaded = _until(lambda: "qwen3:8b" in macbook.log().loaded)
    asked = [r.body for r in macbook.log().on("/api/generate") if r.body.get("keep_alive") != 0]
    context = json.dumps(asked[-1]["options"]) if asked else "none"
    wrong = [] if loaded and context == '{"num_ctx": 8192}' else [f"loaded {loaded}, options {context}"]
    return Story("nobody asked", "none: no request", None, "nothing", wrong=wrong)


IN_A_HOUSE_OF_ITS_OWN: dict[str, Scenario] = {
    "an answer longer than the cap": longer_than_the_cap,
    "Mini busy with a long answer": busy_host_is_not_waited_for,
    "first token hedged": hedged,
    "a private request is not hedged": private_is_not_hedged,
    "on_stream_death: continue": continued,
    "kept warm": kept_warm,
}


def tell(house: House, scenario: Scenario) -> Story:
    """Plays a scenario from a fresh state."""
    house.reset()
    started = time.monotonic()
    story = scenario(house)
    story.total_s = time.monotonic() - started
    return story
