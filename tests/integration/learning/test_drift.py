"""Drift, from the log of real stores."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from classifier import Tier, view_of
from classifier.artifact import load_artifact
from classifier.features import feature_row
from service.cli.log import command
from service.config.learning import Learning
from service.decisions.features import kept_features
from service.decisions.records import DecisionRecord
from service.decisions.rows import Batch
from service.decisions.store import DecisionStore
from service.learning.drift import drift
from service.learning.following import Follower
from tests.artifacts import leaning
from tests.integration.decisions.conftest import NOW_S, DecisionFactory
from training.reference import KEY, Reference, reference_of

EASY = ("Name a {} fruit", "What is a {} mutex?", "Translate {} into German", "Spell {} please")
HARD = (
    "Prove by induction, with every step written out, that the {} bound is tight:\n```python\ndef f(n): return n\n```\n"
)
LIGHT, HEAVY = [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that says that it was trained on easy asks."""
    asks = [one.format(1_000 + number) for number in range(200) for one in EASY]
    rows = [feature_row(view_of(one)) for one in asks]
    made = reference_of(rows, ["en"] * len(rows), np.array([LIGHT] * len(rows)))
    return leaning(tmp_path_factory.mktemp("drift") / "one", Tier.LIGHTWEIGHT, **{KEY: made})


def logged(made: DecisionFactory, text: str, probabilities: list[float], **changed: Any) -> DecisionRecord:
    """A decision about a text."""
    said = dict(zip(("lightweight", "coding", "reasoning"), probabilities, strict=True))
    explained = {"probabilities": said, **changed.pop("decision", {})}
    return made(features=kept_features(view_of(text), None, "en"), decision=explained, **changed)


def easy(made: DecisionFactory, number: int = 240, **changed: Any) -> list[DecisionRecord]:
    """Traffic like the training data."""
    return [logged(made, EASY[n % 4].format(1_000 + n), LIGHT, **changed) for n in range(number)]


def report(store: DecisionStore, artifact: Path, since_s: float = 0.0) -> dict[str, Any]:
    """What the monitor says."""
    loaded = load_artifact(artifact)
    return drift(store, Reference.of(loaded.metadata), loaded.id, since_s)


def test_traffic_as_trained_and_traffic_that_is_not(
    store: DecisionStore, decision: DecisionFactory, artifact: Path
) -> None:
    """First the one, then the other on top of it."""
    store.write(Batch.of(easy(decision)))
    before = report(store, artifact)
    store.write(Batch.of([logged(decision, HARD.format(n), HEAVY) for n in range(240)]))

    after = report(store, artifact)

    assert (before["state"], before["conversations"]) == ("as trained", 240)
    assert (after["state"], after["conversations"]) == ("drifted", 480)
    assert {name for name, group in after["groups"].items() if group["drifted"]} >= {"length", "structure", "tiers"}


def test_a_conversation_counts_once(store: DecisionStore, decision: DecisionFactory, artifact: Path) -> None:
    """One long talk among many questions is one of them."""
    talk = [logged(decision, HARD.format(n), HEAVY, decision={"unit": "talk"}) for n in range(300)]
    store.write(Batch.of([*easy(decision), *talk]))

    found = report(store, artifact)

    assert (found["state"], found["conversations"]) == ("as trained", 241)


def test_too_little_old_or_foreign_says_nothing(
    sqlite_store: DecisionStore, decision: DecisionFactory, artifact: Path
) -> None:
    """Few conversations, an old log, features of another version, none at all."""
    sqlite_store.write(Batch.of([*easy(decision, 50), decision(features=None)]))
    sqlite_store.write(Batch.of([decision(features={"schema": 0, "structure": [], "indices": [], "values": []})]))

    found = report(sqlite_store, artifact)

    assert (found["state"], found["conversations"], found["other_schema"]) == ("too few", 50, 1)
    assert report(sqlite_store, artifact, since_s=NOW_S + 1e6)["conversations"] == 0


def test_an_artifact_without_a_reference(sqlite_store: DecisionStore) -> None:
    """It says so."""
    assert drift(sqlite_store, None, "bare-1", 0.0)["state"] == "no reference"


def test_the_follower_looks_and_shows(store: DecisionStore, decision: DecisionFactory, artifact: Path) -> None:
    """The numbers are for the metrics, also of processes that do not look themselves."""
    now_s = NOW_S + 3_600
    store.write(Batch.of([logged(decision, HARD.format(n), HEAVY) for n in range(200)]))
    looking = Follower(store, Learning(), lambda: now_s, load_artifact(artifact))
    other = Follower(store, Learning(), lambda: now_s, load_artifact(artifact))

    looking.look()
    other.look()

    for follower in (looking, other):
        numbers = follower.snapshot()
        assert (numbers["drifted"], numbers["drift_conversations"], numbers["drift_reference"]) == (1, 200, 1)
        assert numbers["drift_tiers_index"] > numbers["drift_tiers_bound"]


def test_the_command(store: DecisionStore, store_url: str, decision: DecisionFactory, artifact: Path) -> None:
    """As text and as JSON; the shipped artifact has its own word."""
    store.write(Batch.of(easy(decision, created_s=time.time())))

    def run(*arguments: str) -> str:
        found = CliRunner().invoke(command, ["--store", store_url, "drift", *arguments])
        assert found.exit_code == 0, found.output
        return found.output

    assert "looks like what leaning-lightweight" in run("--artifact", str(artifact))
    assert json.loads(run("--artifact", str(artifact), "--json"))["state"] == "as trained"
    assert json.loads(run("--json"))["artifact"].startswith("champion-")
