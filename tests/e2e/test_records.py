"""What a request leaves behind, and what can be said of it afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from classifier.features import SCHEMA
from service.decisions.features import kept_row
from service.decisions.records import DecisionRecord
from service.decisions.store import DecisionStore
from tests.house import House

HARD = "Analyze the trade-offs between event sourcing and CQRS for an e-commerce system"


def test_a_record_says_it_all(house: House) -> None:
    """Tier, reason, attempts with times, tokens, cost, what was left out."""
    answer = house.ask(HARD, user="me")

    record = house.decision(answer.headers["x-autotier-decision"])
    assert (record["tier"], record["reason"], record["outcome"], record["status"]) == (
        "reasoning", "classifier", "answered", 200,
    )  # fmt: skip
    assert record["cost_usd"] > 0
    assert record["completion_tokens"] == answer.json()["usage"]["completion_tokens"]
    attempt = record["attempts"][0]
    assert attempt["outcome"] == "answered"
    assert 0 < attempt["first_token_ms"] <= attempt["total_ms"]
    assert set(record["decision"]["probabilities"]) == {"lightweight", "coding", "reasoning"}
    assert record["messages"] is None


def test_feedback_is_kept_and_belongs_to_a_decision(house: House) -> None:
    """Feedback is there after its 200; an unknown decision and an empty feedback are refused."""
    decision = house.ask("What is a mutex?").headers["x-autotier-decision"]
    house.decision(decision)

    said = house.post("/v1/feedback", {"decision_id": decision, "correct_tier": "coding", "solved": False})
    unknown = house.post("/v1/feedback", {"decision_id": "dec_" + "0" * 32, "solved": True})
    empty = house.post("/v1/feedback", {"decision_id": decision})

    assert said.status_code == 200
    kept = house.decision(decision)["feedback"]
    assert [(f["correct_tier"], f["solved"]) for f in kept] == [("coding", False)]
    assert (unknown.status_code, empty.status_code) == (404, 400)
    assert empty.json()["error"]["type"] == "invalid_request_error"


def test_feedback_that_is_not_sent_as_json_is_told_how(house: House) -> None:
    """The body may be right: what is wrong is its type, and curl's default is none that helps."""
    body = f'{{"decision_id": "dec_{"0" * 32}", "solved": true}}'
    answers = [
        httpx.post(f"{house.base}/v1/feedback", content=body, headers=headers, trust_env=False, timeout=30)
        for headers in ({"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"})
    ]

    assert [answer.status_code for answer in answers] == [400, 400]
    said = [answer.json()["error"]["message"] for answer in answers]
    assert said[0] == "the body is read with content-type: application/json; it came as text/plain"
    assert "x-www-form-urlencoded" in said[1]


@pytest.mark.parametrize(
    ("method", "path", "param"),
    [
        ("POST", "/v1/feedback?decision=1", "decision"),
        ("POST", "/v1/route?tier=coding", "tier"),
        ("POST", "/v1/admin/reload?force=1", "force"),
        ("GET", "/v1/admin/savings?day=7", "day"),
        ("GET", f"/v1/decisions/dec_{'0' * 32}?full=1", "full"),
    ],
)
def test_a_query_key_that_nobody_reads_is_refused_by_name(house: House, method: str, path: str, param: str) -> None:
    """As an unknown field of a body is."""
    answer = httpx.request(method, f"{house.base}{path}", json={} if method == "POST" else None, trust_env=False)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert "there is no such query key" in answer.json()["error"]["message"]


def test_openai_s_routes_ignore_query_keys_as_openai_does(house: House) -> None:
    """Some clients send api-version with every request; what a route of ours reads is no mistake."""
    body = {"model": "lightweight", "messages": [{"role": "user", "content": "Say hello"}]}

    answers = [
        house.post("/v1/chat/completions?api-version=2024-10-21", body),
        house.get("/v1/models?api-version=2024-10-21"),
        house.get("/v1/admin/savings?days=7"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/route", 405, "; use POST"),
        ("POST", "/chat/completions", 404, "did you mean /v1/chat/completions?"),
        ("POST", "/v1/chat/completion", 404, "did you mean /v1/chat/completions?"),
        ("POST", "/api/generate", 404, "there are /healthz, /metrics, /readyz, /v1/chat/completions, /v1/decisions/"),
    ],
)
def test_a_path_that_is_none_is_told_which_are(house: House, method: str, path: str, status: int, said: str) -> None:
    """The usual mistake is a base address without /v1."""
    answer = httpx.request(method, f"{house.base}{path}", trust_env=False, timeout=30)

    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def test_a_rejected_answer_escalates_its_conversation(house: House) -> None:
    """Solved: false on the last decision sends the next turn one tier up."""
    turns = [{"role": "user", "content": "What is a monad, in one line?"}]
    first = house.post("/v1/chat/completions", {"model": "auto", "messages": turns})
    decision = first.headers["x-autotier-decision"]
    house.decision(decision)
    house.post("/v1/feedback", {"decision_id": decision, "solved": False})
    turns += [first.json()["choices"][0]["message"], {"role": "user", "content": "no, try again"}]

    second = house.post("/v1/chat/completions", {"model": "auto", "messages": turns})

    order = ["lightweight", "coding", "reasoning"]
    assert second.headers["x-autotier-reason"] == "conversation"
    assert order.index(second.headers["x-autotier-tier"]) == order.index(first.headers["x-autotier-tier"]) + 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_follow_up_keeps_its_tier_after_a_restart(stream: bool) -> None:
    """The hold comes from the store, not from the history."""
    with House() as house:
        first = house.ask(HARD, stream=stream)
        text = (
            first.json()["choices"][0]["message"]["content"]
            if not stream
            else "".join(
                json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
                for line in first.text.splitlines()
                if line.startswith("data: {")
            )
        )
        house.decision(first.headers["x-autotier-decision"])
        house.stop()
        house.start()
        turns = [
            {"role": "user", "content": HARD},
            {"role": "assistant", "content": text},
            {"role": "user", "content": "yes, go on"},
        ]

        second = house.post("/v1/chat/completions", {"model": "auto", "messages": turns})

        record = house.decision(second.headers["x-autotier-decision"])
    assert (second.headers["x-autotier-tier"], second.headers["x-autotier-reason"]) == ("reasoning", "conversation")
    assert record["decision"]["recomputed"] is False


def test_the_dry_run_sends_and_records_nothing(house: House) -> None:
    """POST /v1/route answers what would happen."""
    answer = house.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": HARD}]})

    body = answer.json()
    assert body["tier"] == "reasoning"
    assert body["model_group"] == "reasoning-tier"
    assert body["deployments"] == ["reasoning-cloud", "reasoning-cloud-2"]
    assert not house.hosts["cloud1"].log().on("/v1/chat/completions")


def test_metrics_count_requests_and_attempts(house: House) -> None:
    """Prometheus sees what happened."""
    house.ask("What is a mutex?")

    text = house.get("/metrics").text

    assert 'autotier_requests_total{outcome="answered"' in text
    assert 'autotier_attempts_total{deployment="lightweight-mini",outcome="answered"}' in text


def test_the_log_command_reads_the_store(house: House) -> None:
    """autotier log shows the newest decisions of the running service."""
    decision = house.ask("What is a mutex?").headers["x-autotier-decision"]
    house.decision(decision)

    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "log", "-c", str(house.file), "--json", "-n", "5"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert decision in [json.loads(line)["id"] for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_shell_script_writes_a_commit_message(house: House, tmp_path: Path) -> None:
    """curl and a shell are enough of a client: the README's script, on a real diff."""
    script = Path(__file__).parents[2] / "configs" / "commit-message.sh"
    repository = tmp_path / "repository"
    repository.mkdir()
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    (repository / "a.py").write_text("def f():\n    return 1\n")
    subprocess.run([*git, "add", "a.py"], check=True)

    done = subprocess.run(
        ["bash", str(script)], cwd=repository, capture_output=True, text=True, timeout=60,
        env={**os.environ, "AUTOTIER_BASE": house.base, "no_proxy": "127.0.0.1"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "simulated" in done.stdout


def written(store: DecisionStore, decision_id: str) -> DecisionRecord:
    """A decision once its batch is written, which may be behind the moment from which the service tells it."""
    deadline = time.monotonic() + 10
    while (found := store.get(decision_id)) is None:
        assert time.monotonic() < deadline, "no record behind the answer"
        time.sleep(0.05)
    return found


def test_a_record_keeps_what_retraining_needs(house: House) -> None:
    """Features with their schema, the second stage's log-odds, language, and the conversation's threads; no text."""
    headers = {"x-autotier-conversation": "threads"}
    first = house.ask(f"{HARD}. I am not sure how the orders and the payments belong together", headers=headers)
    house.decision(first.headers["x-autotier-decision"])
    second = house.ask("and now the same for the payments of the shop", headers=headers)
    house.decision(second.headers["x-autotier-decision"])

    store = DecisionStore.open(f"sqlite:///{house.folder / 'demo.sqlite3'}", read_only=True)
    before, after = (written(store, answer.headers["x-autotier-decision"]) for answer in (first, second))
    store.close()

    kept = kept_row(before.features)
    assert kept is not None
    assert (kept.schema, kept.language, kept.row.indices.size) == (SCHEMA, "en", kept.row.values.size)
    assert (kept.second is None) == (before.decision["stage"] == 1)
    assert (kept.first is None) == (kept.second is None)
    assert before.decision["follows"] is None
    assert after.decision["follows"] == before.id
    assert after.decision["unit"] == before.decision["unit"]
    assert (before.messages, after.messages) == (None, None)
