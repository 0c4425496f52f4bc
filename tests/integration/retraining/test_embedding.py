"""`train --embedding` whole: does a model at a host earn its place, how does it serve, and what stays without it?"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import classifier
from classifier import Tier
from classifier.artifact import WEIGHTS, load_artifact, sha256_of, write_artifact
from classifier.embedding import EMBEDDING
from classifier.tiers import tier_index
from service.demo.hosts import HostSpec
from tests.house import FAST, House
from training import retrain
from training.anchors import load_anchors
from training.calibrate import fit_calibration
from training.correction import FOLDS, Plan
from training.first_stage import Encoded, fit_first, logits_of
from training.gate import judge
from training.month import QUICK, World, label_of
from training.train import OUT_OF_SOURCE, FirstStage, arrays_of

pytestmark = pytest.mark.timeout(900)

MODELS = ("qwen3:8b", "nomic-embed-text", "noise-embed")
MINI = HostSpec(**{**{f: getattr(FAST["mini"], f) for f in FAST["mini"].__dataclass_fields__}, "models": MODELS})


@pytest.fixture(scope="module")
def shapes(place: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world with a champion that knows no words: what a bag of words tells, it does not know yet.

    It is as sure as its base data are; how sure the shipped recipe is of real prompts is no matter here.
    """
    known = load_artifact(place.champion)
    anchors = load_anchors(known, place.data, None, FOLDS)
    n, labels = anchors.keys.size, anchors.soft.argmax(axis=1)
    rows = Encoded(
        anchors.structure, anchors.hashed, labels, anchors.soft, anchors.soft, np.full(n, "written"), np.ones(n)
    )
    config, first = replace(QUICK, hashed_gain=1e-4), np.zeros((n, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is stopped early on purpose
        for k in range(FOLDS):
            use, test = np.flatnonzero(anchors.fold != k), np.flatnonzero(anchors.fold == k)
            first[test] = logits_of(fit_first(rows.take(use), config, seed=0), rows.take(test))
        stage = FirstStage(fit_first(rows, config, seed=0), fit_calibration(first, anchors.soft, np.ones(n)), first)
    folder = tmp_path_factory.mktemp("shapes") / "champion"
    folder.mkdir()
    np.savez_compressed(folder / OUT_OF_SOURCE, keys=anchors.keys, first=first.astype(np.float32))
    metadata = {k: v for k, v in known.metadata.items() if k not in ("name", "feature_schema", "files")}
    write_artifact(folder, "shapes", arrays_of(stage, known.follow_up), metadata, extra=(OUT_OF_SOURCE,))
    return replace(place, champion=folder)


@pytest.fixture(scope="module")
def house(shapes: World) -> Iterator[House]:
    """The demo's house, its Mini with two embedding models."""

    def change(document: dict[str, Any]) -> None:
        embeddings = {name: {"host": "mini", "model": model, "deadline_ms": 5_000}
                      for name, model in (("nomic", "nomic-embed-text"), ("noise", "noise-embed"))}  # fmt: skip
        document["classifier"] = {"artifact": str(shapes.champion), "stages": 1, "embeddings": embeddings}
        document["store"]["prompts"] = "features"
        document["limits"] = {"cooldown_s": 2.0, "remember_failed_s": 1.0}

    with House(change=change, hosts={"mini": MINI}) as running:
        yield running


def command(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of our commands with the house's configuration."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", arguments[0], "-c", str(house.file), *arguments[1:]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def trained(done: subprocess.CompletedProcess[str]) -> Path:
    """Folder of what a training wrote."""
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1].split(": ", 1)[1])


@pytest.fixture(scope="module")
def informed(house: House, shapes: World) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The champion with the embedding that tells words, and what `train` said."""
    done = command(house, "train", "--data", str(shapes.data), "--embedding", "nomic")
    return trained(done), done


def test_an_embedding_that_tells_something_earns_its_place(
    informed: tuple[Path, subprocess.CompletedProcess[str]], shapes: World
) -> None:
    """Beside the same challenger without it, which stays in the artifact byte for byte."""
    folder, done = informed

    artifact = load_artifact(folder)
    assert "embedding nomic is in: log loss on the frozen part -" in done.stdout
    assert artifact.embedding is not None
    assert (artifact.embedding.dimensions, artifact.embedding.model) == (768, "nomic-embed-text")
    assert artifact.metadata["embedding"]["latency_ms"][0] > 0
    assert artifact.metadata["lineage"]["embedding"]["kept"] is True
    plain = classifier.load(shapes.champion)
    texts = [str(row.request) for row in shapes.held_out[:20]]
    assert classifier.load(folder).predict_proba(texts).tolist() == plain.predict_proba(texts).tolist()
    assert sha256_of(folder / WEIGHTS) == sha256_of(shapes.champion / WEIGHTS)


def test_one_that_tells_nothing_is_left_out_with_its_figures(house: House, shapes: World) -> None:
    """What is written is the plain challenger, byte for byte, and its lineage says what was tried."""
    done = command(house, "train", "--data", str(shapes.data), "--embedding", "noise")

    assert "embedding noise does not earn its place, the challenger is plain" in done.stdout
    assert "earns its place: log loss on the frozen part" in done.stdout
    plain = load_artifact(trained(done))
    assert plain.embedding is None
    assert not (plain.path / EMBEDDING).exists()
    assert sha256_of(plain.path / WEIGHTS) == sha256_of(shapes.champion / WEIGHTS)
    assert plain.metadata["lineage"]["embedding"]["kept"] is False


def test_it_serves_and_its_host_may_go(
    house: House, informed: tuple[Path, subprocess.CompletedProcess[str]], shapes: World
) -> None:
    """Promoted, asked where there is doubt, kept with the features; without its host the stages decide as ever."""
    folder, _ = informed
    promoted = command(house, "promote", str(folder), "--data", str(shapes.data))
    assert promoted.returncode == 0, promoted.stderr
    assert "judged with nomic" in promoted.stderr
    house.post("/v1/admin/reload")
    texts = [str(row.request) for row in shapes.held_out if isinstance(row.request, str) and len(row.request) < 400][:6]

    heard = [asked(house, text) for text in texts]
    house.hosts["mini"].set_fault("down")
    away = [asked(house, text + " ") for text in texts]
    house.hosts["mini"].reset()

    plain = classifier.load(folder, stages=1)
    assert {one["artifact"] for one in (*heard, *away)} == {folder.name}
    assert {one["decision"]["embedding"]["result"] for one in heard} == {"used"}
    assert all("x-autotier-embedding" not in one["headers"] for one in heard)
    for text, one in zip(texts, away, strict=True):
        before = plain.classify(text + " ")
        assert one["decision"]["embedding"]["result"] in ("away", "resting")
        assert one["headers"]["x-autotier-embedding"] == one["decision"]["embedding"]["result"]
        assert one["decision"]["probabilities"] == {str(t): p for t, p in before.probabilities.items()}
    for text, one in zip(texts, heard, strict=True):
        before = plain.classify(text)
        assert one["decision"]["embedding"]["before"] == {str(t): p for t, p in before.probabilities.items()}
        assert one["decision"]["probabilities"] != one["decision"]["embedding"]["before"]
    counted = house.get("/metrics").text
    assert 'autotier_embedding_total{result="agreed"}' in counted or 'result="changed"' in counted
    assert 'autotier_embedding_total{result="away"}' in counted


def asked(house: House, text: str) -> dict[str, Any]:
    """One request: its record, with the answer's headers."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 5}
    answer = httpx.post(f"{house.base}/v1/chat/completions", json=body, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = house.decision(answer.headers["x-autotier-decision"])
    return {**record, "headers": dict(answer.headers)}


def test_features_alone_are_enough_to_train_on_with_an_embedding(
    informed: tuple[Path, subprocess.CompletedProcess[str]], shapes: World, tmp_path: Path
) -> None:
    """What the head said at the time tunes the joins, without a host and without any text; twice the same."""
    folder, _ = informed
    artifact = load_artifact(folder)
    assert artifact.embedding is not None
    said = [
        replace(
            label_of(row, artifact, n, tier_index(row.tier)),
            embedding_logodds=odds(row.tier),
            embedding_head=artifact.embedding.head,
        )
        for n, row in enumerate(shapes.traffic[:120])
    ]

    made = [
        retrain.run(Plan(folder, tmp_path / name, data=shapes.data, cache=shapes.data / "cache"), said)
        for name in ("a", "b")
    ]

    after = load_artifact(made[0].path)
    assert made[0].id == made[1].id
    assert after.embedding is not None
    assert after.embedding.head == artifact.embedding.head
    assert after.embedding.alone != artifact.embedding.alone
    assert any("120 labels that it was heard about tune its joins" in note for note in made[0].notes)
    judgement = judge(made[0].path, folder, data=shapes.data)
    assert "embedding: not judged with nomic" in judgement.reason


def odds(tier: Tier) -> tuple[float, float, float]:
    """A head that is right."""
    one, two, three = (2.0 * (t is tier) for t in Tier)
    return one, two, three


def test_a_host_that_is_away_is_one_line(house: House, shapes: World, tmp_path: Path) -> None:
    """Nothing is trained, and nothing that was there is lost; a name that is not there is another line."""
    house.hosts["mini"].set_fault("down")
    try:
        done = command(house, "train", "--data", str(shapes.data), "--embedding", "nomic")
        unknown = command(house, "train", "--data", str(shapes.data), "--embedding", "bge")
    finally:
        house.hosts["mini"].reset()

    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("autotier: nomic-embed-text at mini gave no vector")
    assert unknown.returncode == 2
    assert "--embedding bge: no entry of classifier.embeddings" in unknown.stderr
    assert not list((house.folder / "autotier-versions").glob(".training*"))


def test_promote_without_vectors_refuses(
    house: House, informed: tuple[Path, subprocess.CompletedProcess[str]], shapes: World
) -> None:
    """On a machine where the host is away and nothing was kept, the challenger is not judged as it would serve."""
    folder, _ = informed
    cache = house.folder / "autotier-versions" / "cache"
    kept = list(cache.glob("vectors-*"))
    for file in kept:
        file.rename(file.with_suffix(".away"))
    house.hosts["mini"].set_fault("down")
    command(house, "rollback", "--reason", "a look")

    done = command(house, "promote", str(folder), "--data", str(shapes.data), "--json")

    house.hosts["mini"].reset()
    for file in kept:
        file.with_suffix(".away").rename(file)
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "nomic-embed-text at mini gave no vector" in checks["embedding"]["said"]
    assert "train without --embedding" in done.stderr
