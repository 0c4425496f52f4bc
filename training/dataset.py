"""Where training rows come from: the team-written base data and local corpora.

Rows that may only be measured with (`licence_class` other than `permissive`) are kept apart from the rows
whose weights ship.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.record import LabelledRequest, read_requests, read_rows, record_from
from training.conversations import beginnings
from training.public_labels import LABELS_FILE, PublicLabelError, public_prompts
from training.scores import SCORES_FILE, read_scores, scored

BASE_FILES = {
    "requests.jsonl.gz": "written",
    "supplement.jsonl.gz": "written",
    "natural.jsonl.gz": "natural",
    "forms.jsonl.gz": "natural",
}
"""Files of the base data, each with its source; the first must be there."""
FROZEN_FILE = "frozen.jsonl.gz"
EXAMPLES_FILE = "examples.jsonl"
LABELLED_FILE = "labelled.jsonl.gz"
UNCOMMON_FILE = "uncommonroute_train.jsonl.gz"
UNCOMMON_WEIGHT = 0.25
"""Template-made rows labelled by another router's authors: languages, at a low weight."""

EXCLUDED: Mapping[str, str] = {
    "uncommon-2131": "near neighbour of ex-express-refactor-en (Jaccard 0.40)",
    "uncommon-0026": "is ex-closure-en",
    "uncommon-1464": "near neighbour of ex-closure-en (Jaccard 0.45)",
}
"""Corpus rows that never train, by id, each with the reason (near neighbours of the design's examples)."""


class DatasetError(Exception):
    """Training data that cannot be used; the message names file and reason."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Rows by their role.

    Attributes:
        base: Team-written rows (`classifier.record.TEAM_WRITTEN`).
        real: Real prompts that may shape the weights that ship.
        measuring: Real prompts that are only measured with.
        hashes: sha256 of each file read, by file name.
        beginnings: Beginnings of the conversations in `base`, only predicted (`training.conversations`).
    """

    base: tuple[LabelledRequest, ...]
    real: tuple[LabelledRequest, ...]
    measuring: tuple[LabelledRequest, ...]
    hashes: Mapping[str, str]
    beginnings: tuple[LabelledRequest, ...] = ()

    @property
    def every(self) -> tuple[LabelledRequest, ...]:
        """All rows, those that train first."""
        return self.trainable + self.measuring + self.beginnings

    @property
    def trainable(self) -> tuple[LabelledRequest, ...]:
        """All rows that may shape weights."""
        return self.base + self.real

    @property
    def scored(self) -> int:
        """How many of the rows that train have a score."""
        return sum(row.score >= 0 for row in self.trainable)


def data_path() -> Path:
    """Folder of the base data: `data/` of the repository, or the copy in the installed package.

    Raises:
        DatasetError: Neither is there.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "_data", here.parent / "data"):
        if (folder / EXAMPLES_FILE).is_file():
            return folder
    raise DatasetError(f"no base data: neither {here / '_data'} nor {here.parent / 'data'} holds {EXAMPLES_FILE}")


def load_training_data(corpora: Path | None, data: Path | None = None) -> TrainingData:
    """Read everything that training may use.

    Args:
        corpora: Folder with `labelled.jsonl.gz`; None: base data only.
        data: Folder of the base data; None: `data_path()`.

    Returns:
        The rows.

    Raises:
        DatasetError: A file is missing or malformed.
    """
    folder = data or data_path()
    hashes: dict[str, str] = {}
    base: list[LabelledRequest] = []
    for number, (name, source) in enumerate(BASE_FILES.items()):
        if number == 0 or (folder / name).is_file():
            base += _read(folder / name, hashes, source=source)
    real: list[LabelledRequest] = []
    measuring: list[LabelledRequest] = []
    if corpora is not None:
        for row in _read(corpora / LABELLED_FILE, hashes):
            if row.id not in EXCLUDED:
                (real if row.licence_class == "permissive" else measuring).append(row)
        real += _uncommon(corpora / UNCOMMON_FILE, hashes)
        real += _once_labelled(corpora, folder / LABELS_FILE, hashes)
    try:
        scores = read_scores(folder / SCORES_FILE, hashes)
    except ValueError as error:
        raise DatasetError(str(error)) from error
    every = (scored(rows, scores) for rows in (base, real, measuring, beginnings(base)))
    scored_base, scored_real, scored_measuring, begun = every
    return TrainingData(scored_base, scored_real, scored_measuring, hashes, begun)


def _uncommon(path: Path, hashes: dict[str, str]) -> list[LabelledRequest]:
    if not path.is_file():
        raise DatasetError(f"{path} is not there")
    hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    rows = (r for r in read_rows(path) if r.get("nature") and r["id"] not in EXCLUDED)
    return [
        record_from(
            {
                "id": f"{r['id']}-train",
                "prompt": r["prompt"],
                "tier": r["nature"],
                "lang": r.get("lang"),
                "weight": UNCOMMON_WEIGHT,
            },
            source="uncommonroute",
        )
        for r in rows
    ]


def _once_labelled(corpora: Path, labels: Path, hashes: dict[str, str]) -> list[LabelledRequest]:
    if not labels.is_file():
        return []
    try:
        return public_prompts(corpora, labels, hashes)
    except PublicLabelError as error:
        raise DatasetError(str(error)) from error


def load_frozen(data: Path | None = None) -> list[LabelledRequest]:
    """The frozen evaluation part; training never reads it."""
    return _read((data or data_path()) / FROZEN_FILE, {}, source="written")


def load_examples(data: Path | None = None) -> list[dict[str, Any]]:
    """The design's examples, their paraphrases and siblings, as rows with `example`, `kind`, `lang`, `tier`,
    `prompt`."""
    return list(read_rows((data or data_path()) / EXAMPLES_FILE))


def sources_of(rows: Sequence[LabelledRequest]) -> list[str]:
    """Source of each row."""
    return [row.source for row in rows]


def _read(path: Path, hashes: dict[str, str], source: str = "") -> list[LabelledRequest]:
    if not path.is_file():
        raise DatasetError(f"{path} is not there")
    hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        return read_requests(path, source=source)
    except ValueError as error:
        raise DatasetError(str(error)) from error
