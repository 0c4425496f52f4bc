"""`autotier train --from-scratch --public`: a set of the user's, read by the real `datasets` from a local folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from classifier.artifact import CARD, METADATA
from classifier.record import write_rows
from classifier.tiers import TIERS
from service.cli.main import cli
from tests.integration.training.test_train_and_evaluate import row
from training.dataset import DatasetError, TrainingData
from training.public_sets import WEIGHT, PublicSet, read_public, with_public

ASKS = ["What is a cantilever?", "Name three alloys of copper.", None, "  ", "How high is a storey?"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of JSONL as `datasets` reads it, and a hub that cannot be reached."""
    datasets = pytest.importorskip("datasets", reason="the extra training is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    there = tmp_path / "bridges"
    there.mkdir()
    lines = [json.dumps({"ask": ask, "turns": [{"role": "user"}], "n": n}) for n, ask in enumerate(ASKS)]
    (there / "train.jsonl").write_text("\n".join(lines) + "\n")
    return there


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Base data of 24 requests; torch, where it is installed, has nothing to start from."""
    monkeypatch.setattr("training.train.TOP_FILE", tmp_path / "none")
    there = tmp_path / "data"
    there.mkdir()
    write_rows(there / "requests.jsonl.gz", [row(i, t.value, "written") for i in range(8) for t in TIERS])
    write_rows(there / "examples.jsonl", [{"id": "e", "prompt": "name the longest river of Asia"}])
    return there


def train(data: Path, *flags: str) -> Result:
    """The command on small base data."""
    return CliRunner().invoke(cli, ["train", "--from-scratch", "-o", str(data / "out"), "--data", str(data), *flags])


def test_rows_of_a_folder_have_a_source_a_weight_and_a_label(folder: Path) -> None:
    """The text of the column, the tier that the user gave; rows without text are left out."""
    rows = read_public(PublicSet(str(folder), "ask", "lightweight"))

    assert [r.request for r in rows] == [ask for ask in ASKS if ask and ask.strip()]
    assert {(r.source, r.tier, r.weight) for r in rows} == {("public:bridges", TIERS[0], WEIGHT)}
    assert len({r.id for r in rows}) == len(rows)


def test_no_more_rows_are_read_than_asked_for(folder: Path) -> None:
    """From the start."""
    assert len(read_public(PublicSet(str(folder), "ask", "lightweight"), limit=1)) == 1


def test_they_train_behind_the_real_prompts(folder: Path) -> None:
    """With a hash of what was read, that another text changes."""
    empty = TrainingData((), (), (), {"requests.jsonl.gz": "0"})
    wanted = PublicSet(str(folder), "ask", "coding")

    one = with_public(empty, [wanted])
    file = folder / "train.jsonl"
    file.write_text(file.read_text().replace("cantilever", "girder"))
    two = with_public(empty, [wanted])

    assert len(one.trainable) == 3
    assert set(one.hashes) == {"requests.jsonl.gz", "public:bridges:ask:coding"}
    assert one.hashes != two.hashes


def test_colons_of_a_name_stay_in_it() -> None:
    """Only the last two part column and tier from it."""
    assert PublicSet.of("C:/sets/asks:prompt:coding") == PublicSet("C:/sets/asks", "prompt", "coding")


@pytest.mark.timeout(120)
def test_the_artifact_names_the_sets_and_is_not_the_shipped_one(folder: Path, data: Path) -> None:
    """Two columns of labels, one run: metadata and card say how many rows of whom, and the user is told."""
    pytest.importorskip("sklearn")

    result = train(data, "--public", f"{folder}:ask:lightweight", "--public", f"{folder}:ask:reasoning")

    assert result.exit_code == 0, result.output
    assert "trained with --public: this is not the shipped artifact" in result.output
    metadata = json.loads((data / "out" / METADATA).read_text(encoding="utf-8"))
    assert metadata["trained_on"]["public"] == {"public:bridges": 6}
    assert metadata["trained_on"]["real"] == 0
    assert {"public:bridges:ask:lightweight", "public:bridges:ask:reasoning"} < set(metadata["data_sha256"])
    assert "public:bridges (6 rows)" in (data / "out" / CARD).read_text(encoding="utf-8")
    assert str(folder) not in (data / "out" / METADATA).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("{folder}:prompt:coding", "no column 'prompt'; name one of ask, turns, n"),
        ("{folder}:turns:coding", "column 'turns' holds list; name one that holds text"),
        ("{folder}/nowhere:ask:coding", "nowhere is not there; name a folder with JSONL"),
        ("nobody/nothing:ask:coding", "nobody/nothing cannot be read: no folder of that name is here"),
    ],
)
def test_what_cannot_be_read_says_why_and_what_to_do(folder: Path, data: Path, flag: str, words: str) -> None:
    """In one line, before anything is trained."""
    result = train(data, "--public", flag.format(folder=folder))

    assert isinstance(result.exception, Exception)
    message = str(result.exception) + result.output
    assert words in message
    assert "\n" not in str(result.exception)
    assert not (data / "out").exists()


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("prompts", "write NAME:FIELD:TIER"),
        (":ask:coding", "write NAME:FIELD:TIER"),
        ("prompts:ask:hard", "unknown tier 'hard'; write one of lightweight, coding, reasoning"),
    ],
)
def test_a_set_named_wrongly_is_a_usage_error(data: Path, flag: str, words: str) -> None:
    """Before any data is read."""
    result = train(data, "--public", flag)

    assert result.exit_code == 2
    assert words in result.output


def test_a_challenger_takes_no_public_set() -> None:
    """It starts from a champion and learns from the log."""
    result = CliRunner().invoke(cli, ["train", "--public", "prompts:ask:coding"])

    assert result.exit_code == 2
    assert "--public needs --from-scratch" in result.output


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` comes with the extra `training` alone."""
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(DatasetError, match=r"pip install 'autotier\[training\]'"):
        read_public(PublicSet(str(tmp_path), "ask", "coding"))


def test_a_broken_file_is_named(folder: Path) -> None:
    """Half a line of JSON is no row."""
    (folder / "train.jsonl").write_text('{"ask": "What is a truss?"}\n{"ask": \n')

    with pytest.raises(DatasetError, match="check its files") as caught:
        read_public(PublicSet(str(folder), "ask", "coding"))

    assert "\n" not in str(caught.value)
