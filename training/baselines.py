"""What a router must beat: majority, length, the subject prior, chance, its own tier mix shuffled, and litellm's
complexity router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.features import FeatureRow
from classifier.policy import choose_index
from classifier.prompt import content_text
from classifier.record import LabelledRequest
from training.complexity_router import routed
from training.metrics import accuracy, confusion, intervals, macro_f1, under_routed
from training.pooled import Pooled
from training.split import held_out
from training.topic_prior import topic_prior

Floats = NDArray[np.float64]
Tiers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A baseline beside the router on the same rows; intervals are 95 %, paired, clustered by source.

    Attributes:
        accuracy: Of the baseline.
        macro_f1: Of the baseline.
        reasoning_to_lightweight: Of the baseline, share of the reasoning prompts.
        gain: Accuracy of the router minus that of the baseline.
        low: and
        high: Interval of the gain.
        macro_f1_gain: Macro-F1 of the router minus that of the baseline.
        macro_f1_low: and
        macro_f1_high: Interval of that gain.
        own_reasoning_to_lightweight: Of the router's decision that is compared.
    """

    accuracy: float
    macro_f1: float
    reasoning_to_lightweight: float
    gain: float
    low: float
    high: float
    macro_f1_gain: float
    macro_f1_low: float
    macro_f1_high: float
    own_reasoning_to_lightweight: float


def majority(pooled: Pooled) -> Tiers:
    """The most frequent tier of the other sources."""
    out = np.zeros(pooled.true.size, dtype=np.intp)
    for _, train, test in held_out(pooled.groups.tolist()):
        out[test] = np.argmax(np.bincount(pooled.true[train], pooled.weights[train], minlength=3))
    return out


def length_only(pooled: Pooled) -> Floats:
    """(n, 3) probabilities of a logistic regression on the logarithm of the length, fitted without the source."""
    from sklearn.linear_model import LogisticRegression

    length = np.log1p([len(r.text) for r in pooled.rows])
    design = np.column_stack((length, length**2))
    out = np.zeros((pooled.true.size, 3))
    for _, train, test in held_out(pooled.groups.tolist()):
        model = LogisticRegression(max_iter=1_000).fit(design[train], pooled.true[train], pooled.weights[train])
        out[np.ix_(test, model.classes_)] = model.predict_proba(design[test])
    return out


def chance(pooled: Pooled, seed: int) -> Tiers:
    """Any tier with the same probability."""
    return np.random.default_rng(seed).integers(0, 3, pooled.true.size)


def shuffled(routed_tiers: Tiers, seed: int) -> Tiers:
    """The router's own tier mix, dealt at random."""
    return np.random.default_rng(seed).permutation(routed_tiers)


def text_of(row: LabelledRequest) -> str:
    """What a baseline that knows no conversations reads: the newest user turn, whole; "" if there is none."""
    if isinstance(row.request, str):
        return row.request
    asked = [content_text(m.get("content"))[0] for m in row.request if m.get("role") == "user"]
    return asked[-1] if asked else ""


def compare(
    pooled: Pooled,
    features: Sequence[FeatureRow],
    length: Floats,
    matrix: Sequence[Sequence[float]],
    seed: int,
    *,
    peers: bool = True,
) -> dict[str, Comparison]:
    """All baselines beside the router's most probable tier; the shuffled mix beside the policy's own decision.

    Args:
        pooled: Predictions out of source.
        features: Features of its rows, for the subject prior.
        length: From `length_only`.
        matrix: The policy's matrix.
        seed: Of chance, topics and bootstrap.
        peers: Ask litellm's router too.

    Returns:
        Comparisons by name; litellm's router is missing if it is not installed.
    """
    top = pooled.best.argmax(axis=1)
    policy = choose_index(pooled.best, matrix)
    subject = topic_prior(features, pooled.true, pooled.weights, pooled.groups, seed)
    arms: dict[str, tuple[Tiers, Tiers]] = {
        "majority": (majority(pooled), top),
        "length only": (length.argmax(axis=1), top),
        "subject prior": (subject.argmax(axis=1), top),
        "random": (chance(pooled, seed), top),
        "own tier mix, shuffled": (shuffled(policy, seed), policy),
        "own most probable tiers, shuffled": (shuffled(top, seed), top),
    }
    texts = [text_of(r) for r in pooled.rows]
    for kind in ("heuristic", "heuristic_v2") if peers else ():
        found = routed(texts, kind)
        if found is not None:
            arms[f"litellm complexity router, {kind}"] = (np.array(found, dtype=np.intp), top)
    return {name: _beside(pooled, other, ours, seed) for name, (other, ours) in arms.items()}


def _beside(pooled: Pooled, other: Tiers, ours: Tiers, seed: int) -> Comparison:
    def gains(rows: Tiers) -> dict[str, float]:
        own, its = (confusion(pooled.true[rows], tiers[rows], pooled.weights[rows]) for tiers in (ours, other))
        return {"accuracy": accuracy(own) - accuracy(its), "macro_f1": macro_f1(own) - macro_f1(its)}

    ends = intervals(gains, pooled.groups.tolist(), seed=seed)
    gain = gains(np.arange(pooled.true.size))
    table = confusion(pooled.true, other, pooled.weights)
    return Comparison(
        accuracy(table),
        macro_f1(table),
        under_routed(table),
        gain["accuracy"],
        *ends["accuracy"],
        gain["macro_f1"],
        *ends["macro_f1"],
        under_routed(confusion(pooled.true, ours, pooled.weights)),
    )
