"""The public face of the classifier, on the shipped artifact."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import classifier
from classifier import TIERS, Classifier, Tier
from classifier.artifact import shipped_path

DIFF = "\n\ndiff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n"


@pytest.fixture(scope="module")
def model() -> Classifier:
    """The shipped first stage."""
    return classifier.load(stages=1)


def test_probabilities_sum_to_one_and_agree_with_predict_proba(model: Classifier) -> None:
    """`classify` and `predict_proba` are one computation."""
    prompts = [
        "hi",
        "prove that the halting problem is undecidable",
        "write tests for this module",
        "¿qué hora es en Lima?",
    ]

    rows = model.predict_proba(prompts)

    for prompt, row in zip(prompts, rows, strict=True):
        found = model.classify(prompt)
        assert sum(found.probabilities.values()) == pytest.approx(1.0)
        assert [found.probabilities[t] for t in TIERS] == pytest.approx(row.tolist())
        assert found.confidence == found.probabilities[found.tier]
        assert found.runner_up is not found.tier


def test_a_classification_is_frozen_and_explained(model: Classifier) -> None:
    """The answer cannot be changed, and says in words what spoke."""
    found = model.classify("Write a commit message for this diff:" + DIFF)

    assert found.features
    assert all(feature.name and np.isfinite(feature.contribution) for feature in found.features)
    assert found.needed
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.tier = Tier.CODING  # type: ignore[misc]  # the test is that this fails


def test_the_matrix_changes_the_decision_not_the_probabilities(model: Classifier) -> None:
    """Another cost of error gives another tier from the same probabilities."""
    prompt = "compare these two phones for me"
    all_up = [[0, 0, 0], [9, 0, 0], [9, 9, 0]]
    all_down = [[0, 9, 9], [0, 9, 9], [0, 9, 9]]

    up, down = model.classify(prompt, matrix=all_up), model.classify(prompt, matrix=all_down)

    assert (up.tier, down.tier) == (Tier.REASONING, Tier.LIGHTWEIGHT)
    assert up.probabilities == down.probabilities


@pytest.mark.parametrize("name", ["default", "eco", "quality"])
def test_matrices_are_known_by_name(model: Classifier, name: str) -> None:
    """The artifact's three matrices can be named."""
    assert model.classify("hello", matrix=name).tier in TIERS


def test_an_unknown_matrix_is_an_error_that_lists_the_known(model: Classifier) -> None:
    """A wrong name says which names there are."""
    with pytest.raises(ValueError, match="default, eco, quality"):
        model.classify("hello", matrix="cheap")


def test_no_predictions_for_no_prompts(model: Classifier) -> None:
    """An empty list gives an array of shape (0, 3)."""
    assert model.predict_proba([]).shape == (0, 3)


def test_loading_imports_nothing_heavy() -> None:
    """Loading and classifying leaves scikit-learn, scipy, litellm, pandas and torch unimported."""
    code = (
        "import sys, classifier; classifier.load(stages=1).classify('hi');"
        "print([m for m in ('sklearn', 'scipy', 'litellm', 'pandas', 'torch') if m in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("weights", "sha256"),
        ("metadata", "cannot be read"),
        ("schema", "schema"),
        ("missing", "not there"),
        ("matrices", "matrices"),
    ],
)
def test_a_damaged_artifact_is_refused(tmp_path: Path, damage: str, message: str) -> None:
    """Changed bytes, broken metadata, another schema and missing files are refused with the reason."""
    folder = tmp_path / "copy"
    shutil.copytree(shipped_path(), folder)
    metadata = folder / "metadata.json"
    record = json.loads(metadata.read_text(encoding="utf-8"))
    if damage == "weights":
        (folder / "weights.npz").write_bytes((folder / "weights.npz").read_bytes()[:-1] + b"x")
    elif damage == "metadata":
        metadata.write_text("{", encoding="utf-8")
    elif damage == "missing":
        (folder / "weights.npz").unlink()
    else:
        record["feature_schema" if damage == "schema" else "matrices"] = 999 if damage == "schema" else {}
        metadata.write_text(json.dumps(record), encoding="utf-8")

    with pytest.raises(classifier.ArtifactError, match=message):
        classifier.load(folder)


def test_a_folder_that_is_no_artifact_is_refused(tmp_path: Path) -> None:
    """An empty folder says what an artifact is."""
    with pytest.raises(classifier.ArtifactError, match="autotier train"):
        classifier.load(tmp_path)


def test_stages_are_one_two_or_all() -> None:
    """Any other number of stages is an error."""
    with pytest.raises(ValueError, match="stages"):
        classifier.load(stages=3)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "   ",
        "🙂",
        "x" * 1_000_000,
        " " * 1_000_000,
        "\n" * 50_000,
        "def f():\n    return 1",
        "https://example.org/a?b=c",
        "aGVsbG8gd29ybGQ=" * 500,
        "привет hello 你好 مرحبا",
        "שלום עולם",
        "\ud800 lone surrogate",
        "\x00\x01",
        "yes",
        "go on",
        "```",
        "<a><b></a>",
        "$$$$",
        "| a | b |\n| - | - |",
    ],
)
def test_odd_texts_give_finite_probabilities(model: Classifier, prompt: str) -> None:
    """Any text has probabilities."""
    row = model.predict_proba([prompt])[0]

    assert np.isfinite(row).all()
    assert row.sum() == pytest.approx(1.0)
