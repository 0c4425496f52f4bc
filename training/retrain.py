"""`autotier train`: from the champion and the labels of the log to a challenger.

The first stage gets a correction (training.offsets), calibration and join are tuned on predictions that were held out;
the second stage's files are the champion's, unless `Plan.deep` asks to refit it (training.deep_refit). What the gate
will ask for, predictions for each label by a correction that had not seen its conversation, is written beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from classifier.artifact import load_artifact
from training.anchors import load_anchors, near_base
from training.challenger import LEAST_LABELS, Retrained, Writer
from training.correction import FOLDS, Fit, Plan, Say, Step
from training.deep_refit import needed, refit
from training.embedding_kept import keep
from training.gather import Gathered, gather
from training.logged_labels import LoggedLabel
from training.older_schema import OldScorers

__all__ = ["Plan", "Retrained", "run"]

Also = Callable[[Plan, Retrained, Gathered, Say], Retrained]
"""What is done with a challenger that was just written, and with its labels (training.embedding, embedding_kept)."""


def run(
    plan: Plan, labels: Iterable[LoggedLabel], *, say: Say = lambda _: None, step: Step = lambda done, of: None,
    also: Also = keep,
) -> Retrained:  # fmt: skip
    """Retrain.

    Args:
        plan: What is asked for.
        labels: Every label of the log, or those since the champion's last one; read once.
        say: Called with one line per step.
        step: Called with (done, of) after every fit; a refit of the second stage counts its own before that.
        also: What joins the stages behind them: an embedding that the start has keeps its place.

    Returns:
        What was made.

    Raises:
        ArtifactError: The champion cannot be used.
        DatasetError: The base data cannot be used; or `Plan.deep` lacks packages, texts or a second stage.
    """
    champion = load_artifact(plan.champion)
    start = load_artifact(plan.root) if plan.full and plan.root is not None else champion
    seen_until = float(champion.metadata.get("lineage", {}).get("labels", {}).get("until_s", 0.0))
    if plan.deep:
        needed(start)
    after_s, scorers = None if plan.full else seen_until or None, OldScorers(plan.versions)
    found = gather(labels, after_s=after_s, seed=plan.seed, scorers=scorers)
    say(f"{found.counts.read} labels read, {found.counts.used} used" + _unusable_text(found))
    anchors = load_anchors(start, plan.data, plan.cache, FOLDS)
    near = near_base(found.hashed, found.labels, anchors.hashed, anchors.soft.argmax(axis=1))
    say(f"{anchors.keys.size} base rows as anchors")
    refitted = refit(plan, start, anchors, found, say, step) if plan.deep else None
    if refitted is not None:
        found, anchors = replace(found, second=refitted.after), replace(anchors, second=refitted.base_after)
    fit = Fit.of(plan, start, anchors, found, refitted) if _enough(found) else None
    tuned = fit.tuned(say, step) if fit is not None else None
    written = Writer(plan, champion, start, anchors, found, seen_until, near, refitted)
    return also(plan, written.write(fit, tuned), found, say)


def _enough(found: Gathered) -> bool:
    return found.labels.size >= LEAST_LABELS and np.unique(found.clusters).size >= 2 * FOLDS


def _unusable_text(found: Gathered) -> str:
    if not found.counts.unusable:
        return ""
    return "; not usable: " + ", ".join(f"{n} ({why})" for why, n in sorted(found.counts.unusable.items()))
