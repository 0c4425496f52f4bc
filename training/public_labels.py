"""Our labels of public prompts whose text is not ours to publish: `data/` has hash and label, the corpora the text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from classifier.record import LabelledRequest, read_rows, record_from

LABELS_FILE = "public_labels.jsonl.gz"
PROMPTS_FILE = "prompts_permissive.jsonl.gz"
WEIGHT = 0.5
"""Of a row that was read once; those that two or three readings agree on have 1."""


class PublicLabelError(ValueError):
    """A labelled prompt is missing or is another text than the one that was labelled."""


def public_prompts(corpora: Path, labels: Path, hashes: dict[str, str]) -> list[LabelledRequest]:
    """Labelled public prompts.

    Args:
        corpora: Folder with `prompts_permissive.jsonl.gz`.
        labels: Our labels: rows of `id`, `source`, `sha256` (the first 16 digits, of the prompt) and `label`.
        hashes: Gets the sha256 of both files by name.

    Returns:
        One row a label, in the order of the labels, weight `WEIGHT`.

    Raises:
        PublicLabelError: The prompts are not there, or one is not the text that was labelled.
    """
    path = corpora / PROMPTS_FILE
    if not path.is_file():
        raise PublicLabelError(f"{path} is not there; {labels.name} holds labels of its prompts")
    for file in (path, labels):
        hashes[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    wanted = {row["id"]: row for row in read_rows(labels)}
    prompts = {row["id"]: row["prompt"] for row in read_rows(path) if row["id"] in wanted}
    return [_labelled(row, prompts.get(name)) for name, row in wanted.items()]


def _labelled(row: Mapping[str, str], prompt: str | None) -> LabelledRequest:
    if prompt is None or hashlib.sha256(prompt.encode()).hexdigest()[:16] != row["sha256"]:
        raise PublicLabelError(f"{row['id']}: {PROMPTS_FILE} does not hold the prompt that was labelled")
    label = row["label"]
    return record_from(
        {"id": f"{row['id']}-once", "prompt": prompt, "tier": label.rstrip("?"), "labels": [label], "weight": WEIGHT},
        source=row["source"],
    )
