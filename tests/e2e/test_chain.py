"""The chain as a client sees it: hosts that are off, hang, lie or fill up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.house import House

EASY = "What is a closure in JavaScript?"
CODE = "Refactor this Express middleware to use async/await"
HARD = "Design a microservice architecture for a real-time collaboration system"


def shown(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, deployment and attempts of an answer."""
    return (
        answer.status_code,
        answer.headers.get("x-autotier-deployment", "-"),
        answer.headers["x-autotier-attempts"],
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["down", "black-hole", "500", "empty-200", "garbage", "wrong-model"])
def test_without_the_mini_the_loaded_coder_answers(house: House, fault: str, stream: bool) -> None:
    """A lightweight answer comes from the MacBook's loaded model, and headers and record say so."""
    house.hosts["mini"].set_fault(fault)

    answer = house.ask(EASY, stream=stream)

    record = house.decision(answer.headers["x-autotier-decision"])
    assert answer.status_code == 200
    assert answer.headers["x-autotier-tier"] == "lightweight"
    assert record["deployment_id"] != "lightweight-mini"
    assert record["attempts"][0]["deployment_id"] == "lightweight-mini"
    assert record["attempts"][0]["outcome"] != "answered"
    assert record["attempts"][-1]["outcome"] == "answered"
    assert int(answer.headers["x-autotier-attempts"]) == len(record["attempts"])


@pytest.mark.parametrize("fault", ["black-hole", "hang"])
def test_a_mini_that_falls_asleep_after_an_answer_is_noticed_without_its_whole_limit(house: House, fault: str) -> None:
    """Its pooled connection is silent: the host is looked at once more, and the attempt ends as a lost connection."""
    first = house.ask(EASY, headers={"x-autotier-cache": "bypass"})
    house.hosts["mini"].set_fault(fault)

    second = house.ask(EASY, headers={"x-autotier-cache": "bypass"})

    attempts = house.decision(second.headers["x-autotier-decision"])["attempts"]
    assert first.headers["x-autotier-deployment"] == "lightweight-mini"
    assert second.status_code == 200
    assert attempts[0]["deployment_id"] == "lightweight-mini"
    assert attempts[0]["outcome"] in ("connect", "preflight_failed")


def test_with_the_mini_refused_no_model_is_swapped(house: House) -> None:
    """The MacBook keeps its coder: the request goes to what is loaded."""
    house.hosts["mini"].set_fault("down")

    answer = house.ask(EASY)

    assert shown(answer) == (200, "coding-local", "2")
    assert house.hosts["macbook"].log().swaps == 0


def test_both_clouds_down_is_a_503_that_names_both(house: House) -> None:
    """A reasoning request never comes home: no local host hears of it."""
    for cloud in ("cloud1", "cloud2"):
        house.hosts[cloud].set_fault("down")

    answer = house.ask(HARD)

    error = answer.json()["error"]
    assert answer.status_code == 503
    assert [a["deployment"] for a in error["attempts"]] == ["reasoning-cloud", "reasoning-cloud-2"]
    assert all(name in error["message"] for name in ("reasoning-cloud", "reasoning-cloud-2"))
    assert all(not house.hosts[mac].log().on("/api/chat") for mac in ("mini", "macbook"))
    assert house.decision(answer.headers["x-autotier-decision"])["outcome"] == "failed"


def test_a_long_prompt_goes_where_it_fits(house: House) -> None:
    """20,000 tokens keep their tier and skip what holds 8,192."""
    answer = house.ask("Summarise in two lines: " + "the quick brown fox jumps over it " * 3_000)

    record = house.decision(answer.headers["x-autotier-decision"])
    assert answer.status_code == 200
    assert record["deployment_id"].endswith("cloud")
    assert {r["constraint"] for r in record["decision"]["removed"]} == {"context"}
    assert record["prompt_tokens"] > 15_000


def test_a_stream_that_dies_ends_with_an_error_event(house: House) -> None:
    """After the first token: an SSE error event, no [DONE], and the record says cut."""
    for name in ("cloud1", "cloud2"):
        house.hosts[name].set_fault("cut")

    answer = house.ask(HARD, stream=True)

    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    last = json.loads(lines[-1][6:])
    assert answer.status_code == 200
    assert "error" in last
    assert "[DONE]" not in answer.text
    assert house.decision(answer.headers["x-autotier-decision"])["outcome"] == "cut"


def test_an_answer_that_dies_unseen_is_a_failed_attempt(house: House) -> None:
    """Without a stream the client has seen nothing, and the chain goes on."""
    house.hosts["cloud1"].set_fault("cut")

    answer = house.ask(HARD)

    assert shown(answer) == (200, "reasoning-cloud-2", "2")


def test_a_client_that_leaves_closes_the_upstream(house: House) -> None:
    """The host sees the disconnect, and the attempt is recorded as aborted."""
    house.hosts["cloud1"].set_fault("hang-mid-stream")

    body = {"model": "reasoning", "stream": True, "messages": [{"role": "user", "content": HARD}]}
    with (
        httpx.Client(trust_env=False) as http,
        http.stream("POST", f"{house.base}/v1/chat/completions", json=body) as answer,
    ):
        next(answer.iter_lines())
        decision_id = answer.headers["x-autotier-decision"]

    record = house.decision(decision_id)
    assert record["outcome"] == "aborted"
    assert record["attempts"][0]["outcome"] == "aborted"
    assert until(lambda: house.hosts["cloud1"].log().on("/v1/chat/completions")[-1].disconnected)


def until(true: Callable[[], Any], limit_s: float = 5.0) -> bool:
    """Whether ``true()`` becomes true within the limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_a_refused_key_is_the_operators_fault(house: House) -> None:
    """401 moves on, and the log names the deployment."""
    house.hosts["cloud1"].set_fault("401")

    answer = house.ask(HARD)

    assert shown(answer) == (200, "reasoning-cloud-2", "2")
    assert until(lambda: "refused our key" in house.log())


def test_a_bad_request_is_not_tried_again_on_the_next_cloud(house: House) -> None:
    """What one cloud calls the client's fault is not paid for at the next."""
    house.hosts["cloud1"].set_fault("400")

    answer = house.ask(HARD)

    assert answer.status_code == 400
    assert answer.headers["x-autotier-attempts"] == "1"
    assert not house.hosts["cloud2"].log().on("/v1/chat/completions")


def test_what_ollama_gets(house: House) -> None:
    """Options arrive in the form that works, and nothing that we did not say."""
    house.ask(CODE, temperature=0.2, seed=7, stop=["END"], max_tokens=50, frequency_penalty=0, user="me")

    sent = house.hosts["macbook"].log().on("/api/chat")[-1].body
    assert sent["model"] == "qwen3-coder:30b"
    assert sent["truncate"] is False
    assert sent["options"]["num_ctx"] == 8192
    assert sent["options"]["temperature"] == 0.2
    assert sent["options"]["seed"] == 7
    assert sent["options"]["num_predict"] == 50
    assert sent["options"]["stop"] == ["END"]
    assert not {"repeat_penalty", "frequency_penalty", "presence_penalty"} & set(sent["options"])
