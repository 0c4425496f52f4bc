"""Training and evaluation over a small corpus of their own: files in, artifact and report out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import classifier
from classifier import view_of
from classifier.artifact import sha256_of
from classifier.features import feature_row
from classifier.record import write_rows
from classifier.tiers import TIERS
from training import evaluate
from training.dataset import DatasetError, load_training_data
from training.leak import LeakError
from training.pooled import pooled_predictions
from training.reference import Reference
from training.train import OUT_OF_SOURCE, run, write_out_of_source

ASKS = {
    "lightweight": ["what is {0}", "translate {0} into French", "one line on {0} please", "who invented {0}"],
    "coding": [
        "write a module with tests for {0}",
        "refactor the {0} class",
        "script that cleans {0} files",
        "review {0}",
    ],
    "reasoning": ["prove a bound on {0}", "design {0} for ten regions", "why does {0} stall once a week", "weigh {0}"],
}
THINGS = ["queues", "maps", "trees", "locks", "caches", "logs", "mails", "maps of Peru"]


def row(number: int, tier: str, source: str) -> dict[str, object]:
    """One small labelled request."""
    asks = ASKS[tier]
    text = asks[number % len(asks)].format(THINGS[number % len(THINGS)]) + f" ({source} {number})"
    return {"id": f"{source}-{number}-{tier}", "source": source, "tier": tier, "prompt": text, "lang": "en",
            "labels": [tier, tier], "licence_class": "permissive", "block": f"{source}-{number}"}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base data and corpora in one."""
    folder = tmp_path_factory.mktemp("corpus")
    tiers = [t.value for t in TIERS]
    own = [row(i, t, "written") for i in range(20) for t in tiers]
    write_rows(folder / "requests.jsonl.gz", own)
    frozen = [row(i, t, "written") for i in range(20, 26) for t in tiers]
    write_rows(folder / "frozen.jsonl.gz", frozen)
    write_rows(
        folder / "examples.jsonl", [{"id": "e", "prompt": "name the longest river of Asia", "tier": "lightweight"}]
    )
    real = [row(i, t, s) for s in ("alpha", "beta", "gamma") for i in range(8) for t in tiers]
    measuring = [{**row(i, t, "delta"), "licence_class": "unverified"} for i in range(5) for t in tiers]
    write_rows(folder / "labelled.jsonl.gz", [*real, *measuring])
    other = [{"id": f"u{i}", "prompt": f"what is number {i}", "nature": "lightweight"} for i in range(6)]
    write_rows(folder / "uncommonroute_train.jsonl.gz", other)
    outcomes = [{"dataset": "t", "group": f"g{i % 4}", "prompt": f"question {i} about {THINGS[i % 8]}",
                 "small_ok": i % 2, "frontier_ok": 1} for i in range(40)]  # fmt: skip
    write_rows(folder / "outcomes.jsonl.gz", outcomes)
    return folder


@pytest.fixture(scope="module")
def artifact(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first stage trained on it."""
    return run(out=tmp_path_factory.mktemp("artifact"), corpora=corpus, data=corpus, deep=False, name="small").path


def test_rows_that_may_only_be_measured_with_do_not_train(artifact: Path) -> None:
    """The unverified source is named nowhere among what the weights were trained on."""
    trained = json.loads((artifact / "metadata.json").read_text(encoding="utf-8"))["trained_on"]

    assert trained["sources"] == ["alpha", "beta", "gamma", "uncommonroute"]
    assert trained["real"] == 3 * 24 + 6


def test_a_trained_artifact_serves(artifact: Path) -> None:
    """What was trained can be loaded and knows its own small world."""
    model = classifier.load(artifact)

    assert model.artifact.id.startswith("small-")
    assert model.classify("prove a bound on trees").probabilities["reasoning"] > 0.3


def test_an_evaluation_covers_every_section(artifact: Path, corpus: Path, tmp_path: Path) -> None:
    """Pooled sources, baselines, the frozen part, languages and outcome tables are in the report and on disk."""
    report = evaluate.run(artifact=artifact, corpora=corpus, data=corpus, out=tmp_path, peers=False)

    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert set(written) >= {"frozen", "pooled", "baselines", "written", "outcomes"}
    assert set(written["pooled"]["by_source"]) == {"alpha", "beta", "gamma", "delta"}
    assert written["frozen"]["first stage"]["accuracy"] > 0.5
    assert "## Real prompts, source held out" in report.markdown
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == report.markdown


def test_the_report_shows_what_the_figures_hold(artifact: Path, corpus: Path) -> None:
    """Confusion, calibration by tier and source, under- and over-routing by part, curves, stages and intervals."""
    report = evaluate.run(artifact=artifact, corpora=corpus, data=corpus, peers=False)

    pooled = report.figures["pooled"]
    assert np.sum(pooled["confusion"]["most probable tier"]) == pytest.approx(4 * 24 - 9, abs=0.2)
    assert set(pooled["calibration"]) == {"top label", *(t.value for t in TIERS)}
    assert set(pooled["by_script"]) == {"latin"}
    assert set(report.figures["frozen_parts"]["by_language"]) == {"en"}
    assert pooled["by_source"]["alpha"]["intervals"]["policy_over_routed"][0] >= 0
    assert list(pooled["reached"]["first stage"].values())[-1] == pytest.approx(1.0)
    assert pooled["stages"]["asked"] == {"first stage": 1.0, "second stage": 0.0}
    for heading in (
        "Confusion, default policy:",
        "| true tier | to lightweight | to coding | to reasoning |",
        "### Stages",
        "Cost against quality",
        "| subject prior |",
        "| MMLU: random |",
        "| 100% |",
    ):
        assert heading in report.markdown


def test_the_second_stage_is_measured_alone_too(artifact: Path, corpus: Path, tmp_path: Path) -> None:
    """Its own log-odds are calibrated by themselves: where they are right, a first stage without a clue has no say."""
    known = load_training_data(corpus, corpus)
    folder = shutil.copytree(artifact, tmp_path / "two")
    true = np.array([TIERS.index(r.tier) for r in known.every])
    write_out_of_source(folder / OUT_OF_SOURCE, known.every, np.zeros((true.size, 3)), 3.0 * np.eye(3)[true])
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    metadata["files"][OUT_OF_SOURCE] = sha256_of(folder / OUT_OF_SOURCE)
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")

    real, _, _ = pooled_predictions(folder, known, [[0, 1, 1], [1, 0, 1], [1, 1, 0]], 0.01)

    assert real.alone is not None
    assert (real.alone.argmax(axis=1) == real.true).all()
    assert not (real.first.argmax(axis=1) == real.true).all()
    assert np.allclose(real.alone.sum(axis=1), 1.0)
    assert real.take(np.array([0, 2])).alone == pytest.approx(real.alone[[0, 2]])


def test_without_corpora_only_the_frozen_part_is_measured(artifact: Path, corpus: Path) -> None:
    """A user without corpora gets the frozen figures and nothing made up."""
    report = evaluate.run(artifact=artifact, data=corpus)

    assert "pooled" not in report.figures
    assert report.path is None


def test_other_rows_than_in_training_are_refused(artifact: Path, corpus: Path, tmp_path: Path) -> None:
    """An artifact says nothing out of source about rows that it had never seen."""
    for file in corpus.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_rows(tmp_path / "labelled.jsonl.gz", [row(99, "coding", "omega")])

    with pytest.raises(DatasetError, match="retrain"):
        evaluate.run(artifact=artifact, corpora=tmp_path, data=tmp_path, peers=False)


@pytest.mark.parametrize("name", ["outcomes.jsonl.gz", "labelled.jsonl.gz", "uncommonroute_train.jsonl.gz"])
def test_a_missing_file_of_the_corpora_is_named_before_anything_is_measured(
    tmp_path: Path, corpus: Path, name: str
) -> None:
    """Minutes of measuring would be lost; nothing is said and no artifact read before."""
    shutil.copytree(corpus, tmp_path / "corpora", ignore=shutil.ignore_patterns(name))
    said: list[str] = []

    with pytest.raises(DatasetError, match=f"{name} is not there"):
        evaluate.run(artifact=tmp_path / "no artifact", corpora=tmp_path / "corpora", data=corpus, say=said.append)

    assert said == []


def test_missing_corpora_are_named(tmp_path: Path, corpus: Path) -> None:
    """A folder without the file says which file."""
    with pytest.raises(DatasetError, match=r"labelled\.jsonl\.gz"):
        run(out=tmp_path / "out", corpora=tmp_path, data=corpus, deep=False)


def test_a_leak_stops_the_run_before_anything_is_written(corpus: Path, tmp_path: Path) -> None:
    """With an example in the corpora no artifact appears."""
    for file in corpus.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_rows(tmp_path / "examples.jsonl", [{"id": "e", "prompt": row(3, "coding", "alpha")["prompt"]}])

    with pytest.raises(LeakError):
        run(out=tmp_path / "out", corpora=tmp_path, data=tmp_path, deep=False)

    assert not (tmp_path / "out").exists()


def test_the_artifact_says_what_it_was_trained_on(artifact: Path) -> None:
    """Its reference, for the drift monitor, counts the rows that trained; its own kind of traffic has not drifted."""
    metadata = json.loads((artifact / "metadata.json").read_text(encoding="utf-8"))
    reference = Reference.of(metadata)

    assert reference is not None
    assert reference.rows == metadata["trained_on"]["team_written"] + metadata["trained_on"]["real"]
    tally = reference.tally()
    model = classifier.load(artifact, stages=1)
    for number in range(60):
        ask = str(row(number % 20, TIERS[number % 3].value, "written")["prompt"])
        tally.add(feature_row(view_of(ask)), "en", list(model.predict_proba([ask])[0]))
    assert "words" not in {shift.group for shift in tally.shifts() if shift.drifted}
