"""The artifact: a folder with `weights.npz` and `metadata.json`, checked before it is loaded, without pickle.

Metadata names the files with their sha256, the schema of the features, the cost matrices, what the model was
trained on and with
which library versions. A folder that does not fit is refused with one line that says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.conversation import GATE_SIZES
from classifier.deep import DEEP_FILES
from classifier.embedding import EMBEDDING, EmbeddingTerm, read_term
from classifier.features import HASHED_SIZE, SCHEMA
from classifier.policy import Matrix, as_matrix
from classifier.scorer import Calibration, LinearScorer, Stack
from classifier.structure import STRUCTURE_NAMES

WEIGHTS = "weights.npz"
METADATA = "metadata.json"
CARD = "CARD.md"
MATRICES = ("default", "eco", "quality")


class ArtifactError(Exception):
    """An artifact folder that cannot be used; the message names folder, file and reason."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded artifact.

    Attributes:
        id: Name and eight digits of a hash over the hashes of its files, as in `x-autotier-artifact`.
        path: Its folder.
        metadata: `metadata.json` as read.
        first: Scorer of the first stage.
        calibration: Calibration of the first stage.
        follow_up: Weights of the continuation gate (`classifier.conversation.continuation`).
        matrices: Cost matrices by name, at least `MATRICES`.
        stack: How both stages are joined; None if the artifact has no second stage.
        bound: Share of a matrix's greatest cost; where the first stage's expected cost is above it, the second
            is asked, and after it the embedding.
        embedding: What the vectors of an embedding model add; None if the artifact has no such term.
    """

    id: str
    path: Path
    metadata: Mapping[str, Any]
    first: LinearScorer
    calibration: Calibration
    follow_up: NDArray[np.float64]
    matrices: Mapping[str, Matrix]
    stack: Stack | None = None
    bound: float = 0.0
    embedding: EmbeddingTerm | None = None


def shipped_path() -> Path:
    """Folder of the champion that comes with the package."""
    return Path(__file__).parent / "artifacts" / "champion"


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_artifact(path: Path) -> Artifact:
    """Read and check an artifact folder.

    Args:
        path: The folder.

    Returns:
        The artifact, its arrays in memory.

    Raises:
        ArtifactError: A file is missing, its hash differs, the schema is another one, or an array has the
            wrong shape.
    """
    metadata = metadata_of(path)
    for name, digest in metadata["files"].items():
        file = path / name
        if Path(name).name != name or not file.is_file():
            raise ArtifactError(f"{path}: {name} is named in {METADATA} but is not there")
        if sha256_of(file) != digest:
            raise ArtifactError(f"{path}: {name} does not have the sha256 that {METADATA} names: damaged or changed")
    if WEIGHTS not in metadata["files"]:
        raise ArtifactError(f"{path}: {METADATA} names no {WEIGHTS}")
    try:
        with np.load(path / WEIGHTS, allow_pickle=False) as arrays:
            first, calibration, follow_up = _first_stage(arrays)
            stack = _stack(arrays) if all(name in metadata["files"] for name in DEEP_FILES) else None
        matrices = {str(k): as_matrix(v) for k, v in metadata["matrices"].items()}
    except (KeyError, ValueError, OSError) as error:
        raise ArtifactError(f"{path}: {WEIGHTS} or its matrices cannot be used: {error}") from error
    if missing := [name for name in MATRICES if name not in matrices]:
        raise ArtifactError(f"{path}: {METADATA} lacks the cost matrices {', '.join(missing)}")
    embedding = _embedding(path, metadata, stack) if EMBEDDING in metadata["files"] else None
    # All files make the id: the same first stage with another second stage is another classifier.
    digest = hashlib.sha256("".join(metadata["files"][n] for n in sorted(metadata["files"])).encode()).hexdigest()
    identity = f"{metadata['name']}-{digest[:8]}"
    bound = float(metadata.get("second_stage_bound", 0.0))
    return Artifact(identity, path, metadata, first, calibration, follow_up, matrices, stack, bound, embedding)


def _embedding(path: Path, metadata: Mapping[str, Any], stack: Stack | None) -> EmbeddingTerm:
    try:
        with np.load(path / EMBEDDING, allow_pickle=False) as arrays:
            return read_term(arrays, metadata["embedding"], second=stack is not None)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ArtifactError(f"{path}: {EMBEDDING} cannot be used: {error}") from error


def metadata_of(path: Path) -> dict[str, Any]:
    """The checked metadata of an artifact folder; its other files are not looked at.

    Raises:
        ArtifactError: There is none, or it does not fit this version.
    """
    file = path / METADATA
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: no {METADATA}; an artifact is a folder that `autotier train` wrote") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file}: cannot be read: {error}") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("files"), dict):
        raise ArtifactError(f"{file}: no `files` with their sha256")
    for key in ("name", "feature_schema", "matrices"):
        if key not in metadata:
            raise ArtifactError(f"{file}: no `{key}`")
    if metadata["feature_schema"] != SCHEMA:
        raise ArtifactError(
            f"{file}: features of schema {metadata['feature_schema']}, this version reads {SCHEMA}: retrain it"
        )
    return metadata


def _first_stage(arrays: Mapping[str, NDArray[Any]]) -> tuple[LinearScorer, Calibration, NDArray[np.float64]]:
    expected = {
        "structure_weights": (len(STRUCTURE_NAMES), 3),
        "hashed_weights": (HASHED_SIZE, 3),
        "bias": (3,),
        "mean": (len(STRUCTURE_NAMES),),
        "scale": (len(STRUCTURE_NAMES),),
        "slope": (3,),
        "offset": (3,),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} is not finite")
    f64 = {name: arrays[name].astype(np.float64) for name in expected if name != "hashed_weights"}
    scorer = LinearScorer(
        f64["structure_weights"], arrays["hashed_weights"].astype(np.float32), f64["bias"], f64["mean"], f64["scale"]
    )
    gate = arrays["follow_up"].astype(np.float64)
    if gate.ndim != 1 or gate.size not in GATE_SIZES or not np.isfinite(gate).all():
        raise ValueError(f"follow_up has shape {gate.shape}, or is not finite")
    return scorer, Calibration(f64["slope"], f64["offset"]), gate


def _stack(arrays: Mapping[str, NDArray[Any]]) -> Stack:
    values, structure = arrays["stack"].astype(np.float64), arrays["stack_structure"].astype(np.float64)
    if values.shape != (5,) or not np.isfinite(values).all():
        raise ValueError("stack is not five finite numbers")
    if structure.shape != (len(STRUCTURE_NAMES), 3) or not np.isfinite(structure).all():
        raise ValueError(f"stack_structure is not ({len(STRUCTURE_NAMES)}, 3) finite numbers")
    return Stack(float(values[0]), float(values[1]), values[2:], structure)


def write_artifact(
    path: Path, name: str, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], extra: tuple[str, ...] = ()
) -> Path:
    """Write an artifact folder. Two calls with equal arguments write equal bytes.

    Args:
        path: Folder to write; made if it does not exist.
        name: Name of the artifact, the first part of its id.
        arrays: Arrays of `weights.npz`.
        metadata: Everything that describes the training; `matrices` must be in it.
        extra: Names of further files, already in the folder, whose hashes are to be recorded.

    Returns:
        The folder.
    """
    path.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path / WEIGHTS, **{k: np.asarray(arrays[k]) for k in sorted(arrays)})  # type: ignore[arg-type]  # numpy types the keyword allow_pickle only
    files = {n: sha256_of(path / n) for n in sorted((WEIGHTS, *extra))}
    record = {"name": name, "feature_schema": SCHEMA, "files": files, **metadata}
    (path / METADATA).write_text(
        json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
    return path
