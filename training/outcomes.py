"""Outcome tables: does P(lightweight) know where a small model suffices? APGR and CPT as RouteLLM defines them.

Ong et al. 2024, "RouteLLM: Learning to Route LLMs with Preference Data", section 4: PGR is the share of the
quality gap between a
weak and a strong model that a router recovers; APGR is its mean over the share of strong calls; CPT(x) is the
least share of strong
calls that recovers x of the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.record import read_rows
from training.dataset import DatasetError

Floats = NDArray[np.float64]
OUTCOMES_FILE = "outcomes.jsonl.gz"
PUBLISHED = {"MT-Bench": 0.802, "MMLU": 0.603, "GSM8K": 0.622}
"""RouteLLM's best published APGR (random = .5)."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How well a score orders prompts by need of the strong model.

    Attributes:
        apgr: Average performance gap recovered; .5 for a random order.
        cpt_50: and
        cpt_80: Share of strong calls that recovers half, four fifths of the gap.
        rows: Prompts.
    """

    apgr: float
    cpt_50: float
    cpt_80: float
    rows: int


def curve(need: Floats, weak: Floats, strong: Floats) -> Curve:
    """APGR and CPT of a score.

    Args:
        need: (n,) higher goes to the strong model first.
        weak: (n,) 1 where the weak model is right.
        strong: (n,) 1 where the strong model is right.

    Returns:
        The curve's figures.
    """
    order = np.argsort(-need, kind="stable")
    gain = np.concatenate(([0.0], np.cumsum((strong - weak)[order])))
    recovered = gain / gain[-1] if gain[-1] else np.zeros_like(gain)
    share = np.linspace(0, 1, recovered.size)
    apgr = float(((recovered[1:] + recovered[:-1]) / 2).mean())
    first = [float(share[np.argmax(recovered >= level)]) if (recovered >= level).any() else 1.0 for level in (0.5, 0.8)]
    return Curve(apgr, first[0], first[1], need.size)


def check_outcomes(corpora: Path) -> Path:
    """The file of the outcome tables.

    Raises:
        DatasetError: It is not there.
    """
    path = corpora / OUTCOMES_FILE
    if not path.is_file():
        raise DatasetError(f"{path} is not there")
    return path


def load_outcomes(corpora: Path, limit: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the outcome tables, a random part if there are more than `limit`."""
    rows = list(read_rows(check_outcomes(corpora)))
    picked = np.sort(np.random.default_rng(seed).permutation(len(rows))[:limit])
    return [rows[i] for i in picked]


def learnt_need(rows: Sequence[dict[str, Any]], folds: int = 6, parts: int = 100) -> Floats:
    """What the stronger model gains, by boosted trees trained on outcomes, whole subjects held out.

    Args:
        rows: Outcome rows with `group` (the subject), `prompt`, `small_ok`, `frontier_ok`.
        folds: Groups of subjects.
        parts: Directions that the first stage's hashed features are brought down to (latent semantic analysis); its
            structure features stand beside them.

    Returns:
        (n,) scores.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.ensemble import HistGradientBoostingRegressor

    from classifier.features import feature_row
    from classifier.prompt import view_of
    from training.first_stage import hashed_matrix, structure_matrix
    from training.split import grouped

    features = [feature_row(view_of(str(r["prompt"]))) for r in rows]
    hashed = hashed_matrix(features)
    known = min(parts, len(rows) - 1)
    design = np.hstack((TruncatedSVD(known, random_state=0).fit_transform(hashed), structure_matrix(features)))
    gain = np.array([float(r["frontier_ok"]) - float(r["small_ok"]) for r in rows])
    fold = grouped([str(r["group"]) for r in rows], folds)
    out = np.zeros(len(rows))
    for k in np.unique(fold):
        model = HistGradientBoostingRegressor(
            max_iter=150, learning_rate=0.05, max_leaf_nodes=15, l2_regularization=10.0, random_state=0
        )
        model.fit(design[fold != k], gain[fold != k])
        out[fold == k] = model.predict(design[fold == k])
    return out


def outcome_curves(rows: Sequence[dict[str, Any]], needs: dict[str, Floats]) -> dict[str, dict[str, Curve]]:
    """Curves of several scores, per table.

    Args:
        rows: Outcome rows.
        needs: Scores by name, (n,) each.

    Returns:
        table -> score name -> curve.
    """
    tables = np.array([str(r["dataset"]) for r in rows])
    weak = np.array([float(r["small_ok"]) for r in rows])
    strong = np.array([float(r["frontier_ok"]) for r in rows])
    found: dict[str, dict[str, Curve]] = {}
    for name in np.unique(tables):
        part = tables == name
        found[str(name)] = {key: curve(need[part], weak[part], strong[part]) for key, need in needs.items()}
    return found
