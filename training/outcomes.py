"""Outcome tables: does P(lightweight) know where a small model suffices? APGR and CPT as RouteLLM defines them.

Ong et al. 2024, "RouteLLM: Learning to Route LLMs with Preference Data", section 4: PGR is the share of the
quality gap between a
weak and a strong model that a router recovers; APGR is its mean over the share of strong calls; CPT(x) is the
least share of strong
calls that recovers x of the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.record import read_rows
from training.dataset import DatasetError
from training.metrics import bootstrap

Floats = NDArray[np.float64]
OUTCOMES_FILE = "outcomes.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Published:
    """A row of tables 1 to 3 of RouteLLM's paper (arXiv 2406.18665, version 4): GPT-4 beside Mixtral-8x7B.

    Attributes:
        router: Which of their routers, or "random".
        trained_on: Its training data, "" for random.
        apgr: Average performance gap recovered.
        cpt_50: and
        cpt_80: Share of strong calls that recovers half, four fifths of the gap.
    """

    router: str
    trained_on: str
    apgr: float
    cpt_50: float
    cpt_80: float


_GOLD, _JUDGE = "arena and MMLU's validation part", "arena and GPT-4's judgements"

PUBLISHED = {
    "MT-Bench": (
        Published("matrix factorisation", _JUDGE, 0.802, 0.1340, 0.3131),
        Published("random", "", 0.500, 0.4903, 0.7808),
    ),
    "MMLU": (
        Published("similarity-weighted ranking", _GOLD, 0.603, 0.3540, 0.7155),
        Published("causal language model", _GOLD, 0.600, 0.3549, 0.7031),
        Published("matrix factorisation", _GOLD, 0.597, 0.3546, 0.7140),
        Published("matrix factorisation", "arena", 0.524, 0.4500, 0.7686),
        Published("random", "", 0.500, 0.5007, 0.7993),
    ),
    "GSM8K": (
        Published("causal language model", _JUDGE, 0.622, 0.3364, 0.6326),
        Published("random", "", 0.497, 0.5000, 0.8008),
    ),
}
"""RouteLLM's best by benchmark, and its random router; on MMLU, which our tables hold too, four of its own."""


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


def outcome_curves(
    rows: Sequence[dict[str, Any]], needs: dict[str, Floats], seed: int = 0
) -> dict[str, dict[str, dict[str, float]]]:
    """Curves of several scores, per table.

    Args:
        rows: Outcome rows.
        needs: Scores by name, (n,) each.
        seed: Of the resampling.

    Returns:
        table -> score name -> figures of `Curve`, `low` and `high` of the APGR (95 %, whole subjects resampled).
    """
    tables = np.array([str(r["dataset"]) for r in rows])
    subjects = np.array([str(r["group"]) for r in rows])
    weak = np.array([float(r["small_ok"]) for r in rows])
    strong = np.array([float(r["frontier_ok"]) for r in rows])
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in np.unique(tables):
        part = tables == name
        outcome, clusters = (weak[part], strong[part]), subjects[part].tolist()
        found[str(name)] = {key: _bounded(need[part], *outcome, clusters, seed) for key, need in needs.items()}
    return found


def _bounded(need: Floats, weak: Floats, strong: Floats, subjects: Sequence[str], seed: int) -> dict[str, float]:
    low, high = bootstrap(lambda r: curve(need[r], weak[r], strong[r]).apgr, subjects, seed=seed)
    return {**asdict(curve(need, weak, strong)), "low": low, "high": high}
