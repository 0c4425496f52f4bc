"""The lean scorer: what scikit-learn learnt, served over numpy alone.

Equal to `LogisticRegression.predict_proba` on the same features to 1e-6 (property test). A call costs one
gather and one small
product; scikit-learn's pipeline costs 1 ms before it has seen a character [measured, issue 4].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.features import BLOCK_STARTS, BLOCKS, FeatureRow

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearScorer:
    """A multinomial linear model over structure and hashed features.

    Attributes:
        structure_weights: (s, 3) weights of the scaled structure features.
        hashed_weights: (HASHED_SIZE, 3) float32 weights of the hashed features.
        bias: (3,).
        mean: (s,) and
        scale: (s,): structure features are used as (x - mean) / scale, clipped to +-`clip`.
        clip: Bound of a scaled structure feature, so that an odd input cannot run away.
    """

    structure_weights: Floats
    hashed_weights: NDArray[np.float32]
    bias: Floats
    mean: Floats
    scale: Floats
    clip: float = 4.0

    def scaled(self, row: FeatureRow) -> Floats:
        """Structure features as the model sees them, (s,)."""
        return np.clip((row.structure - self.mean) / self.scale, -self.clip, self.clip)

    def logits(self, row: FeatureRow) -> Floats:
        """Uncalibrated log-odds of the three tiers, (3,)."""
        hashed = row.values @ self.hashed_weights[row.indices].astype(np.float64)
        return self.scaled(row) @ self.structure_weights + hashed + self.bias

    def contributions(self, row: FeatureRow) -> tuple[Floats, Floats]:
        """What each part adds to the log-odds.

        Args:
            row: Features of one request.

        Returns:
            ((s, 3) by structure feature, (3 blocks, 3) by hashed block).
        """
        weighted = row.values[:, None] * self.hashed_weights[row.indices]
        # Indices come block by block, so each block is a slice.
        edges = [*np.searchsorted(row.indices, BLOCK_STARTS).tolist(), row.indices.size]
        blocks = np.array([weighted[edges[i] : edges[i + 1]].sum(axis=0) for i in range(len(BLOCKS))])
        return self.scaled(row)[:, None] * self.structure_weights, blocks


@dataclass(frozen=True, slots=True)
class Calibration:
    """Vector scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks"): softmax(slope * logits + offset).

    Attributes:
        slope: (3,) and
        offset: (3,), fitted on predictions of models that had not seen the source of the row.
    """

    slope: Floats
    offset: Floats

    def probabilities(self, logits: Floats) -> Floats:
        """(..., 3) logits to (..., 3) probabilities that sum to 1."""
        return softmax(logits * self.slope + self.offset)


def softmax(logits: Floats) -> Floats:
    """Softmax over the last axis, safe for large values."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


@dataclass(frozen=True, slots=True)
class Stack:
    """The join of both stages: softmax(first * log p1 + second * z2 + offset).

    Attributes:
        first: Weight of the calibrated log-probabilities of the first stage.
        second: Weight of the log-odds of the second stage.
        offset: (3,).
    """

    first: float
    second: float
    offset: Floats

    def probabilities(self, first: Floats, second: Floats) -> Floats:
        """(..., 3) probabilities of the first stage and log-odds of the second to (..., 3) probabilities."""
        return softmax(self.first * np.log(np.maximum(first, 1e-9)) + self.second * second + self.offset)
