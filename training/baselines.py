"""What a router must beat: majority, length, chance, its own tier mix shuffled, and litellm's complexity router."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.policy import choose_index
from classifier.record import LabelledRequest
from training.complexity_router import routed
from training.metrics import accuracy, bootstrap, confusion, macro_f1
from training.pooled import Pooled
from training.split import held_out

Floats = NDArray[np.float64]
Tiers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A baseline beside the router on the same rows.

    Attributes:
        accuracy: Of the baseline.
        macro_f1: Of the baseline.
        gain: Accuracy of the router minus that of the baseline.
        low: and
        high: 95 % interval of the gain, paired, clustered by source.
    """

    accuracy: float
    macro_f1: float
    gain: float
    low: float
    high: float


def majority(pooled: Pooled) -> Tiers:
    """The most frequent tier of the other sources."""
    out = np.zeros(pooled.true.size, dtype=np.intp)
    for _, train, test in held_out(pooled.groups.tolist()):
        out[test] = np.argmax(np.bincount(pooled.true[train], pooled.weights[train], minlength=3))
    return out


def length_only(pooled: Pooled) -> Tiers:
    """Logistic regression on the logarithm of the length, fitted without the source."""
    from sklearn.linear_model import LogisticRegression

    length = np.log1p([len(r.text) for r in pooled.rows])
    design = np.column_stack((length, length**2))
    out = np.zeros(pooled.true.size, dtype=np.intp)
    for _, train, test in held_out(pooled.groups.tolist()):
        model = LogisticRegression(max_iter=1_000).fit(design[train], pooled.true[train], pooled.weights[train])
        out[test] = model.predict(design[test])
    return out


def chance(pooled: Pooled, seed: int) -> Tiers:
    """Any tier with the same probability."""
    return np.random.default_rng(seed).integers(0, 3, pooled.true.size)


def shuffled(routed_tiers: Tiers, seed: int) -> Tiers:
    """The router's own tier mix, dealt at random."""
    return np.random.default_rng(seed).permutation(routed_tiers)


def text_of(row: LabelledRequest) -> str:
    """What a baseline that knows no conversations reads: the newest user text."""
    return row.request if isinstance(row.request, str) else row.text.split("\n")[-1]


def compare(
    pooled: Pooled, matrix: Sequence[Sequence[float]], seed: int, times: int = 300, *, peers: bool = True
) -> dict[str, Comparison]:
    """All baselines beside the router's most probable tier; the shuffled mix beside the policy's own decision.

    Args:
        pooled: Predictions out of source.
        matrix: The policy's matrix.
        seed: Of chance and bootstrap.
        times: Resamples.
        peers: Ask litellm's router too.

    Returns:
        Comparisons by name; litellm's router is missing if it is not installed.
    """
    top = pooled.best.argmax(axis=1)
    policy = choose_index(pooled.best, matrix)
    texts = [text_of(r) for r in pooled.rows]
    arms: dict[str, tuple[Tiers, Tiers]] = {
        "majority": (majority(pooled), top),
        "length only": (length_only(pooled), top),
        "random": (chance(pooled, seed), top),
        "own tier mix, shuffled": (shuffled(policy, seed), policy),
        "own most probable tiers, shuffled": (shuffled(top, seed), top),
    }
    for kind in ("heuristic", "heuristic_v2") if peers else ():
        found = routed(texts, kind)
        if found is not None:
            arms[f"litellm complexity router, {kind}"] = (np.array(found, dtype=np.intp), top)
    return {name: _beside(pooled, other, ours, seed, times) for name, (other, ours) in arms.items()}


def _beside(pooled: Pooled, other: Tiers, ours: Tiers, seed: int, times: int) -> Comparison:
    w, true = pooled.weights, pooled.true

    def gain(rows: Tiers) -> float:
        return float(
            (w[rows] * ((ours[rows] == true[rows]).astype(float) - (other[rows] == true[rows]))).sum() / w[rows].sum()
        )

    figure: Callable[[Tiers], float] = gain
    low, high = bootstrap(figure, pooled.groups.tolist(), times=times, seed=seed)
    table = confusion(true, other, w)
    return Comparison(accuracy(table), macro_f1(table), gain(np.arange(true.size)), low, high)
