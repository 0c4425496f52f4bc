"""The embedding's part of an artifact folder: put in, or taken out again; everything else stays byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import METADATA, load_artifact, metadata_of, sha256_of
from classifier.embedding import EMBEDDING

EMBEDDING_OUT_OF_SOURCE = "embedding_out_of_source.npz"
"""Log-odds of base rows by heads that had not seen their block: a later retraining fits the joins anew with them."""


def extended(
    path: Path, arrays: Mapping[str, Mapping[str, NDArray[Any]]], described: Mapping[str, Any] | None,
    changed: Sequence[str],
) -> str:  # fmt: skip
    """Write files of arrays into an artifact folder.

    Args:
        path: The folder.
        arrays: Arrays by file.
        described: `embedding` of its metadata; None: it has none.
        changed: Other files whose bytes have changed.

    Returns:
        The artifact's new id.
    """
    for name, one in arrays.items():
        np.savez_compressed(path / name, **one)  # type: ignore[arg-type]  # numpy types the keyword allow_pickle only
    metadata = metadata_of(path)
    metadata["files"] |= {name: sha256_of(path / name) for name in (*arrays, *changed)}
    return _described(path, metadata | ({} if described is None else {"embedding": dict(described)}))


def stripped(path: Path) -> str:
    """Take the embedding out of an artifact folder.

    Returns:
        The artifact's new id.
    """
    metadata = metadata_of(path)
    for name in (EMBEDDING, EMBEDDING_OUT_OF_SOURCE):
        metadata["files"].pop(name, None)
        (path / name).unlink(missing_ok=True)
    metadata.pop("embedding", None)
    return _described(path, metadata)


def noted(path: Path, report: Mapping[str, Any]) -> None:
    """Keep in an artifact's lineage what came of an embedding that was tried, taken in or not."""
    metadata = metadata_of(path)
    _described(path, metadata | {"lineage": {**metadata.get("lineage", {}), "embedding": dict(report)}})


def _described(path: Path, metadata: Mapping[str, Any]) -> str:
    text = json.dumps(metadata, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (path / METADATA).write_text(text, encoding="utf-8")
    return load_artifact(path).id
