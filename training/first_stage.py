"""Fit of the first stage: multinomial logistic regression on the served features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.conversation import carried_view, continuation
from classifier.features import HASHED_SIZE, FeatureRow, feature_row
from classifier.prompt import PromptView, view_of
from classifier.record import TEAM_WRITTEN, LabelledRequest
from classifier.scorer import LinearScorer
from classifier.structure import STRUCTURE_NAMES
from classifier.tiers import tier_index
from training.scores import taught_label

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FirstConfig:
    """Settings of the fit; every figure was chosen with whole sources held out (training/LOG.md).

    Attributes:
        c: Inverse strength of the L2 penalty.
        hashed_gain: Factor on the hashed features before the fit, folded back into the weights.
        structure_gain: The same for structure features.
        real_weight: Total weight of the real prompts relative to the team-written rows.
        min_rows: Hashed columns that fewer training rows use are left out.
        max_iter: Iterations of the solver.
        folds: Groups of sources (and of topics) for predictions out of source; fewer would miss more than the source.
    """

    c: float = 1.0
    hashed_gain: float = 3.0
    structure_gain: float = 0.3
    real_weight: float = 1.0
    min_rows: int = 2
    max_iter: int = 120
    folds: int = 12


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as the first stage sees them.

    Attributes:
        structure: (n, s) unscaled.
        hashed: (n, HASHED_SIZE) sparse.
        labels: (n,) tier positions.
        soft: (n, 3) label distribution from the labellings: what calibration and figures go by.
        taught: (n, 3) what the fit is taught: the same, mixed with what the score says.
        sources: (n,) source names.
        weights: (n,) weights of the records.
    """

    structure: Floats
    hashed: csr_matrix
    labels: NDArray[np.intp]
    soft: Floats
    taught: Floats
    sources: NDArray[Any]
    weights: Floats

    def take(self, rows: NDArray[np.intp]) -> Encoded:
        """The given rows."""
        return Encoded(
            self.structure[rows],
            self.hashed[rows],
            self.labels[rows],
            self.soft[rows],
            self.taught[rows],
            self.sources[rows],
            self.weights[rows],
        )


def training_view(row: LabelledRequest, follow_up: Floats) -> PromptView:
    """The view that the scorer sees in serving for this row: what it continues, if the gate says so."""
    view = view_of(row.request)
    return carried_view(view) if continuation(view, follow_up) >= 0.5 else view


def soft_label(row: LabelledRequest) -> Floats:
    """Label distribution of a row: its tier, and each labeller's word (a torn one counts half).

    Returns:
        (3,) summing to 1.
    """
    target = np.zeros(3)
    target[tier_index(row.tier)] += 1.0
    for label in row.labels:
        name, torn = label.rstrip("?"), label.endswith("?")
        target[tier_index(name)] += 0.5 if torn else 1.0
    result: Floats = target / target.sum()
    return result


def encode(rows: Sequence[LabelledRequest], follow_up: Floats) -> Encoded:
    """Features of labelled rows, by the code that serves.

    Args:
        rows: The rows.
        follow_up: Weights of the continuation gate.

    Returns:
        The encoded rows.
    """
    features = [feature_row(training_view(row, follow_up)) for row in rows]
    labels = np.array([tier_index(r.tier) for r in rows], dtype=np.intp)
    soft = np.array([soft_label(r) for r in rows]).reshape(len(rows), 3)
    return Encoded(
        structure_matrix(features),
        hashed_matrix(features),
        labels,
        soft,
        np.array([taught_label(r, label) for r, label in zip(rows, soft, strict=True)]).reshape(len(rows), 3),
        np.array([r.source for r in rows]),
        np.array([r.weight for r in rows]),
    )


def structure_matrix(features: Sequence[FeatureRow]) -> Floats:
    """(n, s) unscaled structure features."""
    return np.array([f.structure for f in features]).reshape(len(features), len(STRUCTURE_NAMES))


def hashed_matrix(features: Sequence[FeatureRow]) -> csr_matrix:
    """(n, HASHED_SIZE) sparse hashed features."""
    from scipy.sparse import csr_matrix

    pointer = np.concatenate(([0], np.cumsum([f.indices.size for f in features])))
    indices = np.concatenate([f.indices for f in features]) if features else np.empty(0, np.int64)
    values = np.concatenate([f.values for f in features]) if features else np.empty(0)
    return csr_matrix((values, indices, pointer), shape=(len(features), HASHED_SIZE))


def source_weights(data: Encoded, config: FirstConfig) -> Floats:
    """Weights that give sources a say by the square root of their size, mean 1.

    Args:
        data: The rows.
        config: Settings.

    Returns:
        (n,) weights.
    """
    _, inverse = np.unique(data.sources, return_inverse=True)
    weights = data.weights / np.sqrt(np.bincount(inverse, data.weights)[inverse])
    real = ~np.isin(data.sources, TEAM_WRITTEN)
    if real.any() and (~real).any():
        weights[real] *= config.real_weight * weights[~real].sum() / weights[real].sum()
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def fit_first(data: Encoded, config: FirstConfig, weights: Floats | None = None, seed: int = 0) -> LinearScorer:
    """Fit the linear model on what is taught (each row counts once for every tier that has a share in it).

    Args:
        data: Training rows.
        config: Settings.
        weights: (n,) row weights; None: `source_weights`.
        seed: Of the solver.

    Returns:
        The scorer that serves.
    """
    from scipy.sparse import csr_matrix, hstack, vstack
    from sklearn.linear_model import LogisticRegression

    mean, scale = data.structure.mean(axis=0), np.maximum(data.structure.std(axis=0), 1e-3)
    scaled = np.clip((data.structure - mean) / scale, -4, 4) * config.structure_gain
    # Columns that no training row uses keep weight 0 and need not pass through the solver.
    used = np.flatnonzero(np.bincount(data.hashed.indices, minlength=HASHED_SIZE) >= config.min_rows)
    design = hstack([csr_matrix(scaled), data.hashed[:, used] * config.hashed_gain], format="csr")
    base = source_weights(data, config) if weights is None else weights
    parts, labels, row_weights = [], [], []
    for tier in range(3):
        chosen = np.flatnonzero(data.taught[:, tier] > 0)
        parts.append(design[chosen])
        labels.append(np.full(chosen.size, tier))
        row_weights.append(base[chosen] * data.taught[chosen, tier])
    model = LogisticRegression(C=config.c, max_iter=config.max_iter, random_state=seed)
    model.fit(vstack(parts, format="csr"), np.concatenate(labels), np.concatenate(row_weights))
    return scorer_from(model, mean, scale, config, used)


def scorer_from(
    model: Any, mean: Floats, scale: Floats, config: FirstConfig, used: NDArray[np.intp] | None = None
) -> LinearScorer:
    """The lean scorer of a fitted `LogisticRegression` on [structure | hashed].

    Args:
        model: With `coef_` and `intercept_`.
        mean: Of the structure features.
        scale: Of the structure features.
        config: Settings of the fit.
        used: Hashed columns that the model saw, in order; None: all.
    """
    s = mean.size
    weights = np.asarray(model.coef_, dtype=np.float64).T
    hashed = np.zeros((HASHED_SIZE, 3), dtype=np.float32)
    hashed[slice(None) if used is None else used] = weights[s:] * config.hashed_gain
    bias = np.asarray(model.intercept_, dtype=np.float64)
    return LinearScorer(weights[:s] * config.structure_gain, hashed, bias, mean, scale)


def scaled_of(scorer: LinearScorer, data: Encoded) -> Floats:
    """(n, s) structure features as the scorer sees them; equal to `LinearScorer.scaled` row by row."""
    scaled: Floats = np.clip((data.structure - scorer.mean) / scorer.scale, -scorer.clip, scorer.clip)
    return scaled


def logits_of(scorer: LinearScorer, data: Encoded) -> Floats:
    """(n, 3) uncalibrated log-odds of many rows at once; equal to `LinearScorer.logits` row by row."""
    hashed: Floats = data.hashed @ scorer.hashed_weights.astype(np.float64)
    return scaled_of(scorer, data) @ scorer.structure_weights + hashed + scorer.bias
