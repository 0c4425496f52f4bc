"""Are these labels worth learning from? Before the gate asks whether a challenger follows them better.

Three questions, each with an answer that a random or a hostile set of labels cannot give:

- *poisoned*: labels that say the opposite of what the champion holds likely, all together or those of one caller;
  labels of requests that are in the base data, with another tier than there;
- *informative*: the labels must hang together with the requests. Their order is shuffled among requests that the
  champion sends to the same tier (a permutation test); held-out predictions must fit the true order better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.analysis.bootstrap import Resampling, interval
from training.held_out import HeldOut

Floats = NDArray[np.float64]

LEAST = 20
"""Labels below which nothing can be said about a group of them."""

CONSISTENT = 0.9
"""Share of one tier from which the labels of a group say one thing: a stance, which no dice would give."""

ALPHA = 0.01
"""One-sided level of the permutation test."""

TIMES = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer.

    Attributes:
        ok: Whether it speaks for the labels.
        said: In words.
        figures: Numbers behind it.
    """

    ok: bool
    said: str
    figures: dict[str, Any]


def poisoned(held: HeldOut, near_base: dict[str, int], seed: int = 0) -> Finding:
    """Whether the labels contradict what is known.

    Args:
        held: The labels.
        near_base: `matches` and `contradicting`: labels of requests that are in the base data.
        seed: Of the bootstrap.
    """
    matches, against = near_base.get("matches", 0), near_base.get("contradicting", 0)
    figures: dict[str, Any] = {"in_base_data": matches, "against_base_data": against}
    if matches >= LEAST and against > 0.3 * matches:
        said = f"{against} of {matches} labels of requests in the base data name another tier than there"
        return Finding(False, said, figures)
    callers = sorted(set(held.callers.tolist()))
    groups = [("all callers", np.arange(held.labels.size))]
    if len(callers) > 1:
        groups += [(f"caller {name}", np.flatnonzero(held.callers == name)) for name in callers]
    for name, rows in groups:
        if why := opposite(held.take(rows), seed):
            return Finding(False, f"the labels of {name} {why}", figures)
    return Finding(True, "the labels do not contradict what is known", figures)


def opposite(held: HeldOut, seed: int = 0) -> str:
    """How labels say the opposite of what the champion holds likely, "" if they do not."""
    own = held.champion.argmax(axis=1)
    against = np.flatnonzero(own != held.labels)
    if against.size >= LEAST:
        least = (held.champion[against].argmin(axis=1) == held.labels[against]).astype(np.float64)
        low = _bounds(held.take(against), least, seed)[0]
        if low > 0.5:
            return f"name the tier that the champion holds least likely in {least.mean():.0%} of their corrections"
    confirmed = 1 - against.size / max(1, held.labels.size)
    if held.labels.size >= LEAST and confirmed >= 0.05:
        # Positions of the tiers, centred: the mean product is their covariance.
        place = held.champion @ np.arange(3.0)
        product = (place - np.average(place, weights=held.weights)) * (
            held.labels - np.average(held.labels, weights=held.weights)
        )
        high = _bounds(held, product, seed)[1]
        if high < 0:
            return "go down where the champion goes up, and up where it goes down"
    return ""


def informative(held: HeldOut, seed: int = 0) -> Finding:
    """Whether the labels hang together with the requests.

    Args:
        held: The labels, with predictions that had not seen their conversation.
        seed: Of the permutations.
    """
    random = np.random.default_rng(seed)
    one = held.take(_one_per_cluster(held.clusters))
    own = one.champion.argmax(axis=1)
    stance = np.zeros(one.labels.size, dtype=bool)
    for tier in range(3):
        rows = np.flatnonzero(own == tier)
        share = np.bincount(one.labels[rows], one.weights[rows], 3) / max(one.weights[rows].sum(), 1e-12)
        if rows.size >= 10 and share.max() >= CONSISTENT:
            stance[rows] = True
    if one.weights[stance].sum() >= 0.5 * one.weights.sum():
        return Finding(True, "the labels say one thing", {"consistent": int(stance.sum())})
    scores = np.log(np.maximum(one.challenger, 1e-9)) * one.weights[:, None]
    strata = one.fold * 3 + own
    members = [rows for s in np.unique(strata) if (rows := np.flatnonzero(strata == s)).size > 1]
    true = scores[np.arange(own.size), one.labels].sum()
    reached = 0
    for _ in range(TIMES):
        labels = one.labels.copy()
        for rows in members:
            labels[rows] = random.permutation(labels[rows])
        reached += int(scores[np.arange(own.size), labels].sum() >= true - 1e-9)
    p = (reached + 1) / (TIMES + 1)
    said = f"shuffled labels fit the requests as well in {p:.1%} of {TIMES} draws"
    return Finding(p <= ALPHA, said, {"p": round(p, 4), "labels": int(own.size)})


def _one_per_cluster(clusters: NDArray[np.intp]) -> NDArray[np.intp]:
    """The last row of each cluster: what hangs together counts once."""
    last = {int(c): number for number, c in enumerate(clusters)}
    return np.array(sorted(last.values()), dtype=np.intp)


def _bounds(held: HeldOut, values: Floats, seed: int) -> tuple[float, float]:
    """Interval of a weighted mean, clusters drawn again; everything if none can be made."""
    found = mean_interval(values, held.weights, held.clusters, seed)
    return (-np.inf, np.inf) if found is None else found


def mean_interval(
    values: Floats, weights: Floats, clusters: NDArray[np.intp], seed: int, level: float = 0.95
) -> tuple[float, float] | None:
    """Bootstrap interval of a weighted mean, whole clusters drawn again.

    Args:
        values: (n,).
        weights: (n,).
        clusters: (n,) numbers.
        seed: Of the draws.
        level: Coverage.
    """
    if values.size < 2:
        return None
    draws = Resampling.of([str(c) for c in clusters], times=TIMES, seed=seed)
    sums = draws.sums(np.column_stack([values * weights, weights]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return interval(sums[:, 0] / sums[:, 1], draws.clusters, level)
