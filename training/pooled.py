"""Predictions "trained without this source, tested on it", pooled over all sources.

The log-odds come from the training run (`training.train.OUT_OF_SOURCE`). Calibration and join are fitted here
again for each source
without its rows, so that not even those few numbers have seen what they are measured on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import load_artifact
from classifier.policy import expected_costs
from classifier.record import TEAM_WRITTEN, LabelledRequest
from classifier.tiers import tier_index
from training.calibrate import balanced_weights, calibration_weights, fit_calibration
from training.conversations import BEGINNING
from training.dataset import DatasetError, TrainingData
from training.first_stage import encode, scaled_of, soft_label
from training.stack import fit_stack
from training.train import OUT_OF_SOURCE, fold_keys, row_key

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pooled:
    """Pooled predictions of one set of rows.

    Attributes:
        rows: The requests.
        true: (n,) tier positions.
        groups: (n,) what was held out together, the cluster of the bootstrap.
        weights: (n,) weights with which each source counts the same.
        first: (n, 3) probabilities of the first stage.
        alone: (n, 3) probabilities of the second stage alone, its log-odds calibrated; None without one.
        second: (n, 3) probabilities of both stages joined, asked for every row; None without a second stage.
        both: (n, 3) as served: joined where the first stage is unsure; None without a second stage.
        asked: (n,) whether the second stage was asked.
    """

    rows: Sequence[LabelledRequest]
    true: NDArray[np.intp]
    groups: NDArray[Any]
    weights: Floats
    first: Floats
    alone: Floats | None
    second: Floats | None
    both: Floats | None
    asked: NDArray[np.bool_]

    @property
    def best(self) -> Floats:
        """Probabilities as served: both stages if there are two."""
        return self.first if self.both is None else self.both

    def alike(self) -> Pooled:
        """The same with every row weighted the same."""
        return replace(self, weights=np.ones(len(self.rows)))

    def take(self, rows: NDArray[np.intp]) -> Pooled:
        """Some of the rows, with their sources weighted anew."""
        groups = self.groups[rows]
        return Pooled(
            [self.rows[i] for i in rows],
            self.true[rows],
            groups,
            balanced_weights(groups),
            self.first[rows],
            _rows_of(self.alone, rows),
            _rows_of(self.second, rows),
            _rows_of(self.both, rows),
            self.asked[rows],
        )


def _rows_of(array: Floats | None, rows: NDArray[np.intp]) -> Floats | None:
    return None if array is None else array[rows]


def pooled_predictions(
    artifact: Path, data: TrainingData, matrix: Sequence[Sequence[float]], bound: float
) -> tuple[Pooled, Pooled, Pooled]:
    """Read the out-of-source log-odds of an artifact and calibrate them without the source of each row.

    Args:
        artifact: The artifact folder. Of its weights only the scale of the structure features is used.
        data: The data it was trained on.
        matrix: The policy's cost matrix.
        bound: Share of the greatest cost above which the second stage is asked.

    Returns:
        (real prompts, team-written requests, the beginnings of their conversations).

    Raises:
        ArtifactError: The artifact cannot be used.
        DatasetError: The artifact carries no such log-odds, or not for these rows.
    """
    every = data.every
    first, second = _read(artifact, every)
    known = load_artifact(artifact)
    scaled = scaled_of(known.first, encode(every, known.follow_up))
    labels = np.array([tier_index(r.tier) for r in every], dtype=np.intp)
    soft = np.array([soft_label(r) for r in every])
    sources = np.array([r.source for r in every])
    base = calibration_weights(sources, np.array([r.weight for r in every]), soft)
    written = np.isin(sources, TEAM_WRITTEN)
    trainable = np.arange(len(every)) < len(data.trainable)
    p1 = np.zeros((len(every), 3))
    alone, p2 = (None, None) if second is None else (np.zeros((len(every), 3)), np.zeros((len(every), 3)))
    for source in np.unique(sources):
        # Team-written topics differ from fold to fold already; their calibration is that of all rows.
        use = np.flatnonzero(trainable & ((sources != source) | written))
        test = np.flatnonzero(sources == source)
        calibration = fit_calibration(first[use], soft[use], base[use])
        p1[test] = calibration.probabilities(first[test])
        if second is not None and alone is not None and p2 is not None:
            alone[test] = fit_calibration(second[use], soft[use], base[use]).probabilities(second[test])
            stack = fit_stack(calibration.probabilities(first[use]), second[use], scaled[use], soft[use], base[use])
            p2[test] = stack.probabilities(p1[test], second[test], scaled[test])
    greatest = max(max(row) for row in matrix)
    asked = (expected_costs(p1, matrix).min(axis=1) > bound * greatest) & (p2 is not None)
    both = None if p2 is None else np.where(asked[:, None], p2, p1)
    groups = np.array(fold_keys(every))
    everything = Pooled(every, labels, groups, np.ones(len(every)), p1, alone, p2, both, asked)
    # Template-made rows of another router's authors carry its labels, not ours: they are not measured on.
    ours = np.array([r.weight == 1.0 for r in every])
    real = everything.take(np.flatnonzero(~written & ours))
    # Rows that only their writer labelled, having read an evaluation, are not measured on either.
    twice = np.array([len(r.labels) != 1 for r in every])
    begins = np.array([r.turn == BEGINNING for r in every])
    own = everything.take(np.flatnonzero(written & twice & ~begins)).alike()
    return real, own, everything.take(np.flatnonzero(begins)).alike()


def _read(artifact: Path, rows: Sequence[LabelledRequest]) -> tuple[Floats, Floats | None]:
    path = artifact / OUT_OF_SOURCE
    if not path.is_file():
        raise DatasetError(f"{path} is not there: this artifact says nothing about sources held out")
    with np.load(path, allow_pickle=False) as arrays:
        place = {key: i for i, key in enumerate(arrays["keys"].tolist())}
        missing = [r.id for r in rows if row_key(r) not in place]
        if missing:
            raise DatasetError(f"{path}: {len(missing)} rows were not there in training, {missing[0]} first: retrain")
        order = np.array([place[row_key(r)] for r in rows])
        second = arrays["second"][order].astype(np.float64) if "second" in arrays.files else None
        return arrays["first"][order].astype(np.float64), second
