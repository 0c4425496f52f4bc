"""`autotier evaluate`: figures of an artifact, and of its recipe on sources that it had not seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import classifier
from classifier.features import feature_row
from classifier.policy import choose_index
from classifier.prompt import view_of
from classifier.record import LabelledRequest
from classifier.tiers import tier_index
from training import plots
from training.baselines import compare, length_only
from training.breakdown import breakdown, by_tier, lengths_of, scripts_of
from training.conversations import Turn, replay, turn_figures
from training.cost_curve import cost_figures
from training.dataset import TrainingData, load_frozen, load_training_data
from training.metrics import RESAMPLED, bootstrap, calibration, confusion, intervals, reached, summary
from training.outcomes import PUBLISHED, check_outcomes, learnt_need, load_outcomes, outcome_curves
from training.pooled import Pooled, pooled_predictions
from training.report import markdown
from training.stage_cost import stage_cost
from training.train import fold_keys
from training.wordlist import tfidf_predictions

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Matrix = Sequence[Sequence[float]]

OUTCOME_ROWS = 24_000
OUTCOME_ROWS_DEEP = 1_200
"""Outcome rows that are scored by the first stage and, slower, by both."""

CLOUD_SHARES = tuple(round(0.05 * i, 2) for i in range(1, 21))
"""Shares of all traffic that may go to reasoning, on the curve of what is reached."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes:
        figures: Figures by section, ready for JSON.
        markdown: The report as Markdown.
        path: Folder it was written to, None if it was not written.
    """

    figures: Mapping[str, Any]
    markdown: str
    path: Path | None


def run(
    *,
    artifact: Path | None = None,
    corpora: Path | None = None,
    data: Path | None = None,
    out: Path | None = None,
    stages: int | None = None,
    seed: int = 0,
    peers: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Evaluate an artifact.

    Args:
        artifact: Artifact folder; None: the champion that comes with the package.
        corpora: Folder of the corpora for the figures with sources held out; None: team-written frozen part only.
        data: Folder of the base data; None: the one that comes with the package.
        out: Folder for `report.md`, `report.json` and plots (matplotlib); None: nothing is written.
        stages: As in `classifier.load`.
        seed: Of bootstrap and baselines.
        peers: Ask litellm's complexity router too, in processes of its own (some ten seconds each).
        say: Called with one line per step.

    Returns:
        The report.

    Raises:
        ArtifactError: The artifact cannot be used.
        DatasetError: Data are missing.
    """
    known = load_training_data(corpora, data)  # what is missing is said before minutes of measuring
    if corpora is not None:
        check_outcomes(corpora)
    model = classifier.load(artifact, stages=stages)
    figures: dict[str, Any] = {"artifact": model.artifact.id, "stages": model.stages, "seed": seed}
    figures |= frozen_figures(model, load_frozen(data), load_training_data(None, data), seed, say)
    if corpora is not None:
        matrix = model.artifact.matrices["default"]
        real, own, begins = pooled_predictions(model.artifact.path, known, matrix, model.artifact.bound)
        say("predictions out of source pooled")
        figures |= real_figures(real, model, seed, peers=peers)
        say("baselines compared")
        figures["written"] = written_figures(own, begins, model, seed)
        figures["outcomes"] = outcome_figures(model, corpora, seed)
        say("outcome tables measured")
    text = markdown(figures)
    if out is not None:
        write(out, figures, text)
    return Report(figures, text, out)


def write(out: Path, figures: Mapping[str, Any], text: str) -> None:
    """Write `report.json`, `report.md` and, where matplotlib is installed, the plots."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    if "pooled" in figures and plots.installed():
        plots.draw(out, figures["pooled"])


def frozen_figures(
    model: classifier.Classifier,
    frozen: Sequence[LabelledRequest],
    known: TrainingData,
    seed: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The artifact on the team-written frozen part, beside TF-IDF with logistic regression on the same training part.

    Returns:
        `frozen`: figures by arm; `frozen_parts`: what `parts_figures` says of the artifact, by language and length.
    """
    true, clusters = positions(frozen), fold_keys(frozen)
    matrix = model.artifact.matrices["default"]
    requests = [r.request for r in frozen]
    arms = {"first stage": classifier.Classifier(model.artifact).predict_proba(requests)}
    if model.stages == 2:
        arms["both stages"] = model.predict_proba(requests)
    own = list(arms.values())[-1]
    say(f"frozen team-written part: {len(frozen)} rows")
    arms["TF-IDF, logistic regression"] = tfidf_predictions(known.base, frozen)
    splits = {"by_language": [r.lang or "unknown" for r in frozen], "by_length": lengths_of(frozen)}
    parts = parts_figures(own, true, np.ones(true.size), clusters, splits, matrix, seed)
    parts["intervals"] = arm_intervals(arms, true, np.ones(true.size), clusters, matrix, seed)
    return {"frozen": {k: summary(p, true, matrix) for k, p in arms.items()}, "frozen_parts": parts}


def parts_figures(
    p: Floats,
    true: Rows,
    weights: Floats,
    clusters: Sequence[str],
    splits: Mapping[str, Sequence[str]],
    matrix: Matrix,
    seed: int,
) -> dict[str, Any]:
    """Confusion of both decisions, calibration, and figures by tier and by every split of the rows.

    Args:
        p: (n, 3) probabilities.
        true: (n,) tier positions.
        weights: (n,) of confusion and calibration; within a part every row counts the same.
        clusters: What the intervals resample whole.
        splits: Part of each row, by the name of the split.
        matrix: The policy's cost matrix.
        seed: Of the resampling.
    """
    decisions = {"most probable tier": p.argmax(axis=1), "default policy": choose_index(p, matrix)}
    return {
        "confusion": {k: confusion(true, tiers, weights).round(1).tolist() for k, tiers in decisions.items()},
        "calibration": calibration(p, true, weights),
        "by_tier": by_tier(p, true, clusters, matrix, seed),
        **{name: breakdown(p, true, parts, clusters, matrix, seed) for name, parts in splits.items()},
    }


def arm_intervals(
    arms: Mapping[str, Floats], true: Rows, weights: Floats, clusters: Sequence[str], matrix: Matrix, seed: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Intervals of `training.metrics.RESAMPLED` by arm."""

    def figures(p: Floats, rows: Rows) -> dict[str, float]:
        every = summary(p[rows], true[rows], matrix, weights[rows])
        return {name: every[name] for name in RESAMPLED}

    return {name: intervals(partial(figures, p), clusters, seed=seed) for name, p in arms.items()}


def positions(rows: Sequence[LabelledRequest]) -> NDArray[np.intp]:
    """(n,) tier positions of labelled rows."""
    return np.array([tier_index(r.tier) for r in rows], dtype=np.intp)


def arms_of(pooled: Pooled) -> dict[str, Floats]:
    """Probabilities by what was asked; what is served comes last."""
    arms = {"first stage": pooled.first}
    if pooled.both is not None and pooled.second is not None and pooled.alone is not None:
        arms |= {
            "second stage alone": pooled.alone,
            "both joined, second asked always": pooled.second,
            "as served": pooled.both,
        }
    return arms


def real_figures(pooled: Pooled, model: classifier.Classifier, seed: int, *, peers: bool) -> dict[str, Any]:
    """Figures on real prompts with sources held out: `pooled`, and `baselines` on the same rows."""
    matrix = model.artifact.matrices["default"]
    features = [feature_row(view_of(r.request)) for r in pooled.rows]
    length = length_only(pooled)
    compared = compare(pooled, features, length, matrix, seed, peers=peers)
    found = pooled_figures(pooled, length, scripts_of(features), model, seed)
    return {"pooled": found, "baselines": {k: asdict(v) for k, v in compared.items()}}


def pooled_figures(
    pooled: Pooled, length: Floats, scripts: Sequence[str], model: classifier.Classifier, seed: int
) -> dict[str, Any]:
    """Figures of the router on real prompts: pooled with intervals, its stages, curves, and parts."""
    matrix = model.artifact.matrices["default"]
    true, weights, clusters, best = pooled.true, pooled.weights, pooled.groups.tolist(), pooled.best
    arms = arms_of(pooled)
    own = list(arms)[-1]
    shown = {name: p for name, p in arms.items() if name != "both joined, second asked always"} | {"length": length}
    longest = {"length": np.array([[0.0, 0.0, len(r.text)] for r in pooled.rows])}  # `reached` reads the last column
    splits = {"by_source": clusters, "by_length": lengths_of(pooled.rows), "by_script": list(scripts)}
    return {
        "arms": {k: summary(p, true, matrix, weights) for k, p in arms.items()},
        "intervals": arm_intervals(arms, true, weights, clusters, matrix, seed),
        "stages": stage_figures(pooled, model, seed),
        "by_matrix": {k: summary(best, true, m, weights) for k, m in model.artifact.matrices.items()},
        "reached": {k: {s: reached(p, true, s, weights) for s in CLOUD_SHARES} for k, p in (shown | longest).items()},
        "cost": cost_figures(shown, own, true, weights, matrix),
        "calibration_by_arm": {k: calibration(p, true, weights) for k, p in arms.items()},
        **parts_figures(best, true, weights, clusters, splits, matrix, seed),
    }


def stage_figures(pooled: Pooled, model: classifier.Classifier, seed: int) -> dict[str, Any]:
    """How often each stage is asked, what it costs here, and what the second buys over the first (paired)."""
    matrix = model.artifact.matrices["default"]
    asked = float((pooled.asked * pooled.weights).sum() / pooled.weights.sum())
    found: dict[str, Any] = {"asked": {"first stage": 1.0, "second stage": asked}}
    found["cpu"] = stage_cost(model, pooled.rows, seed)
    if pooled.both is None:
        return found

    def bought(rows: Rows) -> dict[str, float]:
        true, weights = pooled.true[rows], pooled.weights[rows]
        first, best = (summary(p[rows], true, matrix, weights) for p in (pooled.first, pooled.best))
        return {name: best[name] - first[name] for name in RESAMPLED}

    ends = intervals(bought, pooled.groups.tolist(), seed=seed)
    gain = bought(np.arange(pooled.true.size))
    found["bought"] = {name: {"gain": gain[name], "low": low, "high": high} for name, (low, high) in ends.items()}
    return found


def written_figures(pooled: Pooled, begins: Pooled, model: classifier.Classifier, seed: int) -> dict[str, Any]:
    """Team-written rows with whole topics held out: pooled, per language beside English, conversations."""
    matrix = model.artifact.matrices["default"]
    hit = (pooled.best.argmax(axis=1) == pooled.true).astype(float)
    languages = np.array([r.lang for r in pooled.rows])
    english = np.flatnonzero(languages == "en")
    parts = breakdown(pooled.best, pooled.true, languages.tolist(), pooled.groups.tolist(), matrix, seed)
    for language in sorted(set(languages.tolist()) - {"en"}):
        rows = np.flatnonzero(languages == language)
        low, high = _gap_interval(pooled, hit, np.concatenate((rows, english)), rows.size, seed)
        parts[language] |= {"gap": float(hit[rows].mean() - hit[english].mean()), "low": low, "high": high}
    return {
        "arms": {k: summary(p, pooled.true, matrix) for k, p in arms_of(pooled).items()},
        "calibration": calibration(pooled.best, pooled.true),
        "languages": parts,
        "turns": conversation_figures(pooled, begins, matrix, seed),
    }


def _gap_interval(pooled: Pooled, hit: Floats, rows: Rows, first: int, seed: int) -> tuple[float, float]:
    """Interval of the accuracy of the first `first` rows minus that of the others, resampled by topic."""

    def gap(picked: Rows) -> float:
        own, other = picked[picked < first], picked[picked >= first]
        return float(hit[rows[own]].mean() - hit[rows[other]].mean()) if own.size and other.size else 0.0

    return bootstrap(gap, pooled.groups[rows].tolist(), seed=seed)


def conversation_figures(pooled: Pooled, begins: Pooled, matrix: Matrix, seed: int) -> dict[str, Any]:
    """Conversations replayed turn by turn, each kind of newest turn with intervals.

    A tool's result keeps the tier of its ask by construction, so follow-ups that a person worded stand by themselves.
    """
    vectors = {r.id: p for part in (pooled, begins) for r, p in zip(part.rows, part.best, strict=True)}
    turns = replay(pooled.rows, vectors, matrix, seed)
    spoken = [
        r.request[-1].get("role") == "user"
        for r in pooled.rows
        if r.turn in ("continues", "changes") and not isinstance(r.request, str)
    ]
    kinds = {kind: [t for t in turns if t.kind == kind] for kind in ("continues", "changes")}
    kinds["continues, worded"] = [
        t for t, is_worded in zip(turns, spoken, strict=True) if is_worded and t.kind == "continues"
    ]
    return {name: _turns_with_intervals(part, seed) for name, part in kinds.items() if part}


def _turns_with_intervals(turns: Sequence[Turn], seed: int) -> dict[str, Any]:
    kind = turns[0].kind

    def shares(rows: Rows) -> dict[str, float]:
        figures: dict[str, float] = turn_figures([turns[i] for i in rows])[kind]
        return {name: value for name, value in figures.items() if name != "rows"}

    ends = intervals(shares, [t.group for t in turns], seed=seed)
    return {**turn_figures(turns)[kind], "intervals": ends}


def outcome_figures(model: classifier.Classifier, corpora: Path, seed: int) -> dict[str, Any]:
    """APGR and CPT of 1 - P(lightweight), of a model trained on outcomes, and of length, per table."""
    rows = load_outcomes(corpora, OUTCOME_ROWS, seed)
    first = classifier.Classifier(model.artifact)
    needs = {
        "shipped, first stage": 1 - first.predict_proba([str(r["prompt"]) for r in rows])[:, 0],
        "trained on outcomes": learnt_need(rows),
        "length": np.array([float(len(str(r["prompt"]))) for r in rows]),
        "random": np.random.default_rng(seed).random(len(rows)),
    }
    curves = outcome_curves(rows, needs, seed)
    if model.stages == 2:
        few = rows[:: max(1, len(rows) // OUTCOME_ROWS_DEEP)]
        need = 1 - model.predict_proba([str(r["prompt"]) for r in few])[:, 0]
        for table, found in outcome_curves(few, {"shipped, both stages": need}, seed).items():
            curves[table] |= found
    return {
        "published": {benchmark: [asdict(row) for row in rows] for benchmark, rows in PUBLISHED.items()},
        "tables": curves,
    }
