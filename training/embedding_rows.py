"""Base rows and labels on which an embedding's joins are fitted: what the stages say of them, held out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.embedding import EmbeddingTerm
from classifier.scorer import Stack, softmax
from training.anchors import Anchors
from training.correction import LABELS_IN_TUNING
from training.embedding_head import fit_join
from training.embedding_words import doubtful, finite, heard
from training.gather import Gathered
from training.held_out import HeldOut
from training.offsets import scaled_of, words_from

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """b base rows with l labels behind them.

    Attributes:
        base: b.
        labels: (l,) which of the labels they are.
        soft: (b + l, 3) label distributions.
        weights: (b + l,).
        fold: (b + l,).
        alone: (b + l, 3) probabilities of the first stage alone, held out; NaN where unknown.
        both: (b + l, 3) of both stages; NaN where unknown.
    """

    base: int
    labels: NDArray[np.intp]
    soft: Floats
    weights: Floats
    fold: NDArray[np.intp]
    alone: Floats
    both: Floats

    @classmethod
    def of(
        cls, challenger: Artifact, anchors: Anchors, found: Gathered, held: HeldOut | None, labels: NDArray[np.intp]
    ) -> Rows:
        """The base data, and some of the labels.

        Args:
            challenger: Just written, its out-of-source log-odds with it.
            anchors: The base data as it sees them.
            found: All labels.
            held: What it says of them; None: they are too few, and none takes part.
            labels: Those that do.
        """
        alone, both = plain_out_of_source(challenger, anchors)
        b = anchors.keys.size
        if held is None:
            return cls(b, labels[:0], anchors.soft, np.ones(b), anchors.fold, alone, both)
        joined = _joined(challenger, found)[labels][:, None]
        said = held.challenger[labels]
        return cls(
            b, labels,
            np.concatenate([anchors.soft, np.eye(3)[held.labels[labels]]]),
            np.concatenate([np.ones(b), held.weights[labels]]),
            np.concatenate([anchors.fold, held.fold[labels]]),
            np.concatenate([alone, np.where(joined, np.nan, said)]),
            np.concatenate([both, np.where(joined, said, np.nan)]),
        )  # fmt: skip

    def joins(self, logodds: Floats, challenger: Artifact, left_out: int | None = None) -> tuple[Stack, Stack | None]:
        """Both joins, fitted on rows that leave doubt.

        Args:
            logodds: (b + l, 3) of heads that had not seen the row's fold; NaN where none spoke.
            challenger: The artifact.
            left_out: A fold that takes no part; None: all do.

        Returns:
            (behind the first stage alone, behind both; None without a second stage).
        """
        labelled = float(self.weights[self.base :].sum())
        scale = min(1.0, LABELS_IN_TUNING * self.base / labelled) if labelled else 1.0
        weights = self.weights * np.where(np.arange(self.weights.size) < self.base, 1.0, scale)
        known = finite(logodds) & (self.fold != (-1 if left_out is None else left_out))

        def fitted(plain: Floats) -> Stack:
            rows = np.flatnonzero(known & finite(plain))
            rows = rows[doubtful(plain[rows], challenger.matrices["default"], challenger.bound)]
            return fit_join(plain[rows], logodds[rows], self.soft[rows], weights[rows])

        return fitted(self.alone), fitted(self.both) if challenger.stack is not None else None

    def held_out(self, held: HeldOut, logodds: Floats, challenger: Artifact, term: EmbeddingTerm) -> HeldOut:
        """The labels as they would be served with the embedding, by joins that had not seen their fold either."""
        after = held.challenger.copy()
        for k in np.unique(self.fold[self.base :]):
            mine = self.base + np.flatnonzero(self.fold[self.base :] == k)
            alone, both = self.joins(logodds, challenger, int(k))
            own, labels = replace(term, alone=alone, both=both), self.labels[mine - self.base]
            second, plain = finite(self.both[mine]), held.challenger[labels]
            asked = doubtful(plain, challenger.matrices["default"], challenger.bound)
            after[labels] = heard(plain, logodds[mine], own, second, asked)
        return replace(held, challenger=after)


def plain_out_of_source(challenger: Artifact, anchors: Anchors) -> tuple[Floats, Floats]:
    """(b, 3) probabilities of base rows by the first stage, and by both, that had not seen them; NaN where unknown."""
    first = anchors.first * challenger.calibration.slope + challenger.calibration.offset
    words = words_from(challenger, first, scaled_of(challenger, anchors.structure), anchors.second)
    known = anchors.known()[:, None]
    alone = np.where(known, softmax(np.nan_to_num(first)), np.nan)
    return alone, np.where(words.joined()[:, None] & known, words.served(), np.nan)


def champion_heard(held: HeldOut, champion: Artifact, found: Gathered) -> HeldOut:
    """The labels with the word that the champion's own embedding had, where it was heard at the time."""
    term = champion.embedding
    if term is None:
        return held
    second = _joined(champion, found)
    asked = doubtful(held.champion, champion.matrices["default"], champion.bound) & (found.heads == term.head)
    return replace(held, champion=heard(held.champion, found.heard, term, second, asked))


def _joined(artifact: Artifact, found: Gathered) -> NDArray[np.bool_]:
    """(n,) labels of which both stages have said something."""
    return finite(found.second) if artifact.stack is not None else np.zeros(found.labels.size, dtype=np.bool_)
