"""`autotier train`: rows in, artifact folder out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import CARD, write_artifact
from classifier.record import LabelledRequest
from classifier.scorer import Calibration, LinearScorer
from training.calibrate import balanced_weights, fit_calibration
from training.costs import matrices
from training.dataset import TrainingData, load_examples, load_training_data
from training.first_stage import Encoded, FirstConfig, encode, fit_first, logits_of
from training.follow_up import fit_gate
from training.leak import check
from training.split import grouped

Floats = NDArray[np.float64]
CALIBRATION_FOLDS = 5


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training run made.

    Attributes:
        path: The artifact folder.
        shipped_recipe: Whether data and settings are those of the shipped artifact (False without corpora).
        rows: Rows that shaped the weights.
        nearest_example: Highest similarity of a training row to an example.
        notes: Sentences for the user.
    """

    path: Path
    shipped_recipe: bool
    rows: int
    nearest_example: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FirstStage:
    """A fitted and calibrated first stage with its out-of-source log-odds on the training rows, (n, 3)."""

    scorer: LinearScorer
    calibration: Calibration
    out_of_source: Floats


def run(
    *,
    out: Path,
    corpora: Path | None = None,
    data: Path | None = None,
    seed: int = 0,
    from_scratch: bool = False,
    name: str = "champion",
    config: FirstConfig | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> TrainResult:
    """Train and write an artifact.

    Args:
        out: Folder to write.
        corpora: Folder with `labelled.jsonl.gz`; None: team-written base data only.
        data: Folder of the base data; None: the one that comes with the package.
        seed: Of everything random.
        from_scratch: Fit without the shipped champion as prior. The learning loop's warm start is not part of
            this version, so
            every run is from scratch; the flag is recorded.
        name: Name of the artifact.
        config: Settings of the first stage.
        say: Called with one line per step.

    Returns:
        What was made.

    Raises:
        DatasetError: Data are missing or malformed.
        LeakError: A training row is a near neighbour of one of the design's examples.
    """
    settings = config or FirstConfig()
    rows = load_training_data(corpora, data)
    say(
        f"{len(rows.base)} team-written rows, {len(rows.real)} real rows that may train, "
        f"{len(rows.measuring)} only measured with"
    )
    found = check(rows.trainable, load_examples(data))
    say(f"leak check: nearest example has similarity {found.similarity:.2f}")
    gate = fit_gate(rows.base, seed)
    first = train_first(rows.trainable, gate, settings, seed)
    arrays = arrays_of(first, gate)
    metadata = describe(rows, settings, seed, found.similarity, from_scratch)
    out.mkdir(parents=True, exist_ok=True)
    (out / CARD).write_text(card_text(name, metadata), encoding="utf-8")
    write_artifact(out, name, arrays, metadata)
    notes = () if corpora else ("trained without --corpora: this is not the shipped artifact",)
    return TrainResult(out, corpora is not None, len(rows.trainable), found.similarity, notes)


def fold_keys(rows: Sequence[LabelledRequest]) -> list[str]:
    """What is held out together: the source of a real row; the near group or topic of a team-written one."""
    return [r.source if r.source != "written" else f"written/{r.near or r.group or r.id}" for r in rows]


def train_first(rows: Sequence[LabelledRequest], gate: Floats, config: FirstConfig, seed: int) -> FirstStage:
    """Fit the first stage and calibrate it on predictions out of source.

    Args:
        rows: Training rows.
        gate: Weights of the continuation gate.
        config: Settings.
        seed: Of the solver.

    Returns:
        The stage.
    """
    encoded = encode(rows, gate)
    out = out_of_source_logits(encoded, fold_keys(rows), config, seed)
    calibration = fit_calibration(out, encoded.soft, calibration_weights(encoded))
    return FirstStage(fit_first(encoded, config, seed=seed), calibration, out)


def out_of_source_logits(
    encoded: Encoded, keys: Sequence[str], config: FirstConfig, seed: int, folds: int = CALIBRATION_FOLDS
) -> Floats:
    """(n, 3) log-odds of each row by a model that saw neither its source nor, if team-written, its topic."""
    fold = grouped(keys, folds)
    out = np.zeros((len(keys), 3))
    for k in range(folds):
        scorer = fit_first(encoded.take(np.flatnonzero(fold != k)), config, seed=seed)
        test = np.flatnonzero(fold == k)
        out[test] = logits_of(scorer, encoded.take(test))
    return out


def calibration_weights(encoded: Encoded) -> Floats:
    """Real sources weigh the same each; all team-written rows together weigh as half of the real ones."""
    weights = balanced_weights(encoded.sources) * encoded.weights
    written = encoded.sources == "written"
    if written.any() and (~written).any():
        weights[written] *= 0.5 * weights[~written].sum() / weights[written].sum()
    return weights


def arrays_of(first: FirstStage, gate: Floats) -> dict[str, NDArray[Any]]:
    """Arrays of `weights.npz`."""
    s = first.scorer
    return {
        "structure_weights": s.structure_weights,
        "hashed_weights": s.hashed_weights.astype(np.float16),
        "bias": s.bias,
        "mean": s.mean,
        "scale": s.scale,
        "slope": first.calibration.slope,
        "offset": first.calibration.offset,
        "follow_up": gate,
    }


def describe(
    rows: TrainingData, config: FirstConfig, seed: int, similarity: float, from_scratch: bool
) -> dict[str, Any]:
    """Metadata of a run."""
    import scipy
    import sklearn

    return {
        "matrices": {k: [list(r) for r in m] for k, m in matrices().items()},
        "matrices_from": "configs/two-macs.yaml, formula in training/costs.py",
        "stages": 1,
        "trained_on": {
            "team_written": len(rows.base),
            "real": len(rows.real),
            "sources": sorted({r.source for r in rows.real}),
        },
        "data_sha256": dict(sorted(rows.hashes.items())),
        "settings": asdict(config),
        "seed": seed,
        "from_scratch": from_scratch,
        "nearest_example_jaccard": round(similarity, 4),
        "libraries": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def card_text(name: str, metadata: Mapping[str, Any]) -> str:
    """The model card of an artifact."""
    trained = metadata["trained_on"]
    sources = trained["sources"]
    lines = (
        f"# Model card: {name}",
        "",
        "Tier classifier of autotier: probabilities of `lightweight`, `coding`, `reasoning`.",
        "",
        f"- Trained on {trained['team_written']} requests written by a language model for this project",
        f"  (data/README.md) and {trained['real']} real prompts of {len(sources)} public sources with permissive",
        "  licences; the labels are a language model's readings.",
        f"- Sources: {', '.join(sources) or 'none'}.",
        "- Nearest example of the design in the training data (Jaccard of character 5-grams): "
        f"{metadata['nearest_example_jaccard']}.",
        "- Weak where words do not show the difficulty; see training/LOG.md and `autotier evaluate`.",
    )
    return "\n".join(lines) + "\n"
