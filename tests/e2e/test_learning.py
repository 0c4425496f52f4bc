"""What a service learns behind its answers: conclusions, a challenger in the shadow, a canary, and forgetting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from classifier import Tier
from service.cli.experiment import command as experiment
from service.cli.log import command as log
from tests.artifacts import leaning
from tests.house import House
from tests.servers import empty_database, postgresql_server

ASK = "Give three words that rhyme with harbour"
OTHER = "What is a mutex?"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that concludes quickly, with a challenger that always says reasoning, in the shadow and as canary."""
    challenger = leaning(tmp_path_factory.mktemp("artifacts") / "next", Tier.REASONING)

    def quick(document: dict[str, Any]) -> None:
        document["classifier"] = {"stages": 1, "shadow": str(challenger)}
        document["learning"] = {"settle_s": 0.5, "every_s": 0.3, "ended_after_s": 3}
        arms = [
            {"name": "champion", "share": 0.5, "kind": "routed"},
            {"name": "next", "share": 0.5, "kind": "artifact", "artifact": str(challenger)},
        ]
        document["experiments"] = [{"name": "canary", "arms": arms}]

    if request.param == "sqlite":
        with House(change=quick) as house:
            yield house
        return
    with postgresql_server() as server, empty_database(server) as url:

        def shared(document: dict[str, Any]) -> None:
            quick(document)
            document["store"]["url"] = url

        with House(change=shared) as house:
            yield house


@pytest.fixture
def run(house: House) -> Callable[..., Result]:
    """Runs `autotier log` with the house's configuration."""

    def run(*arguments: str) -> Result:
        found = CliRunner().invoke(log, ["-c", str(house.file), *arguments])
        assert found.exit_code == 0, found.output
        return found

    return run


def until(true: Callable[[], Any]) -> Any:
    """What comes about behind the answers."""
    deadline = time.monotonic() + 30
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def another(tier: str) -> str:
    """A tier that a request did not get."""
    return "coding" if tier == "reasoning" else "reasoning"


def sources(house: House, decision: str) -> dict[str, str]:
    """What was concluded or said about a decision: tier by source."""
    return {said["source"]: said["correct_tier"] for said in house.decision(decision)["feedback"]}


def test_an_override_that_repeats_becomes_a_label(house: House, run: Callable[..., Result]) -> None:
    """The chosen tier is written beside the first decision, and a label for training comes of it."""
    first = house.ask(ASK)
    named = another(first.headers["x-autotier-tier"])
    house.ask(ASK, model=named)

    assert until(lambda: sources(house, first.headers["x-autotier-decision"])) == {"override": named}

    found = json.loads(run("labels", "--json").output)
    assert found["by_source"]["override"] == {"labels": 1, "weight": 0.7}
    assert "autotier_learning_concluded_override_total 1.0" in house.get("/metrics").text


def test_what_is_said_beats_what_is_concluded(house: House, run: Callable[..., Result]) -> None:
    """The correction counts; the conclusion is shown as overruled."""
    asked = house.ask("Name a fish that swims upstream").headers
    first = asked["x-autotier-decision"]
    house.ask("Name a fish that swims upstream", model=another(asked["x-autotier-tier"]))
    until(lambda: sources(house, first))
    before = json.loads(run("labels", "--json").output)

    house.post("/v1/feedback", {"decision_id": first, "correct_tier": asked["x-autotier-tier"]})

    after = json.loads(run("labels", "--json").output)
    assert (after["labels"], after["overruled"]) == (before["labels"], before["overruled"] + 1)
    assert after["by_source"]["caller"] == {"labels": 1, "weight": 1.0}


def test_a_regeneration_and_the_end_of_a_conversation(house: House) -> None:
    """The same messages again in a conversation: one tier up for the first; silence confirms the last."""
    headers = {"x-autotier-conversation": "rhymes"}
    first = house.ask(OTHER, headers=headers)
    house.decision(first.headers["x-autotier-decision"])
    second = house.ask(OTHER, headers=headers)
    tiers = [answer.headers["x-autotier-tier"] for answer in (first, second)]
    third = house.ask("thanks, and what is a semaphore?", headers=headers)

    concluded = until(lambda: sources(house, first.headers["x-autotier-decision"]))
    ended = until(lambda: sources(house, third.headers["x-autotier-decision"]))

    assert concluded == {"regeneration": tiers[1]}
    assert ended == {"ended": third.headers["x-autotier-tier"]}


def test_the_shadow_decides_nothing_and_is_listed(house: House, run: Callable[..., Result]) -> None:
    """The answer is the champion's; the disagreement is counted and listed with its decision."""
    answer = house.ask(OTHER)
    decision = answer.headers["x-autotier-decision"]

    def listed() -> dict[str, Any] | None:
        found = json.loads(run("shadow", "--json", "-n", "100").output)
        return next((one for one in found["disagreements"] if one["decision_id"] == decision), None)

    one = until(listed)

    assert answer.headers["x-autotier-tier"] == one["tier"] == "lightweight"
    assert (one["shadow_tier"], one["champion"]) == ("reasoning", answer.headers["x-autotier-artifact"])
    assert "autotier_shadow_disagreed_total" in house.get("/metrics").text
    assert "disagree" in run("shadow").output


def test_a_canary_decides_for_its_share_of_conversations(house: House) -> None:
    """An experiment arm with another artifact: its conversations keep it, and each decision names who decided."""
    started = CliRunner().invoke(experiment, ["-c", str(house.file), "start", "canary"])
    assert started.exit_code == 0, started.output
    until(lambda: "autotier_experiment_running 1.0" in house.get("/metrics").text)

    answers = [
        [house.ask(f"{OTHER} {turn}", headers={"x-autotier-conversation": f"canary-{n}"}).headers for turn in range(2)]
        for n in range(10)
    ]
    CliRunner().invoke(experiment, ["-c", str(house.file), "stop"])
    until(lambda: "autotier_experiment_running 0.0" in house.get("/metrics").text)

    canary = [turns[0] for turns in answers if turns[0]["x-autotier-artifact"].startswith("leaning-reasoning")]
    others = [turns[0] for turns in answers if turns[0] not in canary]
    assert canary
    assert others
    assert {one["x-autotier-tier"] for one in canary} == {"reasoning"}
    assert "reasoning" not in {one["x-autotier-tier"] for one in others}
    record = house.decision(canary[0]["x-autotier-decision"])
    assert record["artifact"] == canary[0]["x-autotier-artifact"]
    assert record["decision"]["experiment"]["target"] == "artifact:next"


def test_what_is_deleted_is_gone(house: House, run: Callable[..., Result]) -> None:
    """Decisions and labels go, feedback about them is a 404, and the service goes on."""
    decision = house.ask("What is a semaphore?").headers["x-autotier-decision"]
    house.decision(decision)
    house.post("/v1/feedback", {"decision_id": decision, "correct_tier": "coding"})

    said = run("delete", "--caller", "local", "--yes").output

    assert "deleted" in said
    assert house.get(f"/v1/decisions/{decision}").status_code == 404
    assert house.post("/v1/feedback", {"decision_id": decision, "solved": True}).status_code == 404
    assert json.loads(run("labels", "--json").output)["labels"] == 0
    again = house.ask("What is a semaphore?")
    assert house.decision(again.headers["x-autotier-decision"])["feedback"] == []


def test_an_admin_sees_what_was_saved(house: House, run: Callable[..., Result]) -> None:
    """The service and the command line say the same."""
    answer = house.ask("What is a monitor?")
    house.decision(answer.headers["x-autotier-decision"])
    deadline = time.monotonic() + 10
    while not (served := house.get("/v1/admin/savings?days=1").json())["total"]["requests"]:
        assert time.monotonic() < deadline, "no record behind the answer"  # it is written with its batch
        time.sleep(0.05)

    printed = json.loads(run("savings", "--since", "1d", "--json").output)

    assert served["object"] == "savings"
    assert served["total"]["requests"] >= 1
    assert served["total"]["reasoning"] > 0
    assert served["tier"].keys() == printed["tier"].keys()
    assert house.get("/v1/admin/savings?days=0").status_code == 400
