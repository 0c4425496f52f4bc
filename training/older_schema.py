"""Labels whose features are of an older schema, through the scorer of their time.

Their columns mean nothing to the model of today, so they shape no weights. What the artifact of their time said of them
is still a calibrated word beside a label, and calibration and join are tuned by those. It comes from the first that
there is: the artifact that decided, by its weights (kept among the versions); what the stages said then, which the
record keeps; another artifact of that schema. Rows without any are counted as unusable.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import METADATA, WEIGHTS, sha256_of
from classifier.features import SCHEMA, FeatureRow
from classifier.scorer import Calibration, LinearScorer, Stack
from classifier.tiers import tier_index
from training.logged_labels import LoggedLabel
from training.offsets import Words, log_softmax

Floats = NDArray[np.float64]

SCORERS = "scorers"
"""Folder among the versions: first stages of champions that no promotion has copied there."""


@dataclass(frozen=True, slots=True)
class OldWord:
    """What the scorer of its time says of a row.

    Attributes:
        first: (3,) log-probabilities of the first stage.
        served: (3,) log-probabilities of both stages together, or None where the first speaks alone.
        through: Which scorer, for people.
    """

    first: Floats
    served: Floats | None
    through: str


@dataclass(frozen=True, slots=True)
class OldScorer:
    """An artifact of an older schema, by as much of it as scores a row of features.

    Attributes:
        id: As `Artifact.id`.
        schema: Version of its features.
        generation: Number of its ancestors.
    """

    id: str
    schema: int
    generation: int
    scorer: LinearScorer
    calibration: Calibration
    stack: Stack | None

    def word(self, label: LoggedLabel) -> OldWord | None:
        """Score a row of this schema; None where its features do not fit.

        Another artifact's second stage is another model: its log-odds are joined only where this one decided.
        """
        columns, structure = self.scorer.hashed_weights.shape[0], self.scorer.mean.size
        if label.structure.shape != (structure,) or label.indices.shape != label.values.shape:
            return None
        if label.indices.size and not 0 <= label.indices.min() <= label.indices.max() < columns:
            return None
        row = FeatureRow(label.structure, label.indices, label.values)
        first = self.calibration.probabilities(self.scorer.logits(row))
        if not np.isfinite(first).all():
            return None
        served = None
        if self.stack is not None and label.second_logodds is not None and label.artifact == self.id:
            served = self.stack.probabilities(first, np.array(label.second_logodds), self.scorer.scaled(row))
        return OldWord(_log(first), None if served is None else _log(served), f"through {self.id}")


@dataclass(frozen=True)
class OldScorers:
    """The scorers of older schemas that lie among the versions. Read when the first row asks.

    Attributes:
        folder: Folder of the versions, or None.
    """

    folder: Path | None

    @cached_property
    def all(self) -> tuple[OldScorer, ...]:
        """Those that can be used, by schema, the youngest of each last."""
        if self.folder is None:
            return ()
        files = [*self.folder.glob(f"*/{METADATA}"), *self.folder.glob(f"{SCORERS}/*/{METADATA}")]
        found = {one.id: one for file in sorted(files) if (one := read(file.parent)) is not None}
        return tuple(sorted(found.values(), key=lambda one: (one.schema, one.generation, one.id)))

    def word(self, label: LoggedLabel) -> OldWord | None:
        """What the scorer of its time says of a row; None where there is none, or the schema is not older."""
        if label.feature_schema >= SCHEMA or not label.weight > 0:
            return None
        fitting = [one for one in self.all if one.schema == label.feature_schema]
        for one in fitting:
            if one.id == label.artifact and (word := one.word(label)) is not None:
                return word
        if label.first_said is not None:
            both = None if label.both_said is None else _log(np.array(label.both_said))
            return OldWord(_log(np.array(label.first_said)), both, "as it was said then")
        return next((word for one in reversed(fitting) if (word := one.word(label)) is not None), None)


def read(folder: Path) -> OldScorer | None:
    """The scorer of an artifact of an older schema; None for any other folder, and for one that is damaged."""
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        schema, files = int(metadata["feature_schema"]), dict(metadata["files"])
        if schema >= SCHEMA or sha256_of(folder / WEIGHTS) != files[WEIGHTS]:
            return None
        digest = hashlib.sha256("".join(files[n] for n in sorted(files)).encode()).hexdigest()
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            return OldScorer(
                f"{metadata['name']}-{digest[:8]}", schema, len(metadata.get("lineage", {}).get("ancestors", [])),
                *_parts(arrays),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _parts(arrays: Any) -> tuple[LinearScorer, Calibration, Stack | None]:
    kept = {name: np.asarray(arrays[name], dtype=np.float64) for name in arrays.files if name != "hashed_weights"}
    hashed = np.asarray(arrays["hashed_weights"], dtype=np.float32)
    size = kept["mean"].size
    shapes = {"structure_weights": (size, 3), "bias": (3,), "scale": (size,), "slope": (3,), "offset": (3,)}
    if hashed.ndim != 2 or hashed.shape[1] != 3 or any(kept[name].shape != shape for name, shape in shapes.items()):
        raise ValueError("arrays do not fit each other")
    scorer = LinearScorer(kept["structure_weights"], hashed, kept["bias"], kept["mean"], kept["scale"])
    stack = None
    if "stack" in kept and kept["stack"].shape == (5,) and kept["stack_structure"].shape == (size, 3):
        join = kept["stack"]
        stack = Stack(float(join[0]), float(join[1]), join[2:], kept["stack_structure"])
    return scorer, Calibration(kept["slope"], kept["offset"]), stack


def keep(artifact: Path, versions: Path) -> None:
    """Keep the first stage of an artifact among the versions (two files), so that its rows outlive a new schema.

    Args:
        artifact: Its folder.
        versions: Folder of the versions; one that lies there already is not copied.
    """
    if artifact.resolve().parent == versions.resolve():
        return
    target = versions / SCORERS / sha256_of(artifact / METADATA)[:16]
    if target.is_dir():
        return
    waiting = target.with_name(f".{target.name}")
    shutil.rmtree(waiting, ignore_errors=True)
    waiting.mkdir(parents=True)
    for name in (METADATA, WEIGHTS):
        shutil.copyfile(artifact / name, waiting / name)
    waiting.replace(target)


@dataclass(frozen=True, slots=True)
class OlderRows:
    """Labels of older schemas, m rows.

    Attributes:
        first: (m, 3) log-probabilities of the first stage.
        served: (m, 3) of both stages together; NaN where the first spoke alone.
        labels: (m,) tier positions.
        weights: (m,).
        spread: (m,) numbers; rows of one conversation of one caller share theirs.
        beside: (m,) a row of today's labels of the same conversation, or -1.
    """

    first: Floats
    served: Floats
    labels: NDArray[np.intp]
    weights: Floats
    spread: NDArray[np.int64]
    beside: NDArray[np.intp]

    @classmethod
    def of(cls, rows: Sequence[tuple[LoggedLabel, OldWord]], today: Sequence[LoggedLabel]) -> OlderRows:
        """Rows as arrays.

        Args:
            rows: Labels with what their scorer says.
            today: The labels of today's schema, in the order of their arrays.
        """
        seats = {_conversation(one): number for number, one in enumerate(today)}
        n, nothing = len(rows), np.full(3, np.nan)
        return cls(
            np.array([word.first for _, word in rows]).reshape(n, 3),
            np.array([nothing if word.served is None else word.served for _, word in rows]).reshape(n, 3),
            np.array([tier_index(one.tier) for one, _ in rows], dtype=np.intp),
            np.array([one.weight for one, _ in rows], dtype=np.float64),
            np.array([_number(_conversation(one)) for one, _ in rows], dtype=np.int64),
            np.array([seats.get(_conversation(one), -1) for one, _ in rows], dtype=np.intp),
        )

    def take(self, rows: NDArray[np.intp]) -> OlderRows:
        """Some of the rows."""
        return OlderRows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def folds(self, today: NDArray[np.intp], number: int) -> NDArray[np.intp]:
        """(m,) folds: that of today's labels of the same conversation, else by the conversation.

        Args:
            today: (n,) folds of today's labels.
            number: How many folds there are.
        """
        own = (self.spread % number).astype(np.intp)
        return np.where(self.beside >= 0, today[self.beside], own) if today.size else own

    def words(self, share: float) -> Words:
        """As words of a join that takes this share of the first stage: together they say what was served."""
        return Words(self.first, self.served - share * log_softmax(self.first), share)

    def as_served(self) -> Floats:
        """(m, 3) probabilities that the scorer of their time gives them."""
        return np.exp(np.where(np.isfinite(self.served), self.served, self.first))


def _conversation(label: LoggedLabel) -> str:
    return f"{label.caller}/{label.conversation}"


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")


def _log(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, 1e-9)), dtype=np.float64)
