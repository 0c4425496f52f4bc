"""`train --deep`: the champion's own transformer, refitted on labels whose text is stored. Needs torch and onnx."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import classifier
from classifier.artifact import load_artifact, shipped_path
from classifier.deep import GRAPH, load_deep, read_part
from classifier.prompt import view_of
from classifier.record import LabelledRequest, read_requests, read_rows, write_rows
from tests.house import House
from training import retrain
from training.challenger import Retrained
from training.correction import Plan, Strength
from training.dataset import EXAMPLES_FILE, FROZEN_FILE, DatasetError, data_path
from training.gate import judge
from training.held_out import HeldOut
from training.logged_labels import LoggedLabel
from training.month import REQUESTS, World, label_of

pytestmark = pytest.mark.timeout(600)
NEEDED = ("torch", "onnx", "onnxruntime", "tokenizers")
with_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED),
    reason=f"refitting the second stage needs {', '.join(NEEDED)}",
)
LABELS = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few base rows of the package, a few frozen ones."""
    folder = tmp_path_factory.mktemp("data")
    base = list(read_rows(data_path() / REQUESTS))
    write_rows(folder / REQUESTS, base[:: len(base) // 40][:40])
    write_rows(folder / FROZEN_FILE, list(read_rows(data_path() / FROZEN_FILE))[:12])
    (folder / EXAMPLES_FILE).write_bytes((data_path() / EXAMPLES_FILE).read_bytes())
    return folder


def rows() -> list[LabelledRequest]:
    """Requests that somebody labels: all of them are said to need the highest tier."""
    every = read_requests(data_path() / REQUESTS, source="written")
    return every[7 :: len(every) // LABELS][:LABELS]


def labels(*, text: bool = True, without: int = 0) -> list[LoggedLabel]:
    """Corrections as the log gives them out, with text but for the last `without`."""
    artifact = load_artifact(shipped_path())
    found = [label_of(row, artifact, number, 2) for number, row in enumerate(rows())]
    kept = len(found) - without if text else 0
    return [
        replace(one, view=read_part(view_of(row.request)) if number < kept else None)
        for number, (one, row) in enumerate(zip(found, rows(), strict=True))
    ]


def plan(folder: Path, data: Path, champion: Path | None = None) -> Plan:
    """A short retraining with the second stage."""
    return Plan(champion or shipped_path(), folder, data=data, deep=True, anchors=32, strengths=(Strength(30.0, 1.0),))


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    """A challenger with a refitted second stage; four labels have no text."""
    return retrain.run(plan(tmp_path_factory.mktemp("deep"), data), labels(without=4))


def contents(folder: Path) -> dict[str, bytes]:
    """Files of an artifact; the commit of the code, which others may move in the meantime, is left out."""
    found = {p.name: p.read_bytes() for p in folder.iterdir()}
    metadata = json.loads(found["metadata.json"])
    del metadata["lineage"]["commit"]
    return {**found, "metadata.json": json.dumps(metadata).encode()}


@with_torch
def test_the_challenger_loads_serves_and_says_what_was_refitted(made: Retrained) -> None:
    """All files pass the checks, both stages answer, counts are in metadata, card and notes."""
    model = classifier.load(made.path, stages=2)
    spoken = model.classify("Plan the migration of our billing to another database without downtime")

    assert sum(spoken.probabilities.values()) == pytest.approx(1)
    assert made.report["second_stage"]["labels"] == LABELS - 4
    assert made.report["second_stage"]["without_text"] == 4
    lineage = json.loads((made.path / "metadata.json").read_text(encoding="utf-8"))["lineage"]
    assert lineage["second_stage"] == made.report["second_stage"]
    assert "upper layers of the second stage" in (made.path / "CARD.md").read_text(encoding="utf-8")
    assert any("4 labels without text" in note for note in made.notes)


@with_torch
def test_only_the_graph_of_the_second_stage_changes_and_it_learns(made: Retrained) -> None:
    """Word vectors and vocabulary are the champion's; what was labelled goes up more than anything else."""
    before, after = load_artifact(shipped_path()).metadata["files"], load_artifact(made.path).metadata["files"]
    changed = {name for name in before if after.get(name) != before[name]}
    old, new = load_deep(shipped_path()), load_deep(made.path)
    views = [view_of(row.request) for row in rows()[:8]]

    gain = [new.logits(v)[2] - new.logits(v)[:2].max() - old.logits(v)[2] + old.logits(v)[:2].max() for v in views]

    assert changed == {GRAPH, "weights.npz", "out_of_source.npz"}
    assert np.mean(gain) > 0


@with_torch
def test_torch_and_onnxruntime_say_the_same(made: Retrained) -> None:
    """The served graph, at 8 bits, against the layers read back into torch: the same tier, log-odds within rounding."""
    import torch

    from training.deep_base import read_tuned
    from training.deep_net import Upper
    from training.deep_train import DeepConfig, predict_deep, prepare

    views = [view_of(row.request) for row in rows()]
    served = load_deep(made.path)
    base = read_tuned(made.path)
    with torch.no_grad():
        data = prepare(base, views, np.zeros((len(views), 3)), np.ones(len(views)), DeepConfig())
        ours = predict_deep(Upper(base).eval(), data, np.arange(len(views)))

    theirs = np.array([served.logits(view) for view in views])

    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.9
    assert np.abs(ours - theirs).mean() < 0.05


@with_torch
def test_an_encoder_that_learnt_nothing_is_written_as_it_was_read(tmp_path: Path) -> None:
    """Upper layers, head and lower layers come back bit for bit."""
    from training.deep_base import read_tuned
    from training.deep_net import Upper
    from training.deep_train import export_graph

    base = read_tuned(shipped_path())

    export_graph(base, Upper(base), tmp_path / GRAPH)

    assert (tmp_path / GRAPH).read_bytes() == (shipped_path() / GRAPH).read_bytes()


@with_torch
def test_labels_are_judged_by_refits_that_had_not_seen_them(made: Retrained) -> None:
    """The held-out figures of the gate: finite, of every label, and the champion's are its own words."""
    held = HeldOut.read(made.path)
    champion = classifier.load(shipped_path(), stages=2)

    assert held is not None
    assert held.labels.size == LABELS
    own = champion.predict_proba([row.request for row in rows()])
    assert np.abs(held.champion - own)[: LABELS - 4].mean() < 0.1
    assert np.abs(held.challenger - held.champion).max() > 0


@with_torch
def test_the_gate_judges_it_as_any_challenger(made: Retrained, data: Path) -> None:
    """Its transformer is another one than the champion's, and both are asked."""
    judgement = judge(made.path, shipped_path(), data=data, stages=2)

    names = {check.name for check in judgement.checks}
    assert {"lineage", "corrections", "frozen", "latency"} <= names
    assert judgement.challenger == made.id


@with_torch
def test_the_same_labels_and_seed_give_the_same_bytes(made: Retrained, data: Path, tmp_path: Path) -> None:
    """Bit for bit, the transformer too."""
    again = retrain.run(plan(tmp_path / "again", data), labels(without=4))

    names = sorted(p.name for p in made.path.iterdir())
    assert names == sorted(p.name for p in again.path.iterdir())
    first, second = (contents(folder) for folder in (made.path, again.path))
    assert {name for name in names if first[name] != second[name]} == set()


@with_torch
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"text": False}, f"none of {LABELS} labels has its text: set store.prompts: full"),
        ({"without": LABELS - 5}, f"5 labels have their text \\({LABELS - 5} have none\\)"),
    ],
)
def test_labels_without_text_are_an_error_that_says_which_key_to_set(
    data: Path, tmp_path: Path, said: dict[str, int], message: str
) -> None:
    """Nothing is written."""
    with pytest.raises(DatasetError, match=message):
        retrain.run(plan(tmp_path / "none", data), labels(**said))  # type: ignore[arg-type]  # of the parametrisation

    assert not (tmp_path / "none").exists()


@with_torch
def test_stored_texts_are_enough_from_the_request_to_the_challenger(data: Path) -> None:
    """Requests and corrections over HTTP with `store.prompts: full`, then the command."""

    def change(document: dict[str, Any]) -> None:
        document["store"] = {**document.get("store", {}), "prompts": "full"}

    asked = rows()[:14]
    with House(change=change) as house, httpx.Client(base_url=house.base, trust_env=False, timeout=120) as client:
        for row in asked:
            messages = [{"role": "user", "content": row.request}] if isinstance(row.request, str) else row.request
            body = {"model": "auto", "messages": messages, "max_tokens": 5}
            decision = client.post("/v1/chat/completions", json=body).headers["x-autotier-decision"]
            said = {"decision_id": decision, "correct_tier": "reasoning"}
            assert client.post("/v1/feedback", json=said).status_code == 200
        command = [sys.executable, "-m", "service.cli", "train", "--deep", "-c", str(house.file), "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"second stage on {len(asked)} labels with text, held by 40 base rows" in done.stdout
    assert f"second stage: {len(asked)} labels with text and 40 base rows" in done.stderr


def test_a_champion_without_a_second_stage_says_so(place: World, tmp_path: Path) -> None:
    """Before anything is read or written."""
    with pytest.raises(DatasetError, match="has no second stage to refit"):
        retrain.run(plan(tmp_path / "none", place.data, place.champion), labels())

    assert not (tmp_path / "none").exists()


def test_what_is_not_installed_is_one_line() -> None:
    """Without torch: exit 2, and the packages in the last line."""
    if importlib.util.find_spec("torch") is not None:
        pytest.skip("torch is installed here")

    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "train", "--deep"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("autotier: --deep needs torch")
    assert "Traceback" not in done.stderr
