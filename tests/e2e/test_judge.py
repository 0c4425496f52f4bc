"""The third stage in a running service, with simulated hosts that go by length alone when they are asked for a tier."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.api.judging import ASKER
from service.cli.evaluate import command
from service.decisions.records import DecisionFilter, DecisionRecord
from service.decisions.store import DecisionStore
from tests.house import House

NUMBERS = itertools.count()
SIZES = {"lightweight": 20, "coding": 100, "reasoning": 300}
"""Characters by which the simulated judge goes."""
SECRET = "ghp_" + "a1B2" * 9


def with_judge(document: dict[str, Any], **judge: Any) -> None:
    """It is asked about everything, and its word decides."""
    settings = {"deployment": "coding-local", "bound": 0.0, "deadline_ms": 10_000, "accuracy": 0.99}
    document["classifier"] = {"judge": {**settings, **judge}}
    document["limits"] = {"host_status_remember_s": 0.3, "cooldown_s": 2.0, "remember_failed_s": 2.0}


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    """The demo's house with the MacBook's coder as judge."""
    with House(change=with_judge) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    """The house with its hosts as at their start, and its configuration with them."""
    running.reset()
    return running


def easy(text: str = "") -> str:
    """A request that is easy by its words and, for the simulated judge, hard by its length; another one each time."""
    return f"What is the capital of country number {next(NUMBERS)}? {text}" + " Thank you very much." * 12


def judged(house: House) -> dict[str, float]:
    """What came of questions so far, by result."""
    found = {}
    for line in house.get("/metrics").text.splitlines():
        if line.startswith("autotier_judge_total{"):
            name, value = line.removeprefix('autotier_judge_total{result="').split('"} ')
            found[name] = float(value)
    return found


def more(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What has been counted between two looks."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


def questions(house: House) -> list[dict[str, Any]]:
    """What the MacBook was asked as a judge."""
    return [r.body for r in asked(house) if r.body["messages"][0]["content"].startswith("You sort requests")]


def asked(house: House) -> list[Any]:
    """All chat requests that the MacBook got."""
    return list(house.hosts["macbook"].log().on("/api/chat"))


def newest_question(house: House, since_s: float) -> DecisionRecord:
    """The record of the newest question."""
    store = DecisionStore.open(f"sqlite:///{house.folder / 'demo.sqlite3'}", read_only=True)
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            found = store.recent(DecisionFilter(caller=ASKER, since_s=since_s, limit=1))
            if found:
                return found[0]
            time.sleep(0.05)
    finally:
        store.close()
    raise AssertionError("no question was recorded")


def test_the_judges_word_decides_where_the_classifier_is_unsure(house: House) -> None:
    """Tier, stage, feature and probability say so; the question has a record of its own, apart from the answer's."""
    before, since_s = judged(house), time.time()

    answer = house.ask(easy())

    record = house.decision(answer.headers["x-autotier-decision"])
    assert answer.status_code == 200
    assert (record["tier"], record["reason"]) == ("reasoning", "classifier")
    assert record["decision"]["stage"] == 3
    assert record["decision"]["features"][0]["name"] == "the judge says reasoning"
    assert float(answer.headers["x-autotier-confidence"]) == pytest.approx(
        record["decision"]["probabilities"]["reasoning"], abs=0.001
    )
    assert [a["deployment_id"] for a in record["attempts"]] == ["reasoning-cloud"]
    assert more(before, judged(house)) == {"changed": 1}
    (question,) = questions(house)
    assert question["think"] is False
    assert question["options"]["temperature"] == 0
    asked_record = newest_question(house, since_s)
    assert (asked_record.surface, asked_record.outcome, asked_record.deployment_id) == (
        "judge", "answered", "coding-local",
    )  # fmt: skip
    assert [a.outcome for a in asked_record.attempts] == ["answered"]
    assert (asked_record.tier, asked_record.features, asked_record.messages) == (None, None, None)


def test_a_dry_run_asks_too(house: House) -> None:
    """It says what a request would get."""
    body = {"model": "auto", "messages": [{"role": "user", "content": easy()}]}

    said = house.post("/v1/route", body).json()

    assert (said["tier"], said["stage"]) == ("reasoning", 3)
    assert "the judge says reasoning" in [f["name"] for f in said["features"]]
    assert len(questions(house)) == 1


def test_an_override_is_not_asked_about(house: House) -> None:
    """The client's word needs no other."""
    before = judged(house)

    answer = house.ask(easy(), model="lightweight")

    assert answer.headers["x-autotier-tier"] == "lightweight"
    assert judged(house) == before
    assert questions(house) == []


def test_a_private_request_is_asked_about_in_the_house(house: House) -> None:
    """No cloud hears of it, neither for the question nor for the answer."""
    answer = house.ask(easy(f"My token is {SECRET}."))

    record = house.decision(answer.headers["x-autotier-decision"])
    assert (answer.status_code, record["decision"]["stage"]) == (200, 3)
    assert record["reason"] == "privacy"
    (question,) = questions(house)
    assert SECRET in question["messages"][1]["content"]
    assert all(not house.hosts[cloud].log().requests for cloud in ("cloud1", "cloud2"))


@pytest.mark.parametrize(
    ("fault", "results"),
    [
        ("down", {"preflight_failed", "connect", "remembered_down"}),  # the prober may have seen it first
        ("500", {"server_error"}),
        ("garbage:scope=answers", {"garbage"}),
        ("empty-200", {"empty"}),
        ("wrong-model", {"wrong_model"}),
        ("cut", {"cut"}),
    ],
)
def test_a_judge_that_fails_leaves_the_classifiers_word(house: House, fault: str, results: set[str]) -> None:
    """Counted by what it was; while it rests the next request is not held up by it; nobody's request fails."""
    before = judged(house)
    house.hosts["macbook"].set_fault(fault)

    first, second = house.ask(easy()), house.ask(easy())

    counted = more(before, judged(house))
    assert [a.status_code for a in (first, second)] == [200, 200]
    assert [house.decision(a.headers["x-autotier-decision"])["decision"]["stage"] for a in (first, second)] != [3, 3]
    assert sum(counted.values()) == 2
    assert set(counted) & results
    assert set(counted) - results <= {"cooling_down", "remembered_down"}


def test_a_judge_whose_model_would_have_to_load_is_not_asked(house: House) -> None:
    """No model is put out of memory for a question."""
    reloaded(house, deployment="lightweight-macbook")
    try:
        before = judged(house)

        answer = house.ask(easy())

        assert answer.status_code == 200
        assert more(before, judged(house)) == {"no_free_slot": 1}
        assert house.hosts["macbook"].log().swaps == 0
        assert "qwen3-coder:30b" in house.hosts["macbook"].log().loaded[0]
    finally:
        reloaded(house)


def test_a_judge_that_hangs_is_left_at_its_deadline(house: House) -> None:
    """The attempt is recorded as given up, the host sees the connection closed, and the deployment does not rest."""
    reloaded(house, deadline_ms=400)
    try:
        before, since_s = judged(house), time.time()
        house.hosts["macbook"].set_fault("hang:scope=answers")

        answer = house.ask(easy())

        assert answer.status_code == 200
        assert house.decision(answer.headers["x-autotier-decision"])["decision"]["stage"] in (1, 2)
        assert more(before, judged(house)) == {"late": 1}
        record = newest_question(house, since_s)
        assert (record.outcome, record.status) == ("failed", 504)
        assert [(a.outcome, a.detail) for a in record.attempts] == [("aborted", "no word within 400 ms")]
        assert not house.get("/readyz").json()["held"]
        deadline = time.monotonic() + 5
        while not asked(house)[-1].disconnected and time.monotonic() < deadline:
            time.sleep(0.05)
        assert asked(house)[-1].disconnected
    finally:
        reloaded(house)


def test_a_sure_request_is_not_asked_about(house: House) -> None:
    """Below the bound the classifier's word is enough, and switched off nobody is asked."""
    reloaded(house, bound=0.9)
    try:
        assert house.ask(easy()).status_code == 200
        house.change(lambda document: document.update(classifier={"judge": None}))
        assert house.post("/v1/admin/reload").status_code == 200
        assert house.ask(easy()).status_code == 200
    finally:
        reloaded(house)

    assert questions(house) == []


def test_a_judge_outside_is_refused_at_the_start() -> None:
    """One line with key and fix: it would read what must stay in the house."""

    def outside(document: dict[str, Any]) -> None:
        with_judge(document, deployment="reasoning-cloud")

    said = r"classifier\.judge\.deployment: 'reasoning-cloud' is not local.*write one of: coding-local"
    with pytest.raises(RuntimeError, match=said), House(change=outside):
        raise AssertionError("it started")


def reloaded(house: House, **judge: Any) -> None:
    """The house with another judge."""
    house.change(lambda document: with_judge(document, **judge))
    assert house.post("/v1/admin/reload").status_code == 200


def test_what_the_judge_is_worth_is_measured(house: House, tmp_path: Path) -> None:
    """On labelled rows, through the chain, beside the stages before it; it suggests how far to trust it."""
    requests = [(f"{tier}-{i}", tier, "x" * size + f" {i}") for tier, size in SIZES.items() for i in range(4)]
    lines = [json.dumps({"id": ident, "tier": tier, "prompt": text}) for ident, tier, text in requests]
    (tmp_path / "frozen.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))

    said = _evaluated(house.file, "9", tmp_path)

    assert said.exit_code == 0, said.output
    assert "judge coding-local (qwen3-coder:30b), 9 of 12 frozen rows" in said.output
    assert "right on 100.0% of 9, no tier named on 0" in said.output
    assert "asked for 100.0% of the frozen rows" in said.output
    assert "with it, as in operation" in said.output
    assert "suggested: accuracy: 0.83" in said.output
    assert len(questions(house)) == 10


def test_a_judge_that_does_not_answer_is_no_measurement(house: House, tmp_path: Path) -> None:
    """One line that says why; nothing is made up of the rows before."""
    (tmp_path / "frozen.jsonl.gz").write_bytes(gzip.compress(b'{"id": "a", "tier": "coding", "prompt": "x"}'))
    house.hosts["macbook"].set_fault("down")

    said = _evaluated(house.file, "3", tmp_path)

    assert said.exit_code == 1
    assert "coding-local does not answer" in said.output


def _evaluated(file: Path, number: str, data: Path) -> Result:
    return CliRunner().invoke(command, ["--judge", number, "-c", str(file), "--data", str(data)])
