"""`autotier train`: rows in, artifact folder out."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import CARD, shipped_path, write_artifact
from classifier.deep import DEEP_FILES
from classifier.prompt import view_of
from classifier.record import TEAM_WRITTEN, LabelledRequest
from classifier.scorer import Calibration, LinearScorer, Stack
from training.calibrate import calibration_weights, fit_calibration
from training.card import card_text
from training.costs import matrices
from training.dataset import TrainingData, load_examples, load_training_data
from training.deep_base import TOP_FILE, Base, read_base
from training.deep_train import DeepConfig, export, fit_deep, out_of_source_deep, prepare
from training.feature_digest import KEY as FEATURES
from training.feature_digest import digest
from training.first_stage import Encoded, FirstConfig, encode, fit_first, logits_of, scaled_of, source_weights
from training.follow_up import fit_gate
from training.leak import check
from training.public_sets import PublicSet, is_public, with_public
from training.reference import KEY as REFERENCE
from training.reference import reference_of_requests
from training.scores import SCORES_FILE
from training.split import grouped
from training.stack import fit_stack

Floats = NDArray[np.float64]
OUT_OF_SOURCE = "out_of_source.npz"
"""Log-odds of every row by models that had not seen its source: what `autotier evaluate` pools."""

SECOND_STAGE_BOUND = 0.003
"""Expected cost, as a share of the matrix's greatest, above which the second stage is asked (training/LOG.md)."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training run made.

    Attributes:
        path: The artifact folder.
        shipped_recipe: Whether data and settings are those of the shipped artifact (False without corpora).
        rows: Rows that shaped the weights.
        nearest_example: Highest similarity of a training row to an example.
        stages: Stages of the artifact.
        notes: Sentences for the user.
    """

    path: Path
    shipped_recipe: bool
    rows: int
    nearest_example: float
    stages: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FirstStage:
    """A fitted and calibrated first stage with its out-of-source log-odds, (n, 3)."""

    scorer: LinearScorer
    calibration: Calibration
    out_of_source: Floats

    def served(self, rows: NDArray[Any]) -> Floats:
        """(r, 3) calibrated probabilities of rows, out of source; `rows` are places or a mask."""
        return self.calibration.probabilities(self.out_of_source[rows])


def run(
    *,
    out: Path,
    corpora: Path | None = None,
    data: Path | None = None,
    seed: int = 0,
    from_scratch: bool = False,
    deep: bool | None = None,
    name: str = "champion",
    config: FirstConfig | None = None,
    deep_config: DeepConfig | None = None,
    base: Base | None = None,
    public: Sequence[PublicSet] = (),
    say: Say = lambda _: None,
) -> TrainResult:
    """Train and write an artifact.

    Args:
        out: Folder to write.
        corpora: Folder with `labelled.jsonl.gz`; None: team-written base data only.
        data: Folder of the base data; None: the one that comes with the package.
        seed: Of everything random.
        from_scratch: Recorded; `training.retrain` is the way that starts from a champion.
        deep: Train the second stage too; None: if torch and onnx are installed.
        name: Name of the artifact.
        config: Settings of the first stage.
        deep_config: Settings of the second.
        base: Encoder that the second stage starts from; None: the one that ships.
        public: Sets that train too.
        say: Called with one line per step.

    Returns:
        What was made.

    Raises:
        DatasetError: Data are missing or malformed.
        LeakError: A training row is a near neighbour of one of the design's examples.
    """
    settings, seconds = config or FirstConfig(), deep_config or DeepConfig()
    rows, similarity = checked_rows(corpora, data, say, public)
    every = rows.every
    trainable = np.arange(len(every)) < len(rows.trainable)
    gate = fit_gate(rows.base, seed)
    encoded = encode(every, gate)
    first = train_first(encoded, fold_keys(every), trainable, settings, seed)
    say("first stage fitted and calibrated out of source")
    arrays = arrays_of(first, gate)
    second = None
    out.mkdir(parents=True, exist_ok=True)
    wanted = _second_stage_possible() if deep is None else deep
    if wanted:
        task = SecondTask(every, encoded, trainable, first, settings, seconds, seed)
        second, stack = train_second(task, base or read_base(shipped_path()), out, say)
        arrays |= stack_arrays(stack)
    write_out_of_source(out / OUT_OF_SOURCE, every, first.out_of_source, second)
    metadata = describe(rows, settings, seconds if wanted else None, seed, similarity, from_scratch)
    metadata |= {REFERENCE: reference_of_requests(rows.trainable, gate, first.served(trainable))}
    (out / CARD).write_text(card_text(name, metadata), encoding="utf-8")
    write_artifact(out, name, arrays, metadata, extra=(*DEEP_FILES, OUT_OF_SOURCE) if wanted else (OUT_OF_SOURCE,))
    notes = notes_of(corpora, wanted, rows.scored, public)
    return TrainResult(out, not notes, len(rows.trainable), similarity, 1 + int(wanted), notes)


def checked_rows(
    corpora: Path | None, data: Path | None, say: Say, public: Sequence[PublicSet] = ()
) -> tuple[TrainingData, float]:
    """Rows of a run, searched for near neighbours of the examples: (rows, highest similarity)."""
    rows = with_public(load_training_data(corpora, data), public)
    say(
        f"{len(rows.base)} team-written rows, {len(rows.real)} real rows that may train, "
        f"{len(rows.measuring)} only measured with; {rows.scored} of those that train have a score"
    )
    found = check(rows.trainable, load_examples(data))
    say(f"leak check: nearest example has similarity {found.similarity:.2f}")
    return rows, found.similarity


def notes_of(corpora: Path | None, deep: bool, scored: int, public: Sequence[PublicSet] = ()) -> tuple[str, ...]:
    """What a user must know about a run that is not the shipped recipe."""
    notes = []
    if corpora is None:
        notes.append("trained without --corpora: this is not the shipped artifact")
    if public:
        notes.append("trained with --public: this is not the shipped artifact")
    if not deep:
        notes.append("trained without a second stage (it needs torch and onnx): this is not the shipped artifact")
    if not scored:
        notes.append(f"trained without scores ({SCORES_FILE} is not in the data): this is not the shipped artifact")
    return tuple(notes)


def _second_stage_possible() -> bool:
    return TOP_FILE.is_file() and all(importlib.util.find_spec(name) for name in ("torch", "onnx", "tokenizers"))


def fold_keys(rows: Sequence[LabelledRequest]) -> list[str]:
    """What is held out together: the source of a real row; the block (near group and topic) of a team-written one."""
    return [
        f"{r.source}/{r.block or r.near or r.group or r.id}" if r.source in TEAM_WRITTEN else r.source for r in rows
    ]


def train_first(
    encoded: Encoded, keys: Sequence[str], trainable: NDArray[np.bool_], config: FirstConfig, seed: int
) -> FirstStage:
    """Fit the first stage and calibrate it on predictions out of source.

    Args:
        encoded: All rows.
        keys: What is held out together.
        trainable: (n,) rows that may train; the others are only predicted.
        config: Settings.
        seed: Of the solver.

    Returns:
        The stage.
    """
    fold = grouped(keys, config.folds)
    out = np.zeros((len(keys), 3))
    for k in range(config.folds):
        scorer = fit_first(encoded.take(np.flatnonzero((fold != k) & trainable)), config, seed=seed)
        test = np.flatnonzero(fold == k)
        out[test] = logits_of(scorer, encoded.take(test))
    rows = np.flatnonzero(trainable)
    calibration = fit_calibration(out[rows], encoded.soft[rows], _calibrating(encoded.take(rows)))
    return FirstStage(fit_first(encoded.take(rows), config, seed=seed), calibration, out)


@dataclass(frozen=True, slots=True)
class SecondTask:
    """What the second stage is trained with: all rows, which of them may train, the first stage, settings, seed."""

    every: Sequence[LabelledRequest]
    encoded: Encoded
    trainable: NDArray[np.bool_]
    first: FirstStage
    config: FirstConfig
    deep_config: DeepConfig
    seed: int


def train_second(task: SecondTask, encoder: Base, out: Path, say: Say) -> tuple[Floats, Stack]:
    """Fine-tune, export and join the second stage.

    Args:
        task: Rows and settings.
        encoder: What it starts from.
        out: Artifact folder.
        say: Called with one line per step.

    Returns:
        ((n, 3) out-of-source log-odds of the second stage, the join of both stages).
    """
    rows = np.flatnonzero(task.trainable)
    known = task.encoded.take(rows)
    weights = np.zeros(len(task.every))
    weights[rows] = source_weights(known, task.config)
    views = [view_of(r.request) for r in task.every]
    data = prepare(encoder, views, task.encoded.taught, weights, task.deep_config)
    say("lower layers remembered")
    keys = fold_keys(task.every)
    second = out_of_source_deep(encoder, data, keys, task.trainable, task.deep_config, task.seed, say)
    export(encoder, fit_deep(encoder, data, rows, task.deep_config, task.seed), out)
    say("second stage fitted on all rows")
    scaled = scaled_of(task.first.scorer, known)
    return second, fit_stack(task.first.served(rows), second[rows], scaled, known.soft, _calibrating(known))


def _calibrating(encoded: Encoded) -> Floats:
    return calibration_weights(encoded.sources, encoded.weights, encoded.soft)


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
        "follow_up": gate.astype(np.float16),
    }


def stack_arrays(stack: Stack) -> dict[str, NDArray[Any]]:
    """Arrays of the join in `weights.npz`."""
    return {
        "stack": np.array([stack.first, stack.second, *stack.offset]),
        "stack_structure": np.asarray(stack.structure),
    }


def row_key(row: LabelledRequest) -> str:
    """Name of a row in `OUT_OF_SOURCE`: a hash, because ids of other people's sets are not ours to publish."""
    return hashlib.sha256(f"{row.source}/{row.id}".encode()).hexdigest()[:16]


def write_out_of_source(path: Path, rows: Sequence[LabelledRequest], first: Floats, second: Floats | None) -> None:
    """Keep the out-of-source log-odds of both stages beside the model."""
    arrays = {"keys": np.array([row_key(r) for r in rows]), "first": first.astype(np.float32)}
    if second is not None:
        arrays["second"] = second.astype(np.float32)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy types the keyword allow_pickle only


def describe(
    rows: TrainingData,
    config: FirstConfig,
    deep_config: DeepConfig | None,
    seed: int,
    similarity: float,
    from_scratch: bool,
) -> dict[str, Any]:
    """Metadata of a run."""
    deep = deep_config is not None
    packages = ("numpy", "scipy", "sklearn", *(("torch", "onnx", "tokenizers") if deep else ()))
    real = [r for r in rows.real if not is_public(r)]
    versions = {p: str(importlib.import_module(p).__version__) for p in packages}
    return {
        "matrices": {k: [list(r) for r in m] for k, m in matrices().items()},
        "matrices_from": "configs/two-macs.yaml, formula in classifier/costs.py",
        "stages": 2 if deep else 1,
        "second_stage_bound": SECOND_STAGE_BOUND,
        "trained_on": {
            "team_written": len(rows.base),
            "real": len(real),
            "scored": rows.scored,
            "sources": sorted({r.source for r in real}),
            "public": dict(sorted(Counter(r.source for r in rows.real if is_public(r)).items())),
        },
        FEATURES: digest(),
        "data_sha256": dict(sorted(rows.hashes.items())),
        "settings": asdict(config),
        "second_stage_settings": asdict(deep_config) if deep_config is not None else None,
        "seed": seed,
        "from_scratch": from_scratch,
        "nearest_example_jaccard": round(similarity, 4),
        "libraries": {"python": platform.python_version(), **versions},
    }
