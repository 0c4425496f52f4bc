"""`autotier evaluate`: figures of an artifact, and of its recipe on sources that it had not seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import classifier
from classifier.record import LabelledRequest
from classifier.tiers import tier_index
from training.calibrate import balanced_weights
from training.dataset import load_frozen
from training.metrics import summary

Floats = NDArray[np.float64]


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
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Evaluate an artifact.

    Args:
        artifact: Artifact folder; None: the champion that comes with the package.
        corpora: Folder of the corpora for the figures with sources held out; None: team-written frozen part only.
        data: Folder of the base data; None: the one that comes with the package.
        out: Folder for `report.md` and `report.json`; None: nothing is written.
        stages: As in `classifier.load`.
        seed: Of bootstrap and baselines.
        say: Called with one line per step.

    Returns:
        The report.

    Raises:
        ArtifactError: The artifact cannot be used.
        DatasetError: Data are missing.
    """
    model = classifier.load(artifact, stages=stages)
    frozen = load_frozen(data)
    say(f"frozen team-written part: {len(frozen)} rows")
    figures: dict[str, Any] = {"artifact": model.artifact.id, "frozen": score(model, frozen)}
    text = f"# Evaluation of {model.artifact.id}\n\n{table({'frozen, team-written': figures['frozen']})}\n"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (out / "report.md").write_text(text, encoding="utf-8")
    return Report(figures, text, out)


def score(model: classifier.Classifier, rows: Sequence[LabelledRequest]) -> dict[str, float]:
    """Figures of a classifier on labelled rows, each source weighted the same."""
    true = np.array([tier_index(r.tier) for r in rows], dtype=np.intp)
    weights = balanced_weights(np.array([r.source for r in rows]))
    return summary(model.predict_proba([r.request for r in rows]), true, model.artifact.matrices["default"], weights)


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table: a row per set, a column per figure."""
    names = list(next(iter(columns.values())))
    lines = ["| set | " + " | ".join(n.replace("_", " ") for n in names) + " |", "| --- " * (len(names) + 1) + "|"]
    for key, figures in columns.items():
        cells = " | ".join(f"{figures[n]:.0f}" if n == "rows" else f"{figures[n]:.3f}" for n in names)
        lines.append(f"| {key} | {cells} |")
    return "\n".join(lines)
