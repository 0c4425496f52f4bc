"""The base data as anchors of a warm start: what the champion knows already must not be forgotten.

Encoding them takes seconds and depends on the data and the features alone, so it is kept in a cache folder.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.features import HASHED_SIZE, SCHEMA
from classifier.record import LabelledRequest
from training.dataset import BASE_FILES, data_path, load_training_data
from training.first_stage import encode
from training.split import grouped
from training.train import OUT_OF_SOURCE, fold_keys, row_key

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

SAME_REQUEST = 0.95
"""Cosine of hashed features from which two requests count as the same."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Base rows, n of them.

    Attributes:
        keys: (n,) row keys (`training.train.row_key`).
        structure: (n, s) unscaled.
        hashed: (n, HASHED_SIZE) sparse, float32.
        soft: (n, 3) label distributions.
        fold: (n,) fold of each row; rows of one block are in one fold.
        first: (n, 3) the champion's log-odds out of source, NaN where it has none for a row.
        second: (n, 3) the second stage's, NaN where it has none.
        hashes: sha256 of the data files by name.
    """

    keys: NDArray[Any]
    structure: Floats
    hashed: csr_matrix
    soft: Floats
    fold: NDArray[np.intp]
    first: Floats
    second: Floats
    hashes: dict[str, str]

    def known(self) -> NDArray[np.bool_]:
        """(n,) rows of which the champion knows log-odds out of source."""
        return np.asarray(np.isfinite(self.first).all(axis=1), dtype=np.bool_)

    def take(self, rows: NDArray[np.intp]) -> Anchors:
        """Some of the rows."""
        return Anchors(
            self.keys[rows], self.structure[rows], self.hashed[rows], self.soft[rows], self.fold[rows],
            self.first[rows], self.second[rows], self.hashes,
        )  # fmt: skip


def load_anchors(artifact: Artifact, data: Path | None, cache: Path | None, folds: int) -> Anchors:
    """The base data as the champion sees them.

    Args:
        artifact: The champion: its continuation gate, and its out-of-source log-odds where it carries some.
        data: Folder of the base data; None: the one that comes with the package.
        cache: Folder for the encoded rows; None: encode them now.
        folds: Number of folds.

    Raises:
        DatasetError: Data are missing or malformed.
    """
    folder = data or data_path()
    hashes = {n: _sha256(folder / n) for n in BASE_FILES if (folder / n).is_file()}
    name = hashlib.sha256(repr((sorted(hashes.items()), SCHEMA)).encode() + artifact.follow_up.tobytes()).hexdigest()
    file = cache / f"base-{name[:16]}.npz" if cache is not None else None
    arrays = _read(file) if file is not None and file.is_file() else None
    if arrays is None:
        arrays = _encoded(load_training_data(None, data).base, artifact)
        if file is not None:
            _write(file, arrays)
    keys = arrays["keys"]
    first, second = _out_of_source(artifact, keys)
    return Anchors(
        keys, arrays["structure"], _sparse(arrays), arrays["soft"], grouped(arrays["blocks"].tolist(), folds), first,
        second, hashes,
    )  # fmt: skip


def near_base(
    hashed: csr_matrix, labels: NDArray[np.intp], base: csr_matrix, base_labels: NDArray[np.intp], portion: int = 500
) -> dict[str, int]:
    """Labels of requests that are in the base data, and how many of them name another tier than there.

    Args:
        hashed: (n, HASHED_SIZE) labelled requests.
        labels: (n,) tier positions.
        base: (b, HASHED_SIZE) base rows.
        base_labels: (b,).
        portion: Requests looked at at once.
    """
    matches = against = 0
    across, length = base.T.tocsc(), np.sqrt(np.asarray(base.multiply(base).sum(axis=1)).ravel())
    for start in range(0, labels.size, portion):
        part = hashed[start : start + portion]
        own = np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).ravel())
        cosine = (part @ across).toarray() / np.maximum(own[:, None] * length[None, :], 1e-9)
        nearest = cosine.argmax(axis=1)
        same = cosine.max(axis=1) >= SAME_REQUEST
        matches += int(same.sum())
        against += int((same & (base_labels[nearest] != labels[start : start + portion])).sum())
    return {"matches": matches, "contradicting": against}


def _encoded(rows: tuple[LabelledRequest, ...], artifact: Artifact) -> dict[str, NDArray[Any]]:
    found = encode(rows, artifact.follow_up)
    return {
        "keys": np.array([row_key(r) for r in rows]),
        "blocks": np.array(fold_keys(rows)),
        "structure": found.structure,
        "soft": found.soft,
        "data": found.hashed.data.astype(np.float32),
        "indices": found.hashed.indices.astype(np.int32),
        "indptr": found.hashed.indptr.astype(np.int64),
    }


def _sparse(arrays: dict[str, NDArray[Any]]) -> csr_matrix:
    from scipy.sparse import csr_matrix

    shape = (arrays["keys"].size, HASHED_SIZE)
    return csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)


def _out_of_source(artifact: Artifact, keys: NDArray[Any]) -> tuple[Floats, Floats]:
    """Out-of-source log-odds of both stages for the given rows; NaN for what is not there."""
    first, second = np.full((keys.size, 3), np.nan), np.full((keys.size, 3), np.nan)
    path = artifact.path / OUT_OF_SOURCE
    if not path.is_file():
        return first, second
    with np.load(path, allow_pickle=False) as arrays:
        place = {key: i for i, key in enumerate(arrays["keys"].tolist())}
        here = np.array([place.get(key, -1) for key in keys.tolist()], dtype=np.intp)
        known = here >= 0
        first[known] = arrays["first"][here[known]]
        if "second" in arrays.files:
            second[known] = arrays["second"][here[known]]
    return first, second


def _read(file: Path) -> dict[str, NDArray[Any]] | None:
    """The kept rows; None where the file is damaged: they are encoded again."""
    names = ("keys", "blocks", "structure", "soft", "data", "indices", "indptr")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _write(file: Path, arrays: dict[str, NDArray[Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    waiting = file.with_name(f".{file.name}.{os.getpid()}.npz")
    np.savez(waiting, **arrays)  # type: ignore[arg-type]  # numpy types the keyword allow_pickle only
    os.replace(waiting, file)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
