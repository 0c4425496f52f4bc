"""What the log hands to training: one labelled decision, in features; its text only where it is asked for.

The service builds these rows from its store (``service.decisions.labels``) and gives them out one after the other;
training never sees the store, and the store never sees training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.prompt import PromptView
from classifier.tiers import Tier


@dataclass(frozen=True, slots=True, eq=False)
class LoggedLabel:
    """One decision with the label that holds for it.

    Attributes:
        decision_id: ``dec_`` and 32 hexadecimal digits; sorts by the time of the request.
        decided_s: Unix seconds of the request.
        labelled_s: Unix seconds of the statement that the label comes from; ask for `labels(since_s=...)` with the
            newest one of the parent to train incrementally.
        caller: Who asked.
        labelled_by: Who said the label; the asker, but for an admin's correction.
        conversation: Hash that all turns of a conversation share, or the decision's id where there is none: the
            cluster of a bootstrap, together with `caller`.
        chosen: Tier that the request got.
        reason: Why it got it (``classifier``, ``conversation``, ``override``, ...).
        artifact: Id of the artifact that judged it, or None.
        feature_schema: Version of the features; compare it with `classifier.features.SCHEMA` before using the arrays.
        structure: (s,) float64, unscaled structure features.
        indices: (k,) int64 hashed columns, sorted, without repetition.
        values: (k,) float64.
        carried: The features are those of the ask together with the one that it continues (the likelier reading).
        second_logodds: The second stage's three log-odds of the view, or None where it was not asked.
        first_said: Probabilities that the first stage gave then, or None where that is not known.
        both_said: Those of both stages together, where the second spoke too; else None.
        language: Two-letter code, "" where it is not clear.
        tier: The label.
        source: ``caller`` (a tier that somebody named), ``solved``, ``rating``, or the name of an implicit source.
        weight: Weight in training, above 0, at most 1: the source's weight, scaled down where its caller's labels of
            that day go beyond the cap.
        explicit: Somebody said it, as against: it was concluded.
        view: What the second stage reads of the stored messages (`classifier.deep.read_part`); None where texts were
            not asked for, or none is stored (``store.prompts``).
        embedding_logodds: What an embedding's head said of the request, or None where none was heard.
        embedding_head: Which head (`classifier.embedding.EmbeddingTerm.head`), "" where none was heard.
        private: The request had to stay in the house, so its text does too.
    """

    decision_id: str
    decided_s: float
    labelled_s: float
    caller: str
    labelled_by: str
    conversation: str
    chosen: Tier
    reason: str
    artifact: str | None
    feature_schema: int
    structure: NDArray[np.float64]
    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    carried: bool
    second_logodds: tuple[float, float, float] | None
    language: str
    tier: Tier
    source: str
    weight: float
    explicit: bool
    view: PromptView | None = None
    first_said: tuple[float, float, float] | None = None
    both_said: tuple[float, float, float] | None = None
    embedding_logodds: tuple[float, float, float] | None = None
    embedding_head: str = ""
    private: bool = False


class LabelSource(Protocol):
    """Where the labels come from; ``service.decisions.labels.Labels`` implements it. Nothing is kept in memory."""

    def labels(self, since_s: float | None = None, *, texts: bool = False) -> Iterator[LoggedLabel]:
        """Labelled decisions by the time of the request, read in pages.

        Args:
            since_s: Only decisions about which something was said from then on (Unix seconds).
            texts: With `LoggedLabel.view`.
        """
        ...

    def summary(self) -> Mapping[str, Any]:
        """Counts for reports: by source, caller and tier; conflicts, capped weight, decisions without features."""
        ...
