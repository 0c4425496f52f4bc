"""Scores: where a reader saw a request between trivial and as hard as can be.

A label says which tier, not how nearly another one. A language model that read a request gave it 0 to 100: 25 is torn
between lightweight and coding, 75 between coding and reasoning. What a number means in the labels of real prompts is
learnt from these, and a row teaches mostly that (distillation: Hinton et al. 2015), also where it is another tier than
the label. `data/` holds the scores by the hash of the request, so that a score belongs to the very text that was read,
and nobody else's text is published.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.prompt import Messages
from classifier.record import LabelledRequest, read_rows

Floats = NDArray[np.float64]
SCORES_FILE = "scores.jsonl.gz"
SHARE = 0.75
"""Of what a row teaches, the part that its score says; the labels say the rest (training/LOG.md)."""

LEAST = 0.02
"""Smaller probabilities than this are not taught: they cost a row of the design matrix each."""

TIERS_AT_SCORE = np.array(
    [
        [1.000, 0.000, 0.000],
        [0.999, 0.001, 0.000],
        [0.994, 0.005, 0.000],
        [0.957, 0.041, 0.002],
        [0.775, 0.217, 0.008],
        [0.379, 0.600, 0.021],
        [0.113, 0.858, 0.030],
        [0.030, 0.933, 0.037],
        [0.009, 0.944, 0.048],
        [0.003, 0.929, 0.068],
        [0.001, 0.893, 0.106],
        [0.000, 0.762, 0.238],
        [0.000, 0.518, 0.481],
        [0.000, 0.244, 0.756],
        [0.000, 0.079, 0.921],
        [0.000, 0.020, 0.980],
        [0.000, 0.004, 0.996],
        [0.000, 0.001, 0.999],
        [0.000, 0.000, 1.000],
        [0.000, 0.000, 1.000],
        [0.000, 0.000, 1.000],
    ]
)
"""(21, 3) how often real prompts with the score 0, 5, ... 100 have each tier, every source the same: a logistic
regression of the labels of those that may train on the score (`python -m training.score_table --corpora DIR`). Its
seven numbers have seen every training source, also in fits that hold one out; they hold no text."""


def request_hash(request: str | Messages) -> str:
    """The first 16 digits of the sha256 of a request: of its text, or of its messages as JSON."""
    text = request if isinstance(request, str) else json.dumps(list(request), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_scores(path: Path, hashes: dict[str, str]) -> dict[str, int]:
    """Scores by the hash of their request; none where the file is not there.

    Args:
        path: File of the scores.
        hashes: Gets its sha256 by name.

    Raises:
        ValueError: A row is no hash with a score from 0 to 100; the message names file and row.
    """
    if not path.is_file():
        return {}
    hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    found: dict[str, int] = {}
    for row in read_rows(path):
        score = row.get("score")
        if not isinstance(row.get("request"), str) or not isinstance(score, int) or not 0 <= score <= 100:
            raise ValueError(f"{path}: {row} is not the hash of a request with a score from 0 to 100")
        found[row["request"]] = score
    return found


def scored(rows: Sequence[LabelledRequest], scores: Mapping[str, int]) -> tuple[LabelledRequest, ...]:
    """Rows with the score of their request, -1 where it has none."""
    return tuple(replace(row, score=scores.get(request_hash(row.request), -1)) for row in rows)


def tiers_of_score(score: float) -> Floats:
    """(3,) probabilities of the tiers at a score, between the rows of `TIERS_AT_SCORE` in proportion."""
    at = np.linspace(0, 100, len(TIERS_AT_SCORE))
    return np.array([np.interp(score, at, column) for column in TIERS_AT_SCORE.T])


def taught_label(row: LabelledRequest, label: Floats) -> Floats:
    """What a row teaches: its label distribution, and by `SHARE` its score where it has one.

    Args:
        row: The row.
        label: (3,) its label distribution.

    Returns:
        (3,) summing to 1.
    """
    if row.score < 0:
        return label
    mixed = (1 - SHARE) * label + SHARE * tiers_of_score(row.score)
    mixed[mixed < LEAST] = 0.0
    result: Floats = mixed / mixed.sum()
    return result
