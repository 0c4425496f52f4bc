"""Writes a challenger: the weights that changed, the champion's files that did not, lineage, card."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import CARD, WEIGHTS, Artifact, load_artifact, write_artifact
from training.anchors import Anchors
from training.correction import FOLDS, Fit, Plan, Tuned
from training.first_stage import FirstConfig
from training.gather import Gathered
from training.held_out import HELD_OUT, HeldOut
from training.lineage import commit, lineage_of
from training.offsets import BIAS_GAIN, words_of
from training.train import OUT_OF_SOURCE

if TYPE_CHECKING:
    from training.deep_refit import Refitted

Floats = NDArray[np.float64]

LEAST_LABELS = 12
"""With fewer there is nothing to hold out: the challenger is the champion."""


@dataclass(frozen=True, slots=True)
class Retrained:
    """What a retraining made.

    Attributes:
        path: The artifact folder.
        id: Its id.
        report: What changed, ready for JSON: `parent`, `labels`, `strength`, `moved`, `agreement`, `base`.
        notes: Sentences for the user.
    """

    path: Path
    id: str
    report: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes a challenger."""

    plan: Plan
    champion: Artifact
    start: Artifact
    anchors: Anchors
    found: Gathered
    seen_until: float
    near: dict[str, int]
    refitted: Refitted | None = None

    def write(self, fit: Fit | None, tuned: Tuned | None) -> Retrained:
        """The folder, and what is to be said about it."""
        out = self.plan.out
        out.mkdir(parents=True, exist_ok=True)
        names = [n for n in self.start.metadata["files"] if n not in (WEIGHTS, OUT_OF_SOURCE, HELD_OUT)]
        for name in names:
            shutil.copyfile(self.start.path / name, out / name)
        with np.load(self.start.path / WEIGHTS, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        report = self._report(tuned)
        if self.refitted is not None:
            self.refitted.write(out)
            report["second_stage"] = self.refitted.report
        if fit is not None and tuned is not None:
            arrays |= corrected(self.start, tuned, arrays)
            report["moved"] = moved_by(self.start, arrays)
            self._held_out(fit, tuned).write(out)
            names.append(HELD_OUT)
        if self.anchors.known().any():
            self._out_of_source(fit, tuned)
            names.append(OUT_OF_SOURCE)
        metadata = {k: v for k, v in self.start.metadata.items() if k not in ("name", "feature_schema", "files")}
        metadata |= {"seed": self.plan.seed, "from_scratch": False, "lineage": self._lineage(report)}
        metadata["libraries"] = {**metadata.get("libraries", {}), "python": platform.python_version()}
        (out / CARD).write_text(self._card(report), encoding="utf-8")
        write_artifact(out, self.plan.name, arrays, metadata, extra=tuple(names))
        return Retrained(out, load_artifact(out).id, report, self._notes(tuned))

    def _report(self, tuned: Tuned | None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "parent": self.champion.id,
            "start": self.start.id,
            "mode": "full" if self.plan.full else "incremental",
            "near_base": self.near,
            "labels": self.found.counts.public()
            | {"with_second_stage": int(np.isfinite(self.found.second[:, 0]).sum())},
        }
        if tuned is not None:
            found["strength"] = {"penalty": tuned.strength.penalty, "anchor": tuned.strength.anchor}
            found["strengths"] = [one.public(one.strength == tuned.strength) for one in tuned.tried]
            found["base"] = {name: round(value, 4) for name, value in tuned.base.items()}
        return found

    def _held_out(self, fit: Fit, tuned: Tuned) -> HeldOut:
        found = self.found
        second = found.second
        if self.refitted is not None:
            from training.deep_refit import second_of

            second = second_of(self.champion, self.start, found, self.refitted)
        before = words_of(self.champion, found.structure, found.hashed, second).served()
        return HeldOut(
            before, tuned.held_out, found.labels, found.weights, fit.fold[: fit.n], found.clusters, found.callers,
            found.said_s > self.seen_until,
        )  # fmt: skip

    def _out_of_source(self, fit: Fit | None, tuned: Tuned | None) -> None:
        """The champion's out-of-source log-odds, moved by the corrections that had not seen the row's block."""
        known = self.anchors.known()
        first = self.anchors.first.copy()
        if fit is not None and tuned is not None:
            first += tuned.moved[fit.n :] / self.start.calibration.slope
        arrays = {"keys": self.anchors.keys[known], "first": first[known].astype(np.float32)}
        if np.isfinite(self.anchors.second[known]).all():
            arrays["second"] = self.anchors.second[known].astype(np.float32)
        np.savez_compressed(self.plan.out / OUT_OF_SOURCE, **arrays)  # type: ignore[arg-type]  # as in train.py

    def _lineage(self, report: dict[str, Any]) -> dict[str, Any]:
        until = max(self.seen_until, self.found.counts.until_s)
        kept = {**report, "labels": {**report["labels"], "until_s": until}, "seen_until_s": self.seen_until}
        return lineage_of(self.champion, kept, self.anchors.hashes, commit())

    def _card(self, report: dict[str, Any]) -> str:
        file = self.start.path / CARD
        before = file.read_text(encoding="utf-8") if file.is_file() else f"# Model card: {self.start.id}\n"
        head, mark, _ = before.partition("\n## Retrained")
        said = json.dumps(report["labels"]["by_source"], sort_keys=True)
        deep = "" if self.refitted is None else ", and the upper layers of the second stage"
        return (
            f"{head.rstrip() if mark else before.rstrip()}\n\n## Retrained\n\n"
            f"- From {report['start']}, held against {report['parent']}, with {report['labels']['used']} labels of the"
            f" log by source: {said}.\n- Only the first stage, the calibration and the join have changed{deep}.\n"
        )

    def _notes(self, tuned: Tuned | None) -> tuple[str, ...]:
        notes = []
        if tuned is None:
            notes.append(
                f"{self.found.labels.size} usable labels are too few to learn from ({LEAST_LABELS} at least, from "
                f"{2 * FOLDS} conversations): it decides as its parent does"
            )
        use = "tune calibration and join" if tuned is not None else "cannot be learnt from without newer ones"
        notes += [f"{n} labels {use}: {how}" for how, n in sorted(self.found.counts.older.items())]
        if tuned is not None and all(one.too_far for one in tuned.tried):
            notes.append(
                "every strength costs base rows more than it may: the weakest was taken, the gate will judge it"
            )
        if self.refitted is not None and (without := self.refitted.report["without_text"]):
            notes.append(f"{without} labels without text taught the first stage alone")
        notes += [f"{n} labels are not usable: {why}" for why, n in sorted(self.found.counts.unusable.items())]
        if self.found.counts.sampled_out:
            notes.append(f"{self.found.counts.sampled_out} labels beyond {self.found.labels.size} were sampled out")
        return tuple(notes)


def corrected(start: Artifact, tuned: Tuned, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays of `weights.npz` that a correction, a new calibration and a new join change."""
    config, s = FirstConfig(), start.first.mean.size
    delta = tuned.weights / start.calibration.slope
    r = tuned.retuned
    found: dict[str, NDArray[Any]] = {
        "structure_weights": start.first.structure_weights + delta[:s] * config.structure_gain,
        "hashed_weights": (start.first.hashed_weights + delta[s:-1] * config.hashed_gain).astype(
            arrays["hashed_weights"].dtype
        ),
        "bias": start.first.bias + delta[-1] * BIAS_GAIN,
        "slope": start.calibration.slope * np.exp(r.sharper),
        "offset": start.calibration.offset * np.exp(r.sharper) + r.offset,
    }
    if start.stack is not None:
        stack = start.stack
        offset = stack.offset * np.exp(r.rest) + r.joint
        found["stack"] = np.array([stack.first * np.exp(r.first), stack.second * np.exp(r.rest), *offset])
        found["stack_structure"] = np.asarray(stack.structure) * np.exp(r.rest)
    return found


def moved_by(start: Artifact, arrays: dict[str, NDArray[Any]]) -> dict[str, float]:
    """How far the first stage's weights went: columns, and lengths beside those of the weights before."""
    before = start.first.hashed_weights.astype(np.float64)
    gap = arrays["hashed_weights"].astype(np.float64) - before
    shape, moved = start.first.structure_weights, arrays["structure_weights"] - start.first.structure_weights
    return {
        "hashed_columns": int((np.abs(gap).max(axis=1) > 1e-4).sum()),
        "hashed_length": round(_length(gap) / max(_length(before), 1e-9), 4),
        "structure_length": round(_length(moved) / max(_length(shape), 1e-9), 4),
    }


def _length(array: Floats) -> float:
    return float(np.sqrt((array * array).sum()))
