"""How often a real prompt with a given score has each tier, and how often score and label name the same one.

`python -m training.score_table --corpora DIR`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.record import LabelledRequest
from classifier.tiers import tier_index
from training.calibrate import balanced_weights
from training.dataset import load_training_data

STEP = 5
BORDERS = (25, 75)


def table(rows: list[LabelledRequest]) -> NDArray[np.float64]:
    """(21, 3) probabilities of the tiers at 0, 5, ... 100, every source of the rows the same.

    Args:
        rows: Real prompts with scores, labelled more than once.
    """
    from sklearn.linear_model import LogisticRegression

    def bent(score: NDArray[np.float64]) -> NDArray[np.float64]:
        x = score / 50 - 1
        return np.column_stack((x, x * x, np.maximum(x, 0)))

    scores = np.array([r.score for r in rows], dtype=float)
    model = LogisticRegression(C=10, max_iter=2000)
    model.fit(
        bent(scores),
        [tier_index(r.tier) for r in rows],
        sample_weight=balanced_weights(np.array([r.source for r in rows])),
    )
    found: NDArray[np.float64] = model.predict_proba(bent(np.arange(0, 101, STEP, dtype=float)))
    return found


def agreement(rows: Sequence[LabelledRequest]) -> float:
    """Share of the rows whose score lies in the part of the scale that its tier's name stands on."""
    named = np.searchsorted(BORDERS, [r.score for r in rows], side="right")
    return float(np.mean(named == [tier_index(r.tier) for r in rows]))


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    data = load_training_data(parser.parse_args().corpora)
    rows = [r for r in data.real if len(r.labels) > 1 and r.score >= 0]
    natural = [r for r in data.base if r.source == "natural" and not r.block.startswith("form-") and r.score >= 0]
    for score, line in zip(range(0, 101, STEP), table(rows), strict=True):
        sys.stdout.write(" ".join((str(score), *(f"{p:.3f}" for p in line))) + "\n")
    for name, found in (("real", rows), ("natural", natural)):
        sys.stdout.write(f"{name}: {len(found)} rows, the same tier in {agreement(found):.3f}\n")


if __name__ == "__main__":
    main()
