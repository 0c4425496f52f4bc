"""Training can be repeated: the same data and seed give the same bytes, in another process too."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from classifier.deep import GRAPH
from classifier.record import write_rows
from classifier.tiers import TIERS
from tests.integration.training.test_train_and_evaluate import row
from training.deep_train import DeepConfig
from training.train import run

RUN = """
import sys
from pathlib import Path
from training.train import run

run(out=Path(sys.argv[1]), data=Path(sys.argv[2]), deep=False, from_scratch=True, name="small")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base data of 24 requests."""
    folder = tmp_path_factory.mktemp("data")
    write_rows(folder / "requests.jsonl.gz", [row(i, t.value, "written") for i in range(8) for t in TIERS])
    write_rows(folder / "examples.jsonl", [{"id": "e", "prompt": "name the longest river of Asia"}])
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Files of an artifact."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_first_stage_is_the_same_in_another_process(data: Path, tmp_path: Path) -> None:
    """Weights, metadata, card and predictions out of source, with another order of Python's hashes."""
    run(out=tmp_path / "one", data=data, deep=False, from_scratch=True, name="small")

    subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "two"), str(data)],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )

    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert {"weights.npz", "metadata.json", "CARD.md", "out_of_source.npz"} == set(one)
    assert one == two


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "onnx", "tokenizers")),
    reason="the second stage is trained with torch, onnx and tokenizers",
)
def test_the_second_stage_is_the_same_again(data: Path, tmp_path: Path) -> None:
    """One pass over the rows from the encoder that ships."""
    for name in ("one", "two"):
        config = DeepConfig(epochs=1, folds=2)
        run(out=tmp_path / name, data=data, deep=True, deep_config=config, from_scratch=True, name="small")

    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert GRAPH in one
    assert one == two
