"""The fit of a retraining: how strong, with what held out, and how calibration and join follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from training.anchors import Anchors
from training.first_stage import FirstConfig
from training.gather import Gathered
from training.offsets import (
    Directions,
    Retuned,
    Strength,
    Words,
    design,
    fit_correction,
    retune,
    scaled_of,
    words_from,
    words_of,
)
from training.older_schema import OlderRows
from training.split import grouped

if TYPE_CHECKING:
    from training.deep_refit import Refitted

Floats = NDArray[np.float64]
Say = Callable[[str], None]
Step = Callable[[int, int], None]

FOLDS = 4
MOST_ANCHORS = 2_000
STRENGTHS = (Strength(100.0, 1.0), Strength(30.0, 1.0), Strength(10.0, 1.0), Strength(30.0, 0.3), Strength(10.0, 0.3))
"""Tried, the shortest leash first; which one is said by rows that were held out (training/LOG.md)."""

BASE_LOSS, BASE_ACCURACY = 0.0075, 0.004
"""What held-out base rows may lose, in log loss and accuracy, before a strength counts as too far."""

LABELS_IN_TUNING = 0.1
"""Weight of all labels beside all base rows when calibration and join are tuned: these few numbers hold for every
request, and the labels' part of life is small."""

SILENT = 0.75
"""What the champion's own word keeps beside a correction where nobody confirms."""

ONLY_CORRECTIONS = 0.15
"""Share of labels that confirm the champion below which a set holds corrections only."""

CLASS_ACCURACY = 0.01
"""What one class of held-out base rows may lose."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a retraining is asked for.

    Attributes:
        champion: Folder of the artifact in use, which the challenger is held against.
        out: Folder to write.
        root: With `full`: the artifact that the correction starts from; None: `champion`.
        full: Use every label of the log from `root` on, not only those since the champion's last one.
        data: Folder of the base data; None: the one that comes with the package.
        cache: Folder for what is slow to make; None: nothing is kept.
        seed: Of everything random.
        name: Name of the artifact.
        anchors: Base rows that hold the correction back.
        strengths: Strengths to try.
        deep: Refit the second stage too (`training.deep_refit`).
        versions: Folder of versions, where scorers of older feature schemas lie; None: there are none.
    """

    champion: Path
    out: Path
    root: Path | None = None
    full: bool = False
    data: Path | None = None
    cache: Path | None = None
    seed: int = 0
    name: str = "tuned"
    anchors: int = MOST_ANCHORS
    strengths: tuple[Strength, ...] = STRENGTHS
    deep: bool = False
    versions: Path | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """A strength, and what it brought and cost where rows were held out.

    Attributes:
        strength: The strength.
        labels: Log loss of held-out labels.
        labels_before: The same without a correction, as the champion serves.
        base: As `Tuned.base`.
        too_far: What held-out base rows lose more of than they may; empty: nothing.
    """

    strength: Strength
    labels: float
    labels_before: float
    base: dict[str, float]
    too_far: tuple[str, ...]

    def public(self, chosen: bool) -> dict[str, Any]:
        """Ready for JSON; what is above 0 was gained, on labels, or lost, on base rows."""
        base = self.base
        return {
            "penalty": self.strength.penalty,
            "anchor": self.strength.anchor,
            "labels_gain": round(self.labels_before - self.labels, 4),
            "base_loss": round(base["loss"] - base["loss_before"], 4),
            "base_right": round(base["accuracy"] - base["accuracy_before"], 4),
            "worst_tier_right": round(base["worst_class"], 4),
            "too_far": list(self.too_far),
            "chosen": chosen,
        }


@dataclass(frozen=True, slots=True)
class Tuned:
    """A finished correction.

    Attributes:
        strength: The strength that was taken.
        tried: All that were tried.
        weights: (columns, 3) of `design`, on calibrated log-odds.
        retuned: Calibration and join.
        moved: (labels + anchors, 3) corrections fitted without the row's fold.
        held_out: (labels, 3) probabilities as served, by a correction, calibration and join without the row's fold.
        base: Figures of held-out base rows: loss and accuracy before and after, agreement.
    """

    strength: Strength
    tried: tuple[Tried, ...]
    weights: Floats
    retuned: Retuned
    moved: Floats
    held_out: Floats
    base: dict[str, float]


@dataclass(frozen=True, slots=True)
class Fit:
    """Everything that the fits share: labels first, all base rows behind them.

    Attributes:
        n: Number of labels.
        coordinates: (n + b, r).
        inside: Words for fitting: the start's own.
        outside: Words for judging: on base rows out of source.
        was: As `outside`, of the start as it serves: another only where its second stage was refitted.
        target: (n + b, 3).
        label_weights: (n,).
        fold: (n + b,).
        used: Rows that fit (all labels, some base rows).
        judged: Base rows whose loss is watched.
        older: Labels of older schemas: they tune calibration and join.
        older_fold: Their folds.
    """

    plan: Plan
    directions: Directions
    n: int
    coordinates: NDArray[np.float32]
    inside: Words
    outside: Words
    was: Words
    target: Floats
    label_weights: Floats
    fold: NDArray[np.intp]
    used: NDArray[np.intp]
    judged: NDArray[np.intp]
    older: OlderRows
    older_fold: NDArray[np.intp]

    @classmethod
    def of(
        cls, plan: Plan, start: Artifact, anchors: Anchors, found: Gathered, refitted: Refitted | None = None
    ) -> Fit:
        """What the fits share.

        Args:
            plan: What is asked for.
            start: What the correction starts from.
            anchors: Base rows.
            found: Labels.
            refitted: A refit of the second stage, whose log-odds are in `anchors` and `found` already.
        """
        config, n, b = FirstConfig(), found.labels.size, anchors.keys.size
        own = design(start, found.structure, found.hashed, config)
        directions = Directions.of(own, plan.seed)
        base = design(start, anchors.structure, anchors.hashed, config)
        coordinates = np.concatenate([directions.coordinates(own), directions.coordinates(base)])
        inside, outside = _inside_outside(start, anchors, found)
        was, judged = outside, np.arange(b)
        picked = np.sort(np.random.default_rng(plan.seed).permutation(b)[: plan.anchors])
        if refitted is not None:
            old = replace(anchors, second=refitted.base_before), replace(found, second=refitted.before)
            was, judged, picked = _inside_outside(start, *old)[1], refitted.rows, refitted.rows
        fold = grouped([str(c) for c in found.clusters], FOLDS)
        return cls(
            plan, directions, n, coordinates, inside, outside, was,
            np.concatenate([targets(was.served()[:n], found), anchors.soft]), found.weights,
            np.concatenate([fold, anchors.fold]), np.concatenate([np.arange(n), picked + n]), judged + n,
            found.older, found.older.folds(fold, FOLDS),
        )  # fmt: skip

    def weights(self, anchor: float) -> Floats:
        """(n + b,) with base rows at `anchor`."""
        return np.concatenate([self.label_weights, np.full(self.target.shape[0] - self.n, anchor)])

    def correction(self, strength: Strength, left_out: int | None) -> Floats:
        """(r, 3) without one fold, or with all."""
        rows = self.used if left_out is None else self.used[self.fold[self.used] != left_out]
        weights = self.weights(strength.anchor)[rows]
        words, held = self.inside.take(rows), rows >= self.n
        return fit_correction(self.coordinates[rows], words, self.target[rows], weights, strength.penalty, held)

    def tuned(self, say: Say, step: Step) -> Tuned:
        """Choose the strength by held-out rows, then fit with all."""
        moved = self._crossed(step)
        tried = tuple(self._tried(strength, out) for strength, out in zip(self.plan.strengths, moved, strict=True))
        chosen = choose(tried)
        say(f"{_named(tried[chosen].strength)} taken of {len(tried)} strengths")
        out = moved[chosen]
        strength = self.plan.strengths[chosen]
        held_out = np.zeros((self.n, 3))
        for k in range(FOLDS):
            test = np.flatnonzero(self.fold[: self.n] == k)
            held_out[test] = self._retuned(out, k).apply(self.outside.take(test), out[test]).served()
        retuned = self._retuned(out, None)
        final = self.correction(strength, None)
        return Tuned(strength, tried, self.directions.weights(final), retuned, out, held_out, tried[chosen].base)

    def _crossed(self, step: Step) -> list[Floats]:
        """Per strength (n + b, 3) corrections of rows by fits without their fold."""
        from joblib import Parallel, delayed

        tasks = [(i, k) for i in range(len(self.plan.strengths)) for k in range(FOLDS)]
        moved = [np.zeros((self.target.shape[0], 3)) for _ in self.plan.strengths]
        # No backend is named here: `joblib.parallel_config` is the caller's.
        jobs = Parallel(return_as="generator")(
            delayed(self.correction)(self.plan.strengths[i], k) for i, k in tasks
        )  # fmt: skip
        for done, ((i, k), correction) in enumerate(zip(tasks, jobs, strict=True), 1):
            rows = np.flatnonzero(self.fold == k)
            moved[i][rows] = self.coordinates[rows] @ correction
            step(done, len(tasks))
        return moved

    def _tried(self, strength: Strength, moved: Floats) -> Tried:
        """A strength by what it brings held-out labels and costs held-out base rows."""
        base = self._base(moved)
        limits = {
            f"log loss by more than {BASE_LOSS:g}": base["loss"] - base["loss_before"] > BASE_LOSS,
            f"right answers by more than {BASE_ACCURACY:.1%}": base["accuracy_before"] - base["accuracy"]
            > BASE_ACCURACY,
            f"those of a tier by more than {CLASS_ACCURACY:.1%}": base["worst_class"] < -CLASS_ACCURACY,
        }
        too_far = tuple(name for name, lost in limits.items() if lost)
        rows = np.arange(self.n)
        losses = self._label_loss(self.outside.take(rows).served(moved[rows]))
        return Tried(strength, losses, self._label_loss(self.was.take(rows).served()), base, too_far)

    def _label_loss(self, p: Floats) -> float:
        losses = -(self.target[: self.n] * np.log(np.maximum(p, 1e-9))).sum(axis=1)
        return float(np.average(losses, weights=self.label_weights))

    def _base(self, moved: Floats) -> dict[str, float]:
        rows = self.judged
        target = self.target[rows]
        before, after = self.was.take(rows).served(), self.outside.take(rows).served(moved[rows])
        found = {"agreement": float((before.argmax(axis=1) == after.argmax(axis=1)).mean())}
        true = target.argmax(axis=1)
        gap = (after.argmax(axis=1) == true).astype(np.float64) - (before.argmax(axis=1) == true)
        found["worst_class"] = float(min(gap[true == tier].mean() for tier in np.unique(true)))
        for name, p in (("_before", before), ("", after)):
            found[f"loss{name}"] = float(-(target * np.log(np.maximum(p, 1e-9))).sum(axis=1).mean())
            found[f"accuracy{name}"] = float((p.argmax(axis=1) == target.argmax(axis=1)).mean())
        return found

    def _retuned(self, moved: Floats, left_out: int | None) -> Retuned:
        """Calibration and join on held-out rows; base rows stand for what the champion says of them.

        Labels of older schemas bring the word of their own scorer. A correction is not known for them: they get that of
        today's labels on average, so that its general part is not learnt twice.

        Args:
            moved: (n + b, 3) corrections fitted without the row's fold.
            left_out: This fold takes no part; None: all do.
        """
        rows = self.used[self.fold[self.used] != left_out] if left_out is not None else self.used
        older = self.older.take(np.flatnonzero(self.older_fold != left_out)) if left_out is not None else self.older
        target = self.target[rows].copy()
        based = rows >= self.n
        target[based] = self.was.take(rows[based]).served()
        labelled = float(self.label_weights.sum() + self.older.weights.sum())
        weights = self.weights(labelled / (LABELS_IN_TUNING * max(1, int(based.sum()))))[rows]
        own = rows[~based]
        usual = np.average(moved[own], axis=0, weights=self.label_weights[own]) if own.size else np.zeros(3)
        return retune(
            _both(self.outside.take(rows), older.words(self.outside.share)),
            np.concatenate([moved[rows], np.tile(usual, (older.labels.size, 1))]),
            np.concatenate([target, targets(older.as_served(), older)]),
            np.concatenate([weights, older.weights]),
        )


def choose(tried: Sequence[Tried]) -> int:
    """Number of the strength with the least log loss on held-out labels among those that spare the base rows.

    Where none does it is the first, the shortest leash: the gate will judge it.
    """
    spared = [number for number, one in enumerate(tried) if not one.too_far]
    return min(spared, key=lambda number: tried[number].labels, default=0)


def _named(strength: Strength) -> str:
    return f"prior {strength.penalty:g}, base rows {strength.anchor:g}"


def _inside_outside(start: Artifact, anchors: Anchors, found: Gathered) -> tuple[Words, Words]:
    """Words of labels and base rows: as the start says them, and with the base rows out of source."""
    labelled = words_of(start, found.structure, found.hashed, found.second)
    inside = words_of(start, anchors.structure, anchors.hashed, anchors.second)
    first = np.where(
        anchors.known()[:, None], anchors.first * start.calibration.slope + start.calibration.offset, inside.first
    )
    outside = words_from(start, first, scaled_of(start, anchors.structure), anchors.second)
    return _both(labelled, inside), _both(labelled, outside)


def targets(champion: Floats, found: Gathered | OlderRows) -> Floats:
    """(n, 3) what each label asks for.

    Where nobody confirms, only the champion's errors were picked out, and its silent successes are missing: such a
    correction speaks for little more than the share of cases in which the champion itself expected to be wrong. Else
    ten corrections would turn the thousand requests beside them that were right.

    Args:
        champion: (n, 3) the probabilities of the champion, or of the scorer of their time.
        found: The labels.
    """
    said = np.eye(3)[found.labels]
    own = champion.argmax(axis=1)
    confirmed = float(found.weights[own == found.labels].sum() / max(found.weights.sum(), 1e-12))
    if confirmed >= ONLY_CORRECTIONS:
        return said
    kept = SILENT * champion.max(axis=1)[:, None]
    return np.asarray((1 - kept) * said + kept * np.eye(3)[own])


def _both(labelled: Words, base: Words) -> Words:
    return Words(
        np.concatenate([labelled.first, base.first]), np.concatenate([labelled.rest, base.rest]), base.share
    )  # fmt: skip
