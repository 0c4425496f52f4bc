"""`autotier evaluate`: figures of an artifact, and of its recipe on sources that it had not seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import classifier
from classifier.record import LabelledRequest
from classifier.tiers import TIERS, tier_index
from training import plots
from training.baselines import compare
from training.conversations import replay, turn_figures
from training.dataset import TrainingData, load_frozen, load_training_data
from training.metrics import bootstrap, confusion, equal_mass, reached, summary
from training.outcomes import PUBLISHED, check_outcomes, learnt_need, load_outcomes, outcome_curves
from training.pooled import Pooled, pooled_predictions
from training.report import markdown
from training.wordlist import tfidf_predictions

Floats = NDArray[np.float64]
LENGTHS = (50, 200, 1_000, 4_000)
"""Bounds, in characters, of the length buckets."""

OUTCOME_ROWS = 24_000
OUTCOME_ROWS_DEEP = 1_200
"""Outcome rows that are scored by the first stage and, slower, by both."""

INTERVALS = ("accuracy", "macro_f1", "policy_reasoning_to_lightweight", "policy_lightweight_kept", "reached_20", "ece")


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
    frozen = load_frozen(data)
    figures: dict[str, Any] = {"artifact": model.artifact.id, "stages": model.stages, "seed": seed}
    figures["frozen"] = frozen_figures(model, frozen, load_training_data(None, data), say)
    pooled: tuple[Pooled, Pooled, Pooled] | None = None
    if corpora is not None:
        matrix = model.artifact.matrices["default"]
        pooled = pooled_predictions(model.artifact.path, known, matrix, model.artifact.bound)
        say("predictions out of source pooled")
        figures["pooled"] = pooled_figures(pooled[0], model, seed)
        figures["baselines"] = {k: asdict(v) for k, v in compare(pooled[0], matrix, seed, peers=peers).items()}
        say("baselines compared")
        figures["written"] = written_figures(pooled[1], pooled[2], model, seed)
        figures["outcomes"] = outcome_figures(model, corpora, seed)
        say("outcome tables measured")
    text = markdown(figures)
    if out is not None:
        write(out, figures, text, pooled, model)
    return Report(figures, text, out)


def write(
    out: Path,
    figures: Mapping[str, Any],
    text: str,
    pooled: tuple[Pooled, Pooled, Pooled] | None,
    model: classifier.Classifier,
) -> None:
    """Write `report.json`, `report.md` and, where matplotlib is installed, the plots."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    if pooled is not None and plots.installed():
        plots.draw(out, pooled[0], model.artifact.matrices)


def frozen_figures(
    model: classifier.Classifier, frozen: Sequence[LabelledRequest], known: TrainingData, say: Callable[[str], None]
) -> dict[str, Any]:
    """The artifact on the team-written frozen part, beside TF-IDF with logistic regression on the same
    training part."""
    true = positions(frozen)
    matrix = model.artifact.matrices["default"]
    found: dict[str, Any] = {}
    first = classifier.Classifier(model.artifact)
    found["first stage"] = summary(first.predict_proba([r.request for r in frozen]), true, matrix)
    if model.stages == 2:
        found["both stages"] = summary(model.predict_proba([r.request for r in frozen]), true, matrix)
    say(f"frozen team-written part: {len(frozen)} rows")
    found["TF-IDF, logistic regression"] = summary(tfidf_predictions(known.base, frozen), true, matrix)
    return found


def positions(rows: Sequence[LabelledRequest]) -> NDArray[np.intp]:
    """(n,) tier positions of labelled rows."""
    return np.array([tier_index(r.tier) for r in rows], dtype=np.intp)


def arms_of(pooled: Pooled) -> dict[str, Floats]:
    """Probabilities by what was asked."""
    arms = {"first stage": pooled.first}
    if pooled.both is not None and pooled.second is not None:
        arms |= {"second stage asked always": pooled.second, "as served": pooled.both}
    return arms


def pooled_figures(pooled: Pooled, model: classifier.Classifier, seed: int) -> dict[str, Any]:
    """Figures on real prompts with sources held out: pooled with intervals, per source, tier, length."""
    matrix = model.artifact.matrices["default"]
    clusters = pooled.groups.tolist()
    arms = {k: summary(p, pooled.true, matrix, pooled.weights) for k, p in arms_of(pooled).items()}
    best = pooled.best

    def figure(name: str) -> Callable[[NDArray[np.intp]], float]:
        return lambda rows: summary(best[rows], pooled.true[rows], matrix, pooled.weights[rows])[name]

    shares = [round(s, 2) for s in np.linspace(0.05, 0.5, 10).tolist()]
    return {
        "arms": arms,
        "intervals": {name: bootstrap(figure(name), clusters, times=100, seed=seed) for name in INTERVALS},
        "second_stage_asked": float((pooled.asked * pooled.weights).sum() / pooled.weights.sum()),
        "by_matrix": {k: summary(best, pooled.true, m, pooled.weights) for k, m in model.artifact.matrices.items()},
        "confusion": confusion(pooled.true, best.argmax(axis=1), pooled.weights).round(1).tolist(),
        "reached": {s: reached(best, pooled.true, s, pooled.weights) for s in shares},
        "reliability": reliability(best, pooled.true, pooled.weights),
        "by_source": {s: part(pooled, pooled.groups == s, matrix) for s in sorted(set(clusters))},
        "by_tier": {t.value: part(pooled, pooled.true == i, matrix) for i, t in enumerate(TIERS)},
        "by_length": by_length(pooled, matrix),
    }


def part(pooled: Pooled, chosen: NDArray[np.bool_], matrix: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Figures of some rows, with their confusion."""
    rows = np.flatnonzero(chosen)
    found: dict[str, Any] = dict(summary(pooled.best[rows], pooled.true[rows], matrix))
    found["confusion"] = confusion(pooled.true[rows], pooled.best[rows].argmax(axis=1)).astype(int).tolist()
    return found


def by_length(pooled: Pooled, matrix: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Figures by length of the request's user text."""
    bucket = np.searchsorted(LENGTHS, [len(r.text) for r in pooled.rows])
    names = [f"up to {n}" for n in LENGTHS] + [f"above {LENGTHS[-1]}"]
    return {name: part(pooled, bucket == i, matrix) for i, name in enumerate(names) if (bucket == i).any()}


def reliability(probabilities: Floats, true: NDArray[np.intp], weights: Floats) -> list[dict[str, float]]:
    """Ten bins of equal mass of the top label: mean confidence, share right."""
    confidence, hit = probabilities.max(axis=1), (probabilities.argmax(axis=1) == true).astype(float)
    found = []
    for rows in equal_mass(confidence, 10, weights):
        means = [float(np.average(v[rows], weights=weights[rows])) for v in (confidence, hit)]
        found.append({"confidence": means[0], "right": means[1]})
    return found


def written_figures(pooled: Pooled, begins: Pooled, model: classifier.Classifier, seed: int) -> dict[str, Any]:
    """Team-written rows with whole topics held out: pooled, per language beside English, conversations."""
    matrix = model.artifact.matrices["default"]
    hit = (pooled.best.argmax(axis=1) == pooled.true).astype(float)
    languages = np.array([r.lang for r in pooled.rows])
    english = np.flatnonzero(languages == "en")
    found: dict[str, Any] = {
        "arms": {k: summary(p, pooled.true, matrix) for k, p in arms_of(pooled).items()},
        "languages": {},
    }
    for language in sorted(set(languages.tolist()) - {"en"}):
        rows = np.flatnonzero(languages == language)
        low, high = _gap_interval(pooled, hit, np.concatenate((rows, english)), rows.size, seed)
        found["languages"][language] = {
            "rows": int(rows.size),
            "accuracy": float(hit[rows].mean()),
            "gap": float(hit[rows].mean() - hit[english].mean()),
            "low": low,
            "high": high,
        }
    found["english_accuracy"] = float(hit[english].mean())
    vectors = {r.id: p for part in (pooled, begins) for r, p in zip(part.rows, part.best, strict=True)}
    found["turns"] = turn_figures(replay(pooled.rows, vectors, matrix, seed))
    return found


def _gap_interval(pooled: Pooled, hit: Floats, rows: NDArray[np.intp], first: int, seed: int) -> tuple[float, float]:
    """Interval of the accuracy of the first `first` rows minus that of the others, resampled by topic."""

    def gap(picked: NDArray[np.intp]) -> float:
        own, other = picked[picked < first], picked[picked >= first]
        return float(hit[rows[own]].mean() - hit[rows[other]].mean()) if own.size and other.size else 0.0

    return bootstrap(gap, pooled.groups[rows].tolist(), times=100, seed=seed)


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
    curves = outcome_curves(rows, needs)
    if model.stages == 2:
        few = rows[:: max(1, len(rows) // OUTCOME_ROWS_DEEP)]
        need = 1 - model.predict_proba([str(r["prompt"]) for r in few])[:, 0]
        for table, found in outcome_curves(few, {"shipped, both stages": need}).items():
            curves[table] |= found
    return {
        "published_apgr": PUBLISHED,
        "tables": {t: {k: asdict(c) for k, c in found.items()} for t, found in curves.items()},
    }
