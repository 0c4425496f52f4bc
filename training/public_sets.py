"""Public sets by name, or folders of one's own: rows that a user adds to the recipe, one label for each set.

What they teach is the user's choice: an artifact that was trained with them is not the shipped one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from classifier.record import LabelledRequest, record_from
from classifier.tiers import TIERS
from training.dataset import DatasetError, TrainingData

SOURCE = "public:"
"""How the sources of these rows begin, so that none is taken for one of the recipe's."""
WEIGHT = 0.25
"""As template-made rows of others: one label for all of them, by the nature of the source."""
MOST = 1_000
"""Rows of a set that are read, from the start."""


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set as a user names it.

    Attributes:
        name: On the hub, or a local folder that `datasets` reads (JSONL, CSV, Parquet).
        field: Column with the prompt.
        tier: Label of all its rows.
    """

    name: str
    field: str
    tier: str

    @classmethod
    def of(cls, text: str) -> PublicSet:
        """From `NAME:FIELD:TIER`; further colons belong to the name.

        Raises:
            DatasetError: It has another form, or there is no such tier.
        """
        name, field, tier = ([""] * 3 + text.rsplit(":", 2))[-3:]
        if not (name and field):
            raise DatasetError(f"--public {text}: write NAME:FIELD:TIER, such as ./prompts:prompt:lightweight")
        if tier not in list(TIERS):
            raise DatasetError(f"--public {text}: unknown tier {tier!r}; write one of {', '.join(TIERS)}")
        return cls(name, field, tier)

    @property
    def folder(self) -> Path | None:
        """Its local folder; None: it is a name on the hub."""
        path = Path(self.name).expanduser()
        return path.resolve() if path.is_dir() else None

    @property
    def source(self) -> str:
        """Of its rows; of a folder the last part alone, because an artifact is published and a path is private."""
        return SOURCE + (self.name if self.folder is None else self.folder.name)


def read_public(wanted: PublicSet, *, split: str = "train", limit: int = MOST) -> list[LabelledRequest]:
    """Read a set through Hugging Face `datasets` (the extra `training`; a name on the hub needs a network).

    Args:
        wanted: The set.
        split: Which split.
        limit: At most so many rows, from the start; those without text are left out.

    Returns:
        The rows, weight `WEIGHT`.

    Raises:
        DatasetError: `datasets` is not installed, the set cannot be read, its column is not there or holds no text;
            one line with the fix.
    """
    name, field, rows = wanted.name, wanted.field, []
    for number, row in enumerate(_table(wanted, f"{split}[:{limit}]")):
        if field not in row:
            raise DatasetError(f"{name}: no column {field!r}; name one of {', '.join(row)}")
        prompt = row[field]
        if not isinstance(prompt, str | None):
            raise DatasetError(f"{name}: column {field!r} holds {type(prompt).__name__}; name one that holds text")
        if prompt and prompt.strip():
            made = {"id": f"{field}-{number}", "prompt": prompt, "tier": wanted.tier, "weight": WEIGHT}
            rows.append(record_from(made, source=wanted.source))
    if not rows:
        raise DatasetError(f"{name}: no text in column {field!r} of the first {limit} rows; name another column")
    return rows


def _table(wanted: PublicSet, split: str) -> Iterable[Mapping[str, Any]]:
    """Rows of a set as `datasets` gives them."""
    name, folder = wanted.name, wanted.folder
    if folder is None and (name.startswith((".", "~")) or Path(name).is_absolute()):
        raise DatasetError(f"{name} is not there; name a folder with JSONL, CSV or Parquet, or a set on the hub")
    try:
        import datasets  # heavy: only for users who ask for a public set
    except ImportError as error:
        raise DatasetError("public sets need `datasets`: pip install 'autotier[training]'") from error
    try:
        table: Iterable[Mapping[str, Any]] = datasets.load_dataset(str(folder or name), split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:  # no such set or split, a broken file
        fix = (
            "check its files"
            if folder
            else "no folder of that name is here; check the name on the hub, and the network"
        )
        raise DatasetError(f"{name} cannot be read: {fix} ({' '.join(str(error).split())[:200]})") from error
    return table


def with_public(data: TrainingData, sets: Sequence[PublicSet]) -> TrainingData:
    """The data with public sets behind the real prompts that train.

    Args:
        data: The data.
        sets: The sets, in order.

    Returns:
        The data; `hashes` has the sha256 of each set's prompts, by source, column and tier.

    Raises:
        DatasetError: As `read_public`.
    """
    hashes, rows = dict(data.hashes), list(data.real)
    for wanted in sets:
        found = read_public(wanted)
        prompts = "\n".join(row.text for row in found).encode("utf-8", "replace")
        hashes[f"{wanted.source}:{wanted.field}:{wanted.tier}"] = hashlib.sha256(prompts).hexdigest()
        rows += found
    return replace(data, real=tuple(rows), hashes=hashes)


def is_public(row: LabelledRequest) -> bool:
    """Whether a row is of a set that a user named."""
    return row.source.startswith(SOURCE)
