"""Versions: promote, incremental training from what was promoted, rollback, and what is refused."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from classifier.artifact import ArtifactError, load_artifact, write_artifact
from training import retrain
from training.correction import Plan
from training.gate import judge
from training.month import World, corrections
from training.promotion import PromotionError, Versions

pytestmark = pytest.mark.timeout(600)

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.fixture(scope="module")
def challenger(place: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retrained champion."""
    out = tmp_path_factory.mktemp("made") / "new"
    plan = Plan(place.champion, out, data=place.data, cache=place.data / "cache")
    return retrain.run(plan, corrections(place, seed=0)).path


def test_lineage_names_parent_data_labels_and_code(place: World, challenger: Path) -> None:
    """What a version comes from can be read from its metadata."""
    lineage = json.loads((challenger / "metadata.json").read_text(encoding="utf-8"))["lineage"]

    assert lineage["parent"] == load_artifact(place.champion).id
    assert set(lineage["base_sha256"]) == {"requests.jsonl.gz"}
    assert lineage["labels"]["used"] == lineage["labels"]["by_source"]["caller"] > 200
    assert len(lineage["labels"]["sha256"]) == 64
    assert lineage["commit"]


def test_rollback_after_two_promotions_goes_back_one_by_one(place: World, challenger: Path, tmp_path: Path) -> None:
    """The history only grows; each version is as it was."""
    versions = Versions(tmp_path / "v", place.champion)
    first = load_artifact(place.champion).id
    one = versions.promote(challenger, reason="gate", forced=False, now=NOW)
    (tmp_path / "again").mkdir()
    plan = Plan(one, tmp_path / "again", data=place.data, cache=place.data / "cache", seed=1)
    said = corrections(place, seed=3)
    until = load_artifact(challenger).metadata["lineage"]["labels"]["until_s"]
    made = retrain.run(plan, said)
    two = versions.promote(made.path, reason="look", forced=True, now=NOW)

    assert made.report["labels"]["read"] == sum(s.labelled_s > until for s in said)
    assert versions.champion() == two
    assert versions.roll_back(reason="", now=NOW) == one
    assert versions.roll_back(reason="", now=NOW).name == first
    with pytest.raises(PromotionError, match="nothing was promoted before"):
        versions.roll_back(reason="", now=NOW)
    assert [e["event"] for e in versions.history()] == ["promoted", "promoted", "rolled back", "rolled back"]
    assert [e.get("forced") for e in versions.history()][:2] == [False, True]


def test_a_version_that_was_changed_is_not_gone_back_to(place: World, challenger: Path, tmp_path: Path) -> None:
    """Byte for byte or not at all."""
    versions = Versions(tmp_path / "v", place.champion)
    versions.promote(challenger, reason="gate", forced=False, now=NOW)
    before = versions.folder / load_artifact(place.champion).id
    (before / "weights.npz").write_bytes((challenger / "weights.npz").read_bytes())

    with pytest.raises(ArtifactError, match="sha256"):
        versions.roll_back(reason="", now=NOW)

    assert versions.champion().name == load_artifact(challenger).id


def test_a_challenger_that_forgot_the_base_data_is_refused_by_the_frozen_part(
    place: World, challenger: Path, tmp_path: Path
) -> None:
    """Better on its corrections is not enough."""
    bad = tmp_path / "bad"
    shutil.copytree(challenger, bad)
    with np.load(bad / "weights.npz") as arrays:
        weights = {name: arrays[name] for name in arrays.files}
    weights["offset"] = weights["offset"] + np.array([3.0, 0.0, -3.0])
    metadata = json.loads((bad / "metadata.json").read_text(encoding="utf-8"))
    kept = {k: v for k, v in metadata.items() if k not in ("name", "files", "feature_schema")}
    extra = tuple(name for name in metadata["files"] if name != "weights.npz")
    write_artifact(bad, "bad", weights, kept, extra=extra)

    judgement = judge(bad, place.champion, data=place.data)

    failed = {check.name for check in judgement.checks if not check.ok}
    assert {"frozen", "frozen by class", "cost of errors"} <= failed
    assert "frozen by class: worse in" in judgement.reason


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("bias", np.full(3, np.nan), "not finite"), ("mean", np.zeros(4), "shape")],
)
def test_weights_that_are_no_weights_are_refused(
    place: World, challenger: Path, tmp_path: Path, name: str, value: np.ndarray, said: str
) -> None:
    """Whatever the labels say."""
    bad = tmp_path / "bad"
    shutil.copytree(challenger, bad)
    with np.load(bad / "weights.npz") as arrays:
        weights = {n: arrays[n] for n in arrays.files} | {name: value}
    metadata = json.loads((bad / "metadata.json").read_text(encoding="utf-8"))
    kept = {k: v for k, v in metadata.items() if k not in ("name", "files", "feature_schema")}
    write_artifact(bad, "bad", weights, kept, extra=("held_out.npz",))

    with pytest.raises(ArtifactError, match=said):
        judge(bad, place.champion, data=place.data)


def test_features_of_another_schema_are_refused(place: World, challenger: Path, tmp_path: Path) -> None:
    """An artifact of older features says so."""
    bad = tmp_path / "bad"
    shutil.copytree(challenger, bad)
    metadata = json.loads((bad / "metadata.json").read_text(encoding="utf-8"))
    (bad / "metadata.json").write_text(json.dumps({**metadata, "feature_schema": 0}), encoding="utf-8")

    with pytest.raises(ArtifactError, match="features of schema 0"):
        judge(bad, place.champion, data=place.data)


def test_a_challenger_of_another_parent_is_refused(place: World, challenger: Path, tmp_path: Path) -> None:
    """Its gains were measured against somebody else."""
    plan = Plan(challenger, tmp_path / "next", data=place.data, cache=place.data / "cache")
    grown = retrain.run(plan, corrections(place, seed=4)).path

    judgement = judge(grown, place.champion, data=place.data)

    assert "train again" in judgement.reason
