"""The lean scorer: what scikit-learn learnt, served over numpy alone.

Equal to `LogisticRegression.predict_proba` on the same features to 1e-6 (property test). A call costs one
gather and one small
product; scikit-learn's pipeline costs 1 ms before it has seen a character [measured, issue 4].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from classifier.features import BLOCKS, FeatureRow, block_starts

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """One request as a linear model sees it.

    Attributes:
        scaled: (s,) structure features, see `LinearScorer.scaled`.
        blocks: (blocks, 3) log-odds that each hashed block adds.
    """

    scaled: Floats
    blocks: Floats


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
        scaled: Floats = (row.structure - self.mean) / self.scale
        np.maximum(scaled, -self.clip, out=scaled)  # numpy's clip costs four times as much
        return np.minimum(scaled, self.clip, out=scaled)

    def scored(self, row: FeatureRow) -> Scored:
        """What one request brings, kept by its parts."""
        weights = self.hashed_weights.take(row.indices, axis=0).astype(np.float64)
        blocks = np.zeros((len(BLOCKS), weights.shape[1]))
        # Indices come block by block, so each block is a slice.
        for block, (begin, end) in enumerate(pairwise((*block_starts(row.indices), row.indices.size))):
            if end > begin:
                blocks[block] = row.values[begin:end].dot(weights[begin:end])
        return Scored(self.scaled(row), blocks)

    def logits_of(self, scored: Scored) -> Floats:
        """Uncalibrated log-odds of the three tiers, (3,)."""
        shaped = scored.scaled.dot(self.structure_weights).tolist()
        tiers = zip(shaped, *scored.blocks.tolist(), self.bias.tolist(), strict=True)
        return np.array([shape + (words + chars + pasted) + bias for shape, words, chars, pasted, bias in tiers])

    def logits(self, row: FeatureRow) -> Floats:
        """`logits_of` a row."""
        return self.logits_of(self.scored(row))

    def contributions(self, scored: Scored) -> Floats:
        """What each part adds to the uncalibrated log-odds of the tiers; with the bias they add up to `logits`.

        Args:
            scored: One request.

        Returns:
            (s + blocks, 3): by structure feature, then by hashed block.
        """
        return np.concatenate((scored.scaled[:, None] * self.structure_weights, scored.blocks))


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
        if logits.ndim == 1:  # one request: arrays of three cost more to handle than to compute
            (z1, z2, z3), (a1, a2, a3), (b1, b2, b3) = logits.tolist(), self.slope.tolist(), self.offset.tolist()
            first, second, third = z1 * a1 + b1, z2 * a2 + b2, z3 * a3 + b3
            most = max(first, second, third)
            e1, e2, e3 = math.exp(first - most), math.exp(second - most), math.exp(third - most)
            total = e1 + e2 + e3
            return np.array((e1 / total, e2 / total, e3 / total))
        return softmax(logits * self.slope + self.offset)


def softmax(logits: Floats) -> Floats:
    """Softmax over the last axis, safe for large values."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


@dataclass(frozen=True, slots=True)
class Stack:
    """The join of both stages: softmax(first * log p1 + second * z2 + x @ structure + offset).

    The structure of a request shifts what the stages say, because they are wrong in different ways on long and short,
    pasted and plain requests (training/LOG.md).

    Attributes:
        first: Weight of the calibrated log-probabilities of the first stage.
        second: Weight of the log-odds of the second stage.
        offset: (3,).
        structure: (s, 3) weights of x, the structure features as `LinearScorer.scaled` gives them.
    """

    first: float
    second: float
    offset: Floats
    structure: Floats

    def probabilities(self, first: Floats, second: Floats, scaled: Floats) -> Floats:
        """Join.

        Args:
            first: (..., 3) probabilities of the first stage.
            second: (..., 3) log-odds of the second stage.
            scaled: (..., s) structure features as `LinearScorer.scaled` gives them.

        Returns:
            (..., 3) probabilities.
        """
        logs = np.log(np.maximum(first, 1e-9))
        return softmax(self.first * logs + self.second * second + scaled @ self.structure + self.offset)
