"""The classifier: messages in, calibrated tier probabilities and an explained decision out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact, ArtifactError, load_artifact, shipped_path
from classifier.conversation import carried_view, continuation
from classifier.deep import DeepStage, installed, load_deep
from classifier.explain import Decided, Explanation, Feature, explained
from classifier.features import FeatureRow, feature_row
from classifier.policy import choose, expected_costs, known_matrix
from classifier.prompt import Messages, PromptView, view_of
from classifier.scorer import Scored
from classifier.tiers import TIERS, Tier


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of asking an artifact's embedding (`classifier.embedding`).

    Attributes:
        result: ``used``, or why the stages decided alone.
        logodds: What its head said; None where it was not heard.
        head: Of which head (`EmbeddingTerm.head`).
        before: Probabilities of the stages; None where they stand.
    """

    result: str
    logodds: tuple[float, float, float] | None = None
    head: str = ""
    before: Mapping[Tier, float] | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """What the classifier says about one request.

    Attributes:
        tier: Tier of least expected cost under the matrix in force; without a signal at least coding.
        confidence: Probability of `tier`, 0 to 1.
        probabilities: Probability of each tier; they sum to 1.
        runner_up: The most probable tier other than `tier`.
        tokens: Token estimate of the whole request (`PromptView.tokens`).
        artifact: Id of the artifact.
        stage: Last stage that was asked: 1, 2, or 3 where a judge was (`classifier.judged`).
        signal: False if there is nothing to judge; the service then takes its default.
        continues: Probability that the newest ask continues the conversation, 0 without a history.
        second: The second stage's three log-odds, or None where it was not asked.
        first: What the first stage alone said, where the second was asked too; else None.
        before: What the stages before a judge said, or None where none was asked.
        embedding: What came of asking the artifact's embedding, or None where nobody asked (`classifier.embedded`).
        row: Features of the likelier reading; None where nothing was read.
        explain: Gives what `features` and `needed` are read from, when somebody asks: it takes a tenth of a
            millisecond.
    """

    tier: Tier
    confidence: float
    probabilities: Mapping[Tier, float]
    runner_up: Tier
    tokens: int
    artifact: str
    stage: int
    signal: bool = True
    continues: float = 0.0
    second: tuple[float, float, float] | None = None
    before: Classification | None = None
    embedding: Heard | None = None
    first: tuple[float, float, float] | None = None
    row: FeatureRow | None = field(default=None, compare=False, repr=False)
    explain: Callable[[], Explanation] = field(default=Explanation, compare=False, repr=False)

    @property
    def features(self) -> tuple[Feature, ...]:
        """What spoke, strongest first; a positive contribution speaks for `tier` against `runner_up`."""
        return self.explain().features(self.tier, self.runner_up)

    @property
    def needed(self) -> str:
        """How the ask was read and what would have changed the tier, in words; "" where nobody knows."""
        return self.explain().needed(self.tier, self.runner_up)


class _Kept:
    """An explanation that is made when somebody asks for it, and then kept: `functools.cache` of one call, for a tenth
    of its price at every request.

    Args:
        make: Makes it.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Explanation]) -> None:
        self._make = make
        self._made: Explanation | None = None

    def __call__(self) -> Explanation:
        if self._made is None:
            self._made = self._make()
        return self._made


class Classifier:
    """A loaded classifier; immutable, safe to share between threads.

    Attributes:
        artifact: What it was loaded from.
        stages: Number of stages in use.
    """

    def __init__(self, artifact: Artifact, deep: DeepStage | None = None) -> None:
        """Serve a loaded artifact.

        Args:
            artifact: From `load_artifact`.
            deep: Its second stage, or None to serve with the first alone.
        """
        self.artifact = artifact
        self.deep = deep
        self.stages = 1 if deep is None else 2

    def classify(
        self, messages: str | Messages, *, matrix: str | Sequence[Sequence[float]] | None = None, **request_fields: Any
    ) -> Classification:
        """Classify one request.

        Args:
            messages: A string (one user message) or OpenAI messages.
            matrix: Cost matrix (rows = true tier, columns = routed tier) or the name of one in the artifact;
                None: `default`.
            **request_fields: Other fields of the request (`tools`, `response_format`, ...).

        Returns:
            The classification.

        Raises:
            ValueError: The matrix is no 3 x 3 of finite costs, or its name is not in the artifact.
        """
        return self.classify_view(view_of(messages, **request_fields), matrix=matrix)

    def classify_view(
        self, view: PromptView, *, matrix: str | Sequence[Sequence[float]] | None = None
    ) -> Classification:
        """Classify a view that was built already; else as `classify`."""
        costs = self._matrix(matrix)
        continues = continuation(view, self.artifact.follow_up)
        read = carried_view(view) if continues >= 0.5 else view
        row = feature_row(read)
        scored = self.artifact.first.scored(row)
        first = self._view_probabilities(view, scored, continues)
        vector, second = self._both(view, scored, first, costs)
        probabilities = dict(zip(TIERS, vector.tolist(), strict=True))
        tier = choose(probabilities, costs)
        signal = view.signal
        if not signal and tier is Tier.LIGHTWEIGHT:
            tier = Tier.CODING
        likeliest, next_one, _ = sorted(TIERS, key=probabilities.__getitem__, reverse=True)
        joined, carried = None if second is None else vector, read is not view
        return Classification(
            tier,
            probabilities[tier],
            probabilities,
            next_one if likeliest is tier else likeliest,
            view.tokens,
            self.artifact.id,
            1 if second is None else 2,
            signal,
            continues,
            second,
            first=None if second is None else (float(first[0]), float(first[1]), float(first[2])),
            row=row,
            explain=_Kept(lambda: explained(self.artifact, Decided(scored, carried, signal, first, joined, costs))),
        )

    def predict_proba(self, prompts: Sequence[str | Messages]) -> NDArray[np.float64]:
        """Calibrated probabilities.

        Args:
            prompts: Strings or message lists.

        Returns:
            (n, 3) in the order of `TIERS`.
        """
        rows = [self.view_probabilities(view_of(prompt)) for prompt in prompts]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 3)

    def view_probabilities(self, view: PromptView) -> NDArray[np.float64]:
        """(3,) probabilities of a view, with the second stage where the artifact's `default` matrix asks for it."""
        continues = continuation(view, self.artifact.follow_up)
        scored = self.artifact.first.scored(feature_row(carried_view(view) if continues >= 0.5 else view))
        first = self._view_probabilities(view, scored, continues)
        return self._both(view, scored, first, self.artifact.matrices["default"])[0]

    def _both(
        self, view: PromptView, scored: Scored, first: NDArray[np.float64], costs: Sequence[Sequence[float]]
    ) -> tuple[NDArray[np.float64], tuple[float, float, float] | None]:
        """Join in the second stage where the first is unsure: (probabilities, its log-odds or None)."""
        stack = self.artifact.stack
        if self.deep is None or stack is None or not view.signal:
            return first, None
        greatest = max(max(row) for row in costs)
        if expected_costs(first, costs).min() <= self.artifact.bound * greatest:
            return first, None
        logits = self.deep.logits(view)
        joined = stack.probabilities(first, logits, scored.scaled)
        return joined, (float(logits[0]), float(logits[1]), float(logits[2]))

    def _matrix(self, matrix: str | Sequence[Sequence[float]] | None) -> Sequence[Sequence[float]]:
        if matrix is None or isinstance(matrix, str):
            name = matrix or "default"
            if name not in self.artifact.matrices:
                raise ValueError(
                    f"no cost matrix {name!r} in {self.artifact.id}: it has {', '.join(self.artifact.matrices)}"
                )
            return self.artifact.matrices[name]
        return known_matrix(matrix)

    def _view_probabilities(self, view: PromptView, scored: Scored, continues: float) -> NDArray[np.float64]:
        """Mixture of "carries on" and "new ask"; `scored` is the likelier of the two."""
        likelier = self._score(scored)
        weight = continues if continues >= 0.5 else 1.0 - continues
        if weight > 0.999:
            return likelier
        other = self._score(self.artifact.first.scored(feature_row(view if continues >= 0.5 else carried_view(view))))
        return weight * likelier + (1.0 - weight) * other

    def _score(self, scored: Scored) -> NDArray[np.float64]:
        return self.artifact.calibration.probabilities(self.artifact.first.logits_of(scored))


def load(path: str | Path | None = None, *, stages: int | None = None) -> Classifier:
    """Load a classifier.

    Args:
        path: Artifact folder; None: the champion that comes with the package.
        stages: 1: the first stage only; 2: with the second; None: all that are installed and in the artifact.

    Returns:
        The classifier.

    Raises:
        ArtifactError: The folder cannot be used, or `stages` is 2 and there is no second stage or its packages
            are missing.
        ValueError: `stages` is not 1, 2 or None.
    """
    if stages not in (None, 1, 2):
        raise ValueError(f"stages is 1, 2 or None, not {stages!r}")
    artifact = load_artifact(Path(path) if path is not None else shipped_path())
    if stages == 1 or (stages is None and (artifact.stack is None or not installed())):
        return Classifier(artifact)
    if artifact.stack is None:
        raise ArtifactError(f"{artifact.path}: has no second stage")
    if not installed():
        raise ArtifactError("the second stage needs onnxruntime and tokenizers: install autotier[deep]")
    try:
        return Classifier(artifact, load_deep(artifact.path))
    except (KeyError, ValueError, OSError, RuntimeError) as error:
        raise ArtifactError(f"{artifact.path}: its second stage cannot be loaded: {error}") from error
