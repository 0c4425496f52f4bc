"""A warm start: the champion's log-odds plus a small linear correction, fitted where labels were given.

The correction is linear in the features that serve, penalised by its distance from nothing (so the champion's weights
are the prior), and lives in the directions that the labelled requests span: nothing else can be learnt from them
(Schoelkopf et al. 2001, "A Generalized Representer Theorem"). With a few hundred labels that is a problem of a few
hundred numbers, solved in seconds, where the 135,168 hashed columns take minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.scorer import softmax
from training.first_stage import FirstConfig

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

MOST_DIRECTIONS = 600
"""Labelled requests that span the correction; of more a sample does (Nystroem's approximation)."""

BIAS_GAIN = 0.3
"""The constant among the features, as strong as one structure feature."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How far a correction may go.

    Attributes:
        penalty: Of its squared length: the strength of the prior.
        anchor: Weight of a base row beside a label of weight 1.
    """

    penalty: float
    anchor: float


@dataclass(frozen=True, slots=True)
class Words:
    """What a champion says of n rows.

    Attributes:
        first: (n, 3) calibrated log-odds of the first stage.
        rest: (n, 3) what the join adds to the first stage's part of its log-odds; NaN where there is no second stage.
        share: Weight of the first stage's log-probabilities in the join, 0 without a second stage.
    """

    first: Floats
    rest: Floats
    share: float

    def take(self, rows: NDArray[np.intp]) -> Words:
        """Some of the rows."""
        return Words(self.first[rows], self.rest[rows], self.share)

    def joined(self) -> NDArray[np.bool_]:
        """(n,) rows with a second stage's word."""
        return np.asarray(np.isfinite(self.rest).all(axis=1), dtype=np.bool_)

    def served(self, moved: Floats | float = 0.0) -> Floats:
        """(n, 3) probabilities as both stages serve together, after the first stage's log-odds moved by `moved`."""
        first = self.first + moved
        joint = self.share * log_softmax(first) + np.nan_to_num(self.rest)
        return np.where(self.joined()[:, None], softmax(joint), softmax(first))


def log_softmax(logits: Floats) -> Floats:
    """(n, 3) log-odds to log-probabilities."""
    return np.asarray(np.log(np.maximum(softmax(logits), 1e-9)), dtype=np.float64)


def words_of(artifact: Artifact, structure: Floats, hashed: csr_matrix, second: Floats) -> Words:
    """What an artifact says of rows.

    Args:
        artifact: The artifact.
        structure: (n, s) unscaled structure features.
        hashed: (n, HASHED_SIZE).
        second: (n, 3) log-odds of the second stage, NaN where it was not asked.
    """
    scorer, calibration = artifact.first, artifact.calibration
    scaled = scaled_of(artifact, structure)
    logits = scaled @ scorer.structure_weights + hashed @ scorer.hashed_weights.astype(np.float64) + scorer.bias
    return words_from(artifact, logits * calibration.slope + calibration.offset, scaled, second)


def words_from(artifact: Artifact, first: Floats, scaled: Floats, second: Floats) -> Words:
    """The same from calibrated log-odds of the first stage that are known already."""
    stack = artifact.stack
    if stack is None:
        return Words(first, np.full_like(first, np.nan), 0.0)
    rest = stack.second * second + scaled @ stack.structure + stack.offset
    return Words(first, np.where(np.isfinite(second), rest, np.nan), stack.first)


def scaled_of(artifact: Artifact, structure: Floats) -> Floats:
    """(n, s) structure features as the artifact's scorer sees them."""
    s = artifact.first
    return np.clip((structure - s.mean) / s.scale, -s.clip, s.clip)


def design(artifact: Artifact, structure: Floats, hashed: csr_matrix, config: FirstConfig) -> csr_matrix:
    """(n, s + HASHED_SIZE + 1) the features of a correction, float32."""
    from scipy.sparse import csr_matrix, hstack

    scaled = csr_matrix((scaled_of(artifact, structure) * config.structure_gain).astype(np.float32))
    constant = csr_matrix(np.full((structure.shape[0], 1), BIAS_GAIN, dtype=np.float32))
    return hstack([scaled, hashed.astype(np.float32) * np.float32(config.hashed_gain), constant], format="csr")


@dataclass(frozen=True, slots=True)
class Directions:
    """An orthonormal basis of what the labelled requests span.

    Attributes:
        landmarks: (m, columns) the requests that span it.
        basis: (m, r) from them to the basis.
    """

    landmarks: csr_matrix
    basis: Floats

    @classmethod
    def of(cls, rows: csr_matrix, seed: int, most: int = MOST_DIRECTIONS) -> Directions:
        """The span of rows, or of a sample of them."""
        picked = np.arange(rows.shape[0])
        if picked.size > most:
            picked = np.sort(np.random.default_rng(seed).choice(picked, most, replace=False))
        landmarks = rows[picked]
        gram = (landmarks @ landmarks.T).toarray().astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        kept = values > max(values.max(), 0.0) * 1e-5
        return cls(landmarks, vectors[:, kept] / np.sqrt(values[kept]))

    def coordinates(self, rows: csr_matrix, portion: int = 2_000) -> NDArray[np.float32]:
        """(n, r) of rows, made in portions."""
        found = np.empty((rows.shape[0], self.basis.shape[1]), dtype=np.float32)
        across = self.landmarks.T.tocsr()
        for start in range(0, rows.shape[0], portion):
            part = (rows[start : start + portion] @ across).toarray()
            found[start : start + portion] = part @ self.basis
        return found

    def weights(self, correction: Floats) -> Floats:
        """(r, 3) correction to (columns, 3) weights of the features of `design`."""
        return np.asarray(self.landmarks.T @ (self.basis @ correction), dtype=np.float64)


def fit_correction(
    coordinates: NDArray[np.float32],
    words: Words,
    target: Floats,
    weights: Floats,
    penalty: float,
    held: NDArray[np.bool_],
    *,
    most: int = 60,
) -> Floats:
    """Minimal weighted log loss plus `penalty` / 2 times the squared length.

    Where there is a second stage's word, the first stage alone and the join count half each: a correction fitted to
    the join alone would be twice too strong where the first stage serves alone.

    Args:
        coordinates: (n, r).
        words: The champion's.
        target: (n, 3) label distributions.
        weights: (n,).
        penalty: Strength of the prior.
        held: (n,) rows whose target is what the champion itself says of them, by each stage: they learn nothing.
        most: Iterations of L-BFGS.

    Returns:
        (r, 3) correction.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    joined = np.flatnonzero(words.joined())
    own = weights.copy()
    own[joined] *= 0.5
    both = 0.5 * weights[joined]
    base = words.share * words.first[joined] + words.rest[joined]
    wanted, wanted_both = target.copy(), target[joined]
    wanted[held] = softmax(words.first[held])
    wanted_both[held[joined]] = softmax(base[held[joined]])
    size = coordinates.shape[1]

    def loss(flat: Floats) -> tuple[float, Floats]:
        moved = (coordinates @ flat.reshape(size, 3).astype(np.float32)).astype(np.float64)
        p = softmax(words.first + moved)
        error = own[:, None] * (p - wanted)
        value = -(own[:, None] * wanted * np.log(np.maximum(p, 1e-12))).sum()
        if joined.size:
            q = softmax(base + words.share * moved[joined])
            error[joined] += words.share * both[:, None] * (q - wanted_both)
            value -= (both[:, None] * wanted_both * np.log(np.maximum(q, 1e-12))).sum()
        gradient = (coordinates.T @ error.astype(np.float32)).astype(np.float64).ravel()
        return float(value + 0.5 * penalty * (flat @ flat)), gradient + penalty * flat

    # The matrices are small: threads would wait for each other longer than they work.
    with threadpool_limits(1):
        found: Any = minimize(loss, np.zeros(size * 3), jac=True, method="L-BFGS-B", options={"maxiter": most})
    return np.asarray(found.x, dtype=np.float64).reshape(size, 3)


@dataclass(frozen=True, slots=True)
class Retuned:
    """New calibration and join, as changes of the old ones.

    Attributes:
        sharper: Log of the factor on the first stage's log-odds.
        offset: (3,) added to them.
        first: Log of the factor on the first stage's weight in the join.
        rest: Log of the factor on everything else in the join.
        joint: (3,) added to the join's log-odds.
    """

    sharper: float
    offset: Floats
    first: float
    rest: float
    joint: Floats

    def apply(self, words: Words, moved: Floats | float) -> Words:
        """The words after a correction and the new calibration and join."""
        first = np.exp(self.sharper) * (words.first + moved) + self.offset
        return Words(first, np.exp(self.rest) * words.rest + self.joint, float(words.share * np.exp(self.first)))


def retune(words: Words, moved: Floats, target: Floats, weights: Floats, *, ridge: float = 3e-3) -> Retuned:
    """Fit calibration and join on predictions that were held out.

    Args:
        words: The champion's.
        moved: (n, 3) corrections fitted without the row.
        target: (n, 3) distributions.
        weights: (n,).
        ridge: Pull towards the old ones.
    """
    from scipy.optimize import minimize

    def fitted(logits_of: Any, rows: NDArray[np.intp], size: int) -> Floats:
        w = weights[rows] / weights[rows].sum()

        def loss(x: Floats) -> float:
            p = softmax(logits_of(x))
            return float(-(w[:, None] * target[rows] * np.log(np.maximum(p, 1e-12))).sum() + ridge * (x @ x))

        return np.asarray(minimize(loss, np.zeros(size), method="L-BFGS-B").x)

    first = words.first + moved
    x = fitted(lambda v: np.exp(v[0]) * first + np.array([v[1], v[2], 0.0]), np.arange(first.shape[0]), 3)
    sharper, offset = float(x[0]), _centred(x[1:])
    rows = np.flatnonzero(words.joined())
    if rows.size < 20:
        return Retuned(sharper, offset, 0.0, 0.0, np.zeros(3))
    logs = log_softmax(np.exp(sharper) * first[rows] + offset)
    rest = words.rest[rows]
    y = fitted(lambda v: words.share * np.exp(v[0]) * logs + np.exp(v[1]) * rest + np.array([v[2], v[3], 0.0]), rows, 4)
    return Retuned(sharper, offset, float(y[0]), float(y[1]), _centred(y[2:]))


def _centred(two: Floats) -> Floats:
    offset = np.append(two, 0.0)
    return np.asarray(offset - offset.mean())
