"""`autotier log labels | delete | shadow` over real stores."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from classifier import view_of
from service.cli.log import command
from service.decisions.features import kept_features
from service.decisions.records import ConversationRecord, FeedbackRecord
from service.decisions.rows import Batch
from service.decisions.shadowing import Disagreement, put_shadows
from service.decisions.store import DecisionStore
from tests.artifacts import OLDER_STRUCTURE, older_artifact
from tests.integration.decisions.conftest import NOW_S, DecisionFactory


@pytest.fixture
def filled(store: DecisionStore, decision: DecisionFactory) -> DecisionStore:
    """Two callers with features, corrections, a conversation and a disagreement."""
    made = [
        decision(caller=caller, features=kept_features(view_of(f"Say {number}"), None, "en"))
        for number, caller in enumerate(("anna", "ben", "anna"))
    ]
    store.write(Batch.of(made, [ConversationRecord("k", "anna", "coding", made[0].id, NOW_S)]))
    for one, tier in zip(made, ("coding", "reasoning", "lightweight"), strict=True):
        store.add_feedback(FeedbackRecord(one.id, one.caller, one.created_s, correct_tier=tier))
    store.add_feedback(FeedbackRecord(made[0].id, "anna", NOW_S + 90, correct_tier="reasoning"))
    other = Disagreement(made[1].id, "next-1", "first", made[1].created_s, "coding", "reasoning", 0.6, 0.7)
    counts = {("2099-01-01", "next-1", "first", "coding", "reasoning"): 1} | {
        ("2099-01-01", "next-1", "first", "coding", "coding"): 3
    }
    store.change(partial(put_shadows, found=[other], counts=counts))
    return store


def run(store_url: str, *arguments: str) -> Result:
    """Runs `autotier log` on a store."""
    found = CliRunner().invoke(command, ["--store", store_url, *arguments])
    assert found.exit_code == 0, found.output
    return found


def test_labels_are_counted(filled: DecisionStore, store_url: str) -> None:
    """By source, tier and caller, with conflicts; as text and as JSON."""
    text = run(store_url, "labels").output
    found = json.loads(run(store_url, "labels", "--json").output)

    assert "3 labels for training" in text
    assert "1 decisions with contradicting words" in text
    assert found["by_source"] == {"caller": {"labels": 3, "weight": 3.0}}
    assert found["by_tier"] == {"lightweight": 1, "coding": 0, "reasoning": 2}
    assert found["by_caller"] == {"anna": 2, "ben": 1}


def test_labels_follow_the_configuration(filled: DecisionStore, store_url: str, tmp_path: Path) -> None:
    """Its cap, and its sources that are off."""
    one = filled.recent()[0]
    filled.conclude([FeedbackRecord(one.id, one.caller, NOW_S, correct_tier="coding", source="ended", weight=0.03)])
    file = tmp_path / "own.yaml"
    file.write_text("learning: {most_weight_per_caller_day: 1, implicit: {ended: off}}\n")

    found = json.loads(run(store_url, "labels", "-c", str(file), "--json").output)

    assert [(day["caller"], day["weight"]) for day in found["capped"]] == [("anna", 2.0)]
    assert found["off"] == 1


def test_labels_of_an_older_schema_are_shown_with_the_version_that_speaks_for_them(
    filled: DecisionStore, decision: DecisionFactory, store_url: str, tmp_path: Path
) -> None:
    """Its artifact lies among the versions; a row that no scorer reads is said to be unusable."""
    name = older_artifact(tmp_path / "autotier-versions" / "older")
    fits = {"schema": 0, "structure": [0.5] * OLDER_STRUCTURE, "indices": [1, 9], "values": [0.6, 0.8]}
    made = [decision(features=fits, artifact=name), decision(features={**fits, "structure": [1.0]})]
    filled.write(Batch.of(made))
    for one in made:
        filled.add_feedback(FeedbackRecord(one.id, one.caller, one.created_s, correct_tier="coding"))
    file = tmp_path / "own.yaml"
    file.write_text(Path("configs/two-macs.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    text = run(store_url, "labels", "-c", str(file)).output

    assert "3 labels for training" in text
    assert f"1 tune calibration and join: feature schema 0, through {name}" in text
    assert "1 cannot be used: feature schema 0" in text


def test_deleting_says_how_much(filled: DecisionStore, store_url: str) -> None:
    """By caller: decisions, attempts, statements and conversations; the other caller stays."""
    said = run(store_url, "delete", "--caller", "anna", "--yes").output

    assert said == "2 decisions, 2 attempts, 3 statements, 1 conversations deleted\n"
    assert [one.caller for one in filled.recent()] == ["ben"]


def test_deleting_says_where_answers_may_be_left_in_a_cache(
    filled: DecisionStore, decision: DecisionFactory, store_url: str
) -> None:
    """Nobody answers at the address of the service: the log is deleted, and the rest said."""
    filled.write(Batch.of([decision(caller="carl", decision={"cache": {"status": "miss", "key": "0" * 32}})]))

    said = run(store_url, "delete", "--caller", "carl", "--yes", "--base", "http://127.0.0.1:9").output

    assert said.startswith(
        "1 decisions, 1 attempts deleted\ntheir answers may be in the cache of a running service still"
    )
    assert "no service at http://127.0.0.1:9" in said


def test_deleting_by_age(filled: DecisionStore, store_url: str) -> None:
    """Everything before a date."""
    said = run(store_url, "delete", "--before", "2100-01-01", "--yes").output

    assert said.startswith("3 decisions, 3 attempts, 4 statements, 1 conversations, 1 disagreements")
    assert filled.recent() == []
    assert "0 labels" in run(store_url, "labels").output


def test_deleting_asks_and_needs_one_of_two(filled: DecisionStore, store_url: str) -> None:
    """Without a yes nothing is deleted."""
    runner = CliRunner()

    refused = runner.invoke(command, ["--store", store_url, "delete", "--caller", "anna"], input="n\n")
    neither = runner.invoke(command, ["--store", store_url, "delete"])

    assert (refused.exit_code, neither.exit_code) == (1, 2)
    assert len(filled.recent()) == 3


def test_the_shadow_is_shown(filled: DecisionStore, store_url: str) -> None:
    """Share of disagreements, pairs of tiers, and where."""
    text = run(store_url, "shadow", "--since", "2020-01-01").output
    found = json.loads(run(store_url, "shadow", "--since", "2020-01-01", "--json").output)

    assert "next-1 beside first: 4 compared, 25.0% disagree" in text
    assert "coding -> reasoning: 1" in text
    assert [one["shadow_tier"] for one in found["disagreements"]] == ["reasoning"]


def test_no_shadow_is_said(store: DecisionStore, store_url: str) -> None:
    """With what to write."""
    assert "classifier.shadow" in run(store_url, "shadow").output
