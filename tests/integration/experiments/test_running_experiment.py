"""A running service follows `autotier experiment start | stop`, keeps conversations in their arm, and logs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.cli.compare import command as compare
from service.cli.experiment import command as experiment
from tests.house import House

ARMS = [
    {"name": "routed", "share": 0.5, "kind": "routed"},
    {"name": "light", "share": 0.5, "kind": "fixed", "tier": "lightweight"},
]
HARD = "Prove that the square root of two is irrational, and say where the proof would fail for four. Number"


def experiments(document: dict[str, Any]) -> None:
    """Half of the conversations are always lightweight; an arm stops after five failures."""
    document["limits"] = {"cooldown_s": 0.1, "remember_failed_s": 0.1, "host_status_remember_s": 0.3}
    document["experiments"] = [
        {"name": "half", "arms": ARMS, "guardrails": {"after_requests": 5, "errors": 0.5}},
    ]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A house with an experiment in its configuration."""
    with House(change=experiments) as house:
        yield house


@pytest.fixture
def run(house: House) -> Callable[..., Result]:
    """Runs `autotier experiment` with the house's configuration."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(experiment, ["-c", str(house.file), *arguments], catch_exceptions=True)

    return run


def ask(house: House, text: str, conversation: str) -> Mapping[str, str]:
    """One request of a conversation; returns the answer's headers, also those of an error."""
    return house.ask(text, headers={"x-autotier-conversation": conversation}).headers


def record(house: House, headers: Mapping[str, str]) -> dict[str, Any]:
    """The record behind an answer."""
    return house.decision(headers["x-autotier-decision"])


def follow(house: House, running: bool) -> None:
    """Waits until the service says that it follows."""
    deadline = time.monotonic() + 20
    wanted = f"autotier_experiment_running {float(running)}"
    while wanted not in house.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_experiment_runs_is_logged_and_ends(house: House, run: Callable[..., Result]) -> None:
    """Started: both arms appear, a conversation keeps its arm over turns, propensities are logged, the fixed arm's
    tier has the reason `experiment`. Stopped: nobody is assigned."""
    assert run("start", "half").exit_code == 0
    follow(house, True)

    first = [ask(house, f"{HARD} {i}", f"c{i}") for i in range(14)]
    again = [ask(house, f"{HARD} {i}, once more", f"c{i}") for i in range(4)]
    exposures = [record(house, headers)["decision"]["experiment"] for headers in (*first, *again)]
    run("stop")
    follow(house, False)
    after = record(house, ask(house, f"{HARD} 99", "c99"))

    by_unit: dict[str, set[str]] = {}
    for one in exposures:
        by_unit.setdefault(one["unit"], set()).add(one["arm"])
    assert {one["arm"] for one in exposures} == {"routed", "light"}
    assert {one["propensity"] for one in exposures} == {0.5}
    assert {one["target"] for one in exposures} == {"routed", "always-lightweight"}
    assert all(len(arms) == 1 for arms in by_unit.values())
    assert len(by_unit) == 14
    light = [h for h in first if h["x-autotier-reason"] == "experiment"]
    assert light
    assert {h["x-autotier-tier"] for h in light} == {"lightweight"}
    assert after["decision"]["experiment"] is None


def test_an_override_is_not_part_of_an_experiment(house: House, run: Callable[..., Result]) -> None:
    """A client that names a tier gets it, and is not counted."""
    run("start", "half")
    follow(house, True)

    named = record(house, house.ask("override me", model="coding").headers)

    run("stop")
    assert (named["tier"], named["reason"]) == ("coding", "override")
    assert named["decision"]["experiment"] is None


def test_the_report_and_the_comparison_read_what_was_logged(house: House, run: Callable[..., Result]) -> None:
    """`report` counts units and draws no conclusion from few; `compare --log` says what is not identified."""
    said = run("report", "half", "--json")
    compared = CliRunner().invoke(compare, ["--log", "-c", str(house.file), "--times", "100", "--json", "-"])

    found, log = json.loads(said.stdout), json.loads(compared.stdout)
    assert found["units"] >= 14
    assert found["conclusion"].startswith("no conclusion yet")
    assert log["n"] >= 14
    assert "always-lightweight" in log["not_identified"]
    assert log["economics"]["total"]["reasoning"] > 0


@pytest.mark.timeout(300)
def test_a_guardrail_stops_a_failing_arm(house: House, run: Callable[..., Result]) -> None:
    """All hosts of the lightweight tier fail: its arm is stopped, its conversations are routed again."""
    for name in ("mini", "macbook", "cloud1"):
        house.hosts[name].set_fault("500")
    run("start", "half")
    follow(house, True)
    deadline = time.monotonic() + 60
    number = 0
    while "autotier_experiment_stopped_arms 0.0" in house.get("/metrics").text:
        assert time.monotonic() < deadline
        ask(house, f"{HARD} {number} now", f"g{number}")
        number += 1

    said = run("report")

    house.reset()
    run("stop")
    assert "stopped   light" in said.stdout


def test_starting_twice_or_something_unknown_is_refused(house: House, run: Callable[..., Result]) -> None:
    """One line that says what to do."""
    unknown = run("start", "nothing")
    run("start", "explore")
    twice = run("start", "half")
    stopped = run("stop")
    none = run("stop")

    assert "known: explore, half" in str(unknown.exception)
    assert "runs already" in str(twice.exception)
    assert stopped.exit_code == 0
    assert "no experiment runs" in str(none.exception)
