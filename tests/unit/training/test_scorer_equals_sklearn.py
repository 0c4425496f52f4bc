"""Serving equals training: the lean scorer against scikit-learn, and a run that is repeated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.artifact import MATRICES as NAMES
from classifier.artifact import WEIGHTS, load_artifact, write_artifact
from classifier.features import HASHED_SIZE, feature_row
from classifier.prompt import view_of
from classifier.record import LabelledRequest, write_rows
from classifier.scorer import Calibration, LinearScorer, softmax
from classifier.structure import STRUCTURE_NAMES
from classifier.tiers import TIERS
from training.first_stage import FirstConfig, encode, hashed_matrix, logits_of, scorer_from, structure_matrix
from training.train import FirstStage, arrays_of, run

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

GATE = np.zeros(11)
MATRICES = {name: [[0, 1, 2], [1, 0, 1], [4, 2, 0]] for name in NAMES}
PROMPTS = [
    "what is a mutex",
    "write a python script that renames files and logs errors, with options",
    "prove that this scheduler never starves a task under weak fairness",
    "übersetze das bitte ins Englische: Guten Morgen",
    "为一个支付系统设计迁移方案，停机不超过五分钟",
    "refactor this class\n```python\nclass A:\n    def f(self):\n        return 1\n```",
]


def requests() -> list[LabelledRequest]:
    """Thirty small labelled rows."""
    return [LabelledRequest(f"r{i}", "written", TIERS[i % 3], f"{PROMPTS[i % 6]} {i}") for i in range(30)]


def fitted() -> tuple[LogisticRegression, csr_matrix, LinearScorer]:
    """scikit-learn's model of the small rows, what it was fitted on, and the scorer made of it."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    config = FirstConfig()
    data = encode(requests(), GATE)
    mean, scale = data.structure.mean(axis=0), np.maximum(data.structure.std(axis=0), 1e-3)
    scaled = np.clip((data.structure - mean) / scale, -4, 4) * config.structure_gain
    design = hstack([csr_matrix(scaled), data.hashed * config.hashed_gain], format="csr")
    model = LogisticRegression(max_iter=200).fit(design, data.labels)
    return model, design, scorer_from(model, mean, scale, config)


def served_by(scorer: LinearScorer) -> NDArray[np.float64]:
    """(n, 3) probabilities of the small rows, row by row as in serving, uncalibrated."""
    return np.array([softmax(scorer.logits(feature_row(view_of(r.request)))) for r in requests()])  # type: ignore[arg-type]


def test_the_lean_scorer_equals_predict_proba() -> None:
    """Probabilities of the weights as fitted equal scikit-learn's on the same features to 1e-6."""
    model, design, scorer = fitted()

    assert np.abs(served_by(scorer) - model.predict_proba(design)).max() < 1e-6


def test_an_artifact_equals_predict_proba_but_for_its_short_weights(tmp_path: Path) -> None:
    """Through the folder, whose hashed weights have 16 bits: probabilities within 0.001, and the same tiers.

    Each weight moves by at most 2^-11 of itself, so log-odds by at most 2^-11 of the sum of |weight| |value|: that
    bound is a law. Measured: the rounding moves 1,514 requests by 0.0002 at most after a fit on 1,514 others, and 1,812
    by 0.0003 at most with weights as large as the champion's, rounded five times at random; no tier of any changes.
    """
    model, design, scorer = fitted()
    plain = FirstStage(scorer, Calibration(np.ones(3), np.zeros(3)), np.zeros((0, 3)))

    write_artifact(tmp_path, "short", arrays_of(plain, GATE), {"matrices": MATRICES})
    loaded = load_artifact(tmp_path).first

    expected, served = model.predict_proba(design), served_by(loaded)
    difference = np.abs(served - expected).max()
    assert 1e-9 < difference < 1e-3
    assert (served.argmax(axis=1) == expected.argmax(axis=1)).all()
    weights = np.abs(scorer.hashed_weights).astype(np.float64)
    for row in (feature_row(view_of(r.request)) for r in requests()):
        law = 2.0**-11 * (row.values @ weights[row.indices]) + 1e-6  # weights below 2^-14 have fewer digits
        assert (np.abs(loaded.logits(row) - scorer.logits(row)) <= law).all()


def test_many_rows_at_once_equal_one_by_one() -> None:
    """The matrix form that training uses and the row form that serves give the same log-odds."""
    random = np.random.default_rng(0)
    rows = [feature_row(view_of(p)) for p in PROMPTS]
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.coef_ = random.normal(size=(3, len(STRUCTURE_NAMES) + HASHED_SIZE))
    model.intercept_ = random.normal(size=3)
    scorer = scorer_from(model, np.zeros(len(STRUCTURE_NAMES)), np.ones(len(STRUCTURE_NAMES)), FirstConfig())
    data = encode([LabelledRequest(str(i), "t", TIERS[0], p) for i, p in enumerate(PROMPTS)], GATE)

    together = logits_of(scorer, data)

    assert structure_matrix(rows) == pytest.approx(data.structure)
    assert (hashed_matrix(rows) != data.hashed).nnz == 0
    assert together == pytest.approx(np.array([scorer.logits(r) for r in rows]), abs=1e-9)


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    """The same data and seed give the same artifact, bit for bit, and the classifier loads it."""
    write_rows(
        tmp_path / "requests.jsonl.gz", [{"id": r.id, "tier": r.tier.value, "prompt": r.request} for r in requests()]
    )
    write_rows(tmp_path / "examples.jsonl", [{"id": "e", "prompt": "name the capital of Peru", "tier": "lightweight"}])

    results = [run(out=tmp_path / name, data=tmp_path, name="test") for name in ("one", "two")]

    assert results[0].notes
    assert not results[0].shipped_recipe
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()
    assert (tmp_path / "one" / "metadata.json").read_bytes() == (tmp_path / "two" / "metadata.json").read_bytes()
    assert load_artifact(tmp_path / "one").id.startswith("test-")
