"""Figures by part of a set: source, tier, language or script, length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.features import FeatureRow
from classifier.record import LabelledRequest
from classifier.structure import STRUCTURE_NAMES
from classifier.tiers import TIERS, tier_index
from training.metrics import brier, confusion, decided, ece, intervals

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Matrix = Sequence[Sequence[float]]

LENGTHS = (50, 200, 1_000, 4_000)
"""Bounds, in characters, of the length buckets."""

LENGTH_NAMES = (*(f"up to {n:,}" for n in LENGTHS), f"above {LENGTHS[-1]:,}")

SCRIPTS = ("latin", "cyrillic", "cjk", "arabic", "indic")
BOUNDED = ("accuracy", "policy_under_routed", "policy_over_routed")
"""Figures of a part that get an interval; the Brier score too."""


def breakdown(
    probabilities: Floats, true: Rows, names: Sequence[str], clusters: Sequence[str], matrix: Matrix, seed: int
) -> dict[str, Any]:
    """Figures of each part, every row weighted the same.

    Args:
        probabilities: (n, 3).
        true: (n,) tier positions.
        names: Part of each row.
        clusters: What the intervals resample whole (within a part of one cluster: its rows).
        matrix: The policy's cost matrix.
        seed: Of the resampling.

    Returns:
        By name: figures of `training.metrics.decided`, ECE, Brier, confusion of the most probable tier, intervals.
        "Reasoning to lightweight" and "lightweight kept" are None where there is none of that tier.
    """
    part, cluster = np.asarray(names), np.asarray(clusters)
    found = {}
    for name in sorted(set(names), key=_order):
        rows = np.flatnonzero(part == name)
        found[name] = part_figures(probabilities[rows], true[rows], cluster[rows].tolist(), matrix, seed)
    return found


def _order(name: str) -> tuple[int, str]:
    """Lengths from short to long, everything else by its name."""
    return (LENGTH_NAMES.index(name) if name in LENGTH_NAMES else -1, name)


def part_figures(
    probabilities: Floats, true: Rows, clusters: Sequence[str], matrix: Matrix, seed: int
) -> dict[str, Any]:
    """Figures of one part; see `breakdown`."""

    def resampled(rows: Rows) -> dict[str, float]:
        figures = decided(probabilities[rows], true[rows], matrix)
        return {name: figures[name] for name in BOUNDED} | {"brier": brier(probabilities[rows], true[rows])}

    found: dict[str, Any] = {"rows": int(true.size), **decided(probabilities, true, matrix)}
    if not (true == 2).any():
        found["policy_reasoning_to_lightweight"] = None
    if not (true == 0).any():
        found["policy_lightweight_kept"] = None
    found |= {"ece": ece(probabilities, true), "brier": brier(probabilities, true)}
    found["confusion"] = confusion(true, probabilities.argmax(axis=1)).astype(int).tolist()
    found["intervals"] = intervals(resampled, clusters, seed=seed)
    return found


def by_tier(probabilities: Floats, true: Rows, clusters: Sequence[str], matrix: Matrix, seed: int) -> dict[str, Any]:
    """Figures by true tier. What is chosen by the label has no calibration: that of a tier's probability is in
    `training.metrics.calibration`."""
    names = [TIERS[i].value for i in true]
    every = breakdown(probabilities, true, names, clusters, matrix, seed)
    kept = ("rows", "accuracy", "policy_accuracy", "policy_under_routed", "policy_over_routed", "confusion")
    return {
        name: {k: figures[k] for k in kept} | {"intervals": {k: figures["intervals"][k] for k in BOUNDED}}
        for name, figures in sorted(every.items(), key=lambda item: tier_index(item[0]))
    }


def lengths_of(rows: Sequence[LabelledRequest]) -> list[str]:
    """Length bucket of each request's user text."""
    return [LENGTH_NAMES[i] for i in np.searchsorted(LENGTHS, [len(r.text) for r in rows])]


def scripts_of(features: Sequence[FeatureRow]) -> list[str]:
    """Script of most letters of each ask, "none" where there are no letters: the real prompts name no language."""
    columns = [STRUCTURE_NAMES.index(f"script_{script}") for script in SCRIPTS]
    found = []
    for row in features:
        shares = row.structure[columns]
        found.append(SCRIPTS[int(shares.argmax())] if shares.max() > 0 else "none")
    return found
