"""`autotier train --deep`: the champion's own transformer, refitted a little on labels whose text is stored.

It starts from the upper layers and the head as the champion serves them. Base rows go along (rehearsal, Robins 1995);
what they are taught is what the champion says of them itself (distillation, Li and Hoiem 2016, "Learning without
Forgetting"), so they hold it where it is and teach it nothing. Each label, and each of these base rows, also gets
log-odds by a refit without its fold: what follows (correction, calibration, join, gate) sees no row by a model that
was fitted to it.

torch is imported only when something is refitted.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.deep import DEEP_FILES, GRAPH
from classifier.prompt import PromptView, view_of
from classifier.scorer import softmax
from training.anchors import Anchors
from training.correction import FOLDS, Plan, Say, Step, targets
from training.dataset import DatasetError, load_training_data
from training.deep_base import Base, read_tuned
from training.deep_train import DeepConfig, DeepRows, export_graph, fit_deep, predict_deep, prepare
from training.gather import Gathered
from training.offsets import words_of
from training.split import grouped
from training.train import row_key

if TYPE_CHECKING:
    from training.deep_net import Upper

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

LEAST_TEXTS = 12
MOST_TEXTS = 2_000
"""Labels that a refit sees at most: with as many base rows some 200 MB and minutes on a laptop."""

REFIT = DeepConfig(epochs=2, rate=5e-5, head=4.0, smoothing=0.0, hidden=0.0, kept=1.0, folds=FOLDS)
"""A third of the rate that made the champion: it is to move a little (training/LOG.md)."""

SMOOTHING = 0.05
"""Share of a label that is spread over all tiers, as in the champion's own training."""

_PASSES = 1.6
"""Time of one row in training beside that of the lower layers once: twelve layers' worth against eight [measured]."""

PACKAGES = ("torch", "onnx", "tokenizers")


@dataclass(frozen=True, slots=True)
class Refitted:
    """A refitted transformer, and what it says of rows that it was refitted without. n labels, b base rows.

    Attributes:
        before: (n, 3) log-odds of the start's second stage; NaN where it was not asked.
        after: (n, 3) the same by refits without the label's fold; of labels without text as before.
        rows: (r,) base rows that went along.
        base_before: (b, 3) out-of-source log-odds of the start, as `Anchors.second`.
        base_after: (b, 3) those of `rows` moved by refits without the row's fold.
        report: Counts and settings, ready for JSON.
        encoder: What it started from.
        upper: The layers refitted on all rows.
    """

    before: Floats
    after: Floats
    rows: Rows
    base_before: Floats
    base_after: Floats
    report: dict[str, Any]
    encoder: Base
    upper: Any

    def write(self, folder: Path) -> None:
        """The graph into an artifact folder; word vectors and vocabulary stay as they are."""
        export_graph(self.encoder, self.upper, folder / GRAPH)


def needed(start: Artifact) -> None:
    """Say at once what is missing.

    Raises:
        DatasetError: Packages are not installed, or the artifact has no second stage.
    """
    if start.stack is None:
        raise DatasetError(f"{start.id} has no second stage to refit: leave --deep out, or train one --from-scratch")
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise DatasetError(f"--deep needs {', '.join(missing)}: install what is missing, or leave --deep out")


def refit(plan: Plan, start: Artifact, anchors: Anchors, found: Gathered, say: Say, step: Step) -> Refitted:
    """Refit the second stage.

    Args:
        plan: What is asked for.
        start: The artifact that it starts from.
        anchors: Base rows; their folds are used.
        found: The labels.
        say: Called with one line per step.
        step: Called with (done, of) rows while it trains.

    Raises:
        DatasetError: As `needed`, or too few labels come with text.
    """
    needed(start)
    labelled = _with_text(found, plan.seed)
    rows = np.sort(np.random.default_rng(plan.seed).permutation(anchors.keys.size)[: min(plan.anchors, MOST_TEXTS)])
    encoder = read_tuned(start.path)
    began = time.monotonic()
    views = [*(_view(found, i) for i in labelled.tolist()), *base_views(plan.data, anchors, rows)]
    nothing = np.zeros((len(views), 3))
    data = prepare(encoder, views, nothing, np.ones(len(views)), REFIT)
    task = _Task(encoder, data, labelled, rows, plan.seed)
    own = task.own()
    before = found.second.copy()
    before[labelled] = np.where(asked(start, found)[labelled, None], own[: labelled.size], np.nan)
    data = _taught(data, own, before, start, found, labelled)
    task = replace(task, data=data)
    fold = np.concatenate([grouped([str(c) for c in found.clusters], FOLDS)[labelled], anchors.fold[rows]])
    say(_estimate(labelled.size, rows.size, task.total(fold), (time.monotonic() - began) / len(views)))
    out, upper = task.crossed(fold, step)
    moved = out - own
    after = before.copy()
    after[labelled] += moved[: labelled.size]
    base_before = anchors.second.copy()
    unknown = rows[~np.isfinite(anchors.second[rows]).all(axis=1)]
    base_before[unknown] = own[labelled.size :][np.isin(rows, unknown)]
    base_after = base_before.copy()
    base_after[rows] += moved[labelled.size :]
    report = {
        "labels": int(labelled.size), "without_text": found.labels.size - int(labelled.size), "base": int(rows.size),
        "epochs": REFIT.epochs, "rate": REFIT.rate, "moved": round(float(np.abs(moved).mean()), 4),
    }  # fmt: skip
    return Refitted(before, after, rows, base_before, base_after, report, encoder, upper)


@dataclass(frozen=True, slots=True)
class _Task:
    """Labels first, base rows behind them, as the second stage reads them."""

    encoder: Base
    data: DeepRows
    labelled: Rows
    rows: Rows
    seed: int

    def own(self) -> Floats:
        """(m, 3) what the encoder says as it is."""
        from training.deep_net import Upper

        return predict_deep(Upper(self.encoder).eval(), self.data, np.arange(self.data.lengths.size))

    def total(self, fold: Rows) -> int:
        """Rows that all fits pass together."""
        return REFIT.epochs * FOLDS * fold.size

    def crossed(self, fold: Rows, step: Step) -> tuple[Floats, Upper]:
        """((m, 3) log-odds by fits without the row's fold, the layers fitted on all rows)."""
        out, passed, total = np.zeros((fold.size, 3)), 0, self.total(fold)

        def tick(size: int) -> None:
            nonlocal passed
            passed += size
            step(passed, total)

        for k in range(FOLDS):
            test = np.flatnonzero(fold == k)
            model = fit_deep(self.encoder, self.data, np.flatnonzero(fold != k), REFIT, self.seed, tick)
            out[test] = predict_deep(model, self.data, test)
        return out, fit_deep(self.encoder, self.data, np.arange(fold.size), REFIT, self.seed, tick)


def _taught(data: DeepRows, own: Floats, before: Floats, start: Artifact, found: Gathered, labelled: Rows) -> DeepRows:
    """The rows with what they are to teach: labels what somebody said, base rows what the champion says itself."""
    said = targets(words_of(start, found.structure, found.hashed, before).served(), found)[labelled]
    said = (1 - SMOOTHING) * said + SMOOTHING / 3
    soft = np.concatenate([said, softmax(own[labelled.size :])])
    weights = np.concatenate([found.weights[labelled], np.ones(own.shape[0] - labelled.size)])
    return replace(data, soft=soft, weights=weights)


def asked(artifact: Artifact, found: Gathered) -> NDArray[np.bool_]:
    """(n,) labels whose request goes to the second stage: it was asked then, or the first alone is unsure now."""
    bare = words_of(artifact, found.structure, found.hashed, np.full((found.labels.size, 3), np.nan)).served()
    matrix = np.asarray(artifact.matrices["default"])
    unsure = (bare @ matrix).min(axis=1) > artifact.bound * matrix.max()
    return np.asarray(unsure | np.isfinite(found.second).all(axis=1), dtype=np.bool_)


def second_of(artifact: Artifact, start: Artifact, found: Gathered, refitted: Refitted) -> Floats:
    """(n, 3) log-odds of the labels by the second stage of another artifact: the champion, where a start was named.

    Args:
        artifact: The artifact.
        start: What was refitted; its log-odds are known already.
        found: The labels.
        refitted: The refit.
    """
    files = [[one.metadata["files"].get(name) for name in DEEP_FILES] for one in (artifact, start)]
    if files[0] == files[1] or artifact.stack is None:
        return refitted.before
    rows = np.flatnonzero([view is not None and view.signal for view in found.views])
    encoder = read_tuned(artifact.path)
    views = [_view(found, i) for i in rows.tolist()]
    data = prepare(encoder, views, np.zeros((rows.size, 3)), np.ones(rows.size), REFIT)
    second = found.second.copy()
    known = _Task(encoder, data, rows, np.empty(0, np.intp), 0).own()
    second[rows] = np.where(asked(artifact, found)[rows, None], known, np.nan)
    return second


def base_views(data: Path | None, anchors: Anchors, rows: Rows) -> list[PromptView]:
    """Views of base rows, whose texts the anchors lack."""
    texts = {row_key(row): row for row in load_training_data(None, data).base}
    return [view_of(texts[key].request) for key in anchors.keys[rows].tolist()]


def _with_text(found: Gathered, seed: int) -> Rows:
    """(m,) labels with text, at most `MOST_TEXTS` of them.

    Raises:
        DatasetError: They are too few.
    """
    rows = np.flatnonzero([view is not None and view.signal for view in found.views])
    without = found.labels.size - rows.size
    if not found.labels.size:
        raise DatasetError("--deep: no label to learn from that the champion has not seen (--full takes all again)")
    if not rows.size:
        raise DatasetError(
            f"--deep: none of {without} labels has its text: set store.prompts: full, texts are stored from then on; "
            "without --deep the features are enough"
        )
    if rows.size < LEAST_TEXTS or np.unique(found.clusters[rows]).size < 2 * FOLDS:
        raise DatasetError(
            f"--deep: {rows.size} labels have their text ({without} have none): {LEAST_TEXTS} are needed, from "
            f"{2 * FOLDS} conversations; store.prompts: full stores texts"
        )
    if rows.size > MOST_TEXTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_TEXTS, replace=False))
    return rows


def _view(found: Gathered, row: int) -> PromptView:
    view = found.views[row]
    assert view is not None  # the caller picked rows with text
    return view


def _estimate(labels: int, base: int, passes: int, row_s: float) -> str:
    minutes = round(passes * row_s * _PASSES / 60)
    span = "a minute or less" if minutes < 2 else f"about {minutes} minutes"
    return f"second stage: {labels} labels with text and {base} base rows, {span} on this machine"
