"""An artifact is never older than its features: their fingerprint, and the one that it keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import classifier.conversation
import classifier.deep
import classifier.features
from classifier.artifact import METADATA, metadata_of, shipped_path
from classifier.prompt import PromptView
from classifier.record import write_rows
from classifier.structure import STRUCTURE_NAMES, structure_vector
from classifier.tiers import TIERS
from classifier.turn_shapes import gate_features
from training import feature_digest
from training.feature_digest import KEY, digest
from training.train import run


def test_the_shipped_artifact_is_as_new_as_the_features() -> None:
    """It was trained on the features that serve it; where this fails, the features changed: retrain it."""
    kept = metadata_of(shipped_path()).get(KEY)
    if kept is None:
        pytest.skip(f"the shipped artifact is older than `{KEY}`: its metadata has no such key yet")

    assert kept == digest(), "retrain: autotier train --from-scratch --corpora DIR"


def test_a_training_keeps_the_digest(tmp_path: Path) -> None:
    """What `train` writes says which features it saw."""
    rows = [{"id": f"r{i}", "tier": TIERS[i % 3].value, "prompt": f"request {i % 3} {i}"} for i in range(30)]
    write_rows(tmp_path / "requests.jsonl.gz", rows)
    write_rows(tmp_path / "examples.jsonl", [{"id": "e", "prompt": "name the capital of Peru", "tier": "lightweight"}])

    made = run(out=tmp_path / "made", data=tmp_path, deep=False).path

    assert json.loads((made / METADATA).read_text(encoding="utf-8"))[KEY] == digest()


def test_another_process_finds_the_same() -> None:
    """The order of Python's hashes has no part in it."""
    code = "from training.feature_digest import digest; print(digest())"

    other = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )  # fmt: skip

    assert other.stdout.strip() == digest()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (classifier.features, "ASK_CHARS", (1_000, 399)),
        (classifier.features, "PASTE_CHARS", (399, 200)),
        (classifier.features, "CHAR_ORDERS", (2, 3, 4)),
        (classifier.features, "_by_length", lambda number: "0"),
        (classifier.conversation, "OPENING", 79),
        (classifier.conversation, "ASK", 40),
        (classifier.deep, "ASK_TOKENS", (80, 47)),
        (classifier.deep, "PASTE_TOKENS", (35, 16)),
        (classifier.deep, "PREVIOUS_TOKENS", 27),
        (classifier.deep, "PASTE_CHARACTERS", (500, 299)),
    ],
)
def test_a_changed_feature_changes_the_digest(
    module: ModuleType, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words, characters, the carried ask, the gate's opening and what the second stage reads."""
    before = digest()
    monkeypatch.setattr(module, name, value)

    assert digest() != before


@pytest.mark.parametrize("place", range(0, len(STRUCTURE_NAMES), 7))
def test_a_structure_feature_that_moves_is_seen(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a hundred-thousandth, in one column."""

    def moved(view: PromptView) -> Any:
        vector = structure_vector(view)
        vector[place] += 1e-5
        return vector

    before = digest()
    monkeypatch.setattr(classifier.features, "structure_vector", moved)

    assert digest() != before


def test_rounding_of_another_machine_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bits of a float are not a feature; a difference that matters is."""
    before = digest()

    def moved_by(step: float) -> str:
        monkeypatch.setattr(feature_digest, "gate_features", lambda view: gate_features(view) * (1 + step))
        return digest()

    assert moved_by(1e-13) == before
    assert moved_by(1e-3) != before
