"""`autotier train --embedding`: the vectors of a model that somebody runs anyway, beside both stages, if they earn it.

A challenger is made as always; then a head is fitted on the vectors of the base data and of the labels whose text is
stored, with what hangs together held out, and joined with what the challenger says without it. The term goes into the
artifact only where the challenger is better with it than by itself (training.embedding_gate).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact, load_artifact
from classifier.embedding import EMBEDDING, EmbeddingTerm, arrays_of, read_term, text_of
from classifier.prompt import PromptView, view_of
from classifier.record import LabelledRequest
from training.anchors import load_anchors
from training.challenger import Retrained
from training.correction import FOLDS, Plan, Say
from training.dataset import load_frozen, load_training_data
from training.embedding_artifact import EMBEDDING_OUT_OF_SOURCE, extended, noted, stripped
from training.embedding_gate import Trial, earns, label_gain
from training.embedding_head import Head, Step, fit_head
from training.embedding_kept import keep
from training.embedding_rows import Rows, champion_heard
from training.embedding_vectors import EmbeddingModel, KeptVectors
from training.gather import Gathered
from training.held_out import HELD_OUT, HeldOut
from training.train import row_key

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An embedding that may join.

    Attributes:
        vectors: Of its model.
        deadline_ms: How long a request will wait for a vector.
        timed: Milliseconds that the host took for each of some texts, asked one by one.
        stages: As in `classifier.load`.
        step: Called with (done, of) after each fit.
    """

    vectors: KeptVectors
    deadline_ms: int
    timed: Callable[[Sequence[str]], list[float]]
    stages: int | None = None
    step: Step = lambda done, of: None

    def add(self, plan: Plan, made: Retrained, found: Gathered, say: Say) -> Retrained:
        """Let it join a challenger, if it earns its place.

        Args:
            plan: What the retraining was asked for.
            made: The challenger, just written.
            found: The labels that it was made from.
            say: Called with one line per step.

        Returns:
            The challenger with the term, or plain; what was found is in its report.

        Raises:
            VectorsMissing: The host gave none; the challenger lies where it was written, without the term.
            ArtifactError, DatasetError: Something cannot be used.
        """
        challenger, held = load_artifact(made.path), HeldOut.read(made.path)
        base, frozen = load_training_data(None, plan.data).base, load_frozen(plan.data)
        labels = [i for i, view in enumerate(found.views) if view is not None and view.signal and held is not None]
        vectors = self._vectors(base, frozen, [found.views[i] for i in labels], say)
        anchors = load_anchors(challenger, plan.data, plan.cache, FOLDS)
        rows = Rows.of(challenger, anchors, found, held, np.array(labels, dtype=np.intp))
        place = {row_key(row): i for i, row in enumerate(base)}
        order = np.array([place[key] for key in anchors.keys.tolist()], dtype=np.intp)
        x = np.concatenate([vectors[0][order], vectors[2]])
        head = fit_head(x, rows.soft, rows.weights, rows.fold, self.step)
        say(f"head over {x.shape[1]} numbers fitted on {x.shape[0]} rows, penalty {head.penalty:g}")
        arrays = arrays_of(head.weights, head.bias, *rows.joins(head.held_out, challenger))
        described = self._described(x.shape[1])
        term = read_term(arrays, described, second=challenger.stack is not None)
        after = None if held is None else rows.held_out(held, head.held_out, challenger, term)
        gain = None if held is None or after is None else label_gain(held, after, rows.labels, plan.seed)
        trial = Trial(self.deadline_ms, self.timed, self.stages, plan.seed)
        earned = earns(challenger, term, frozen, vectors[1], gain, trial)
        for line in earned.lines:
            say(line)
        report = made.report | {"embedding": earned.report(described, len(labels), len(found.views))}
        made = replace(made, report=report, notes=(*made.notes, *self._notes(found, labels), earned.said))
        noted(made.path, report["embedding"])
        if not earned.ok:
            return _plain(plan, made, found, challenger, term, say)
        return _with_term(
            plan, made, found, arrays, described | {"latency_ms": earned.latency_ms}, after, anchors.keys, head
        )

    def _vectors(
        self, base: Sequence[LabelledRequest], frozen: Sequence[LabelledRequest], views: Sequence[PromptView | None],
        say: Say,
    ) -> tuple[Vectors, Vectors, Vectors]:  # fmt: skip
        """Of base rows, of frozen ones, of labels; asked for at once, so that progress is of the whole."""
        model = self.vectors.model
        say(f"vectors of {model.model} for {len(base)} base rows, {len(frozen)} frozen ones, {len(views)} labels")
        texts = [[model.prefix + text_of(view_of(row.request)) for row in rows] for rows in (base, frozen)]
        texts.append([model.prefix + text_of(view) for view in views if view is not None])
        found = self.vectors.of([text for part in texts for text in part])
        ends = np.cumsum([len(part) for part in texts])
        return found[: ends[0]], found[ends[0] : ends[1]], found[ends[1] :]

    def _described(self, dimensions: int) -> dict[str, Any]:
        model: EmbeddingModel = self.vectors.model
        return {
            "name": model.name, "model": model.model, "digest": model.digest, "prefix": model.prefix,
            "dimensions": dimensions, "deadline_ms": self.deadline_ms,
        }  # fmt: skip

    @staticmethod
    def _notes(found: Gathered, labels: Sequence[int]) -> list[str]:
        missing = len(found.views) - len(labels)
        if not missing:
            return []
        return [
            f"{missing} of {len(found.views)} labels have no stored text: the embedding learns nothing from them "
            "(store.prompts: full keeps the text of coming requests)"
        ]


def _with_term(
    plan: Plan, made: Retrained, found: Gathered, arrays: dict[str, NDArray[Any]], described: dict[str, Any],
    held: HeldOut | None, keys: NDArray[Any], head: Head,
) -> Retrained:  # fmt: skip
    kept = {"keys": keys, "logodds": head.held_out[: keys.size].astype(np.float32)}
    if held is not None:
        champion_heard(held, load_artifact(plan.champion), found).write(made.path)
    changed = [HELD_OUT] if held is not None else []
    new = {EMBEDDING: arrays, EMBEDDING_OUT_OF_SOURCE: kept}
    return replace(made, id=extended(made.path, new, described, changed))


def _plain(
    plan: Plan, made: Retrained, found: Gathered, challenger: Artifact, term: EmbeddingTerm, say: Say
) -> Retrained:
    """Without the term that does not earn its place; one of another name that the challenger has already stays."""
    before = challenger.embedding
    if before is not None and before.name == term.name:
        made = replace(made, id=stripped(made.path))
    return keep(plan, made, found, say)
