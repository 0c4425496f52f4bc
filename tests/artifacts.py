"""Artifacts for tests: the shipped one, bent."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from classifier import Tier
from classifier.artifact import METADATA, WEIGHTS, sha256_of, shipped_path
from classifier.embedding import EMBEDDING, arrays_of
from classifier.scorer import Stack
from classifier.tiers import tier_index
from training.embedding_artifact import extended


def leaning(folder: Path, tier: Tier, **metadata: Any) -> Path:
    """The shipped first stage, leaning so far to one tier that it always says it.

    Args:
        folder: Where it goes.
        tier: What it says.
        **metadata: More of its metadata.
    """
    folder.mkdir(parents=True)
    shutil.copy(shipped_path() / METADATA, folder / METADATA)
    with np.load(shipped_path() / WEIGHTS) as arrays:
        bent = {name: arrays[name] for name in arrays.files}
    bent["offset"] = bent["offset"] + 50.0 * (np.arange(3) == tier_index(tier))
    np.savez_compressed(folder / WEIGHTS, **bent)
    described = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    described |= {"name": f"leaning-{tier}", "files": {WEIGHTS: sha256_of(folder / WEIGHTS)}, **metadata}
    (folder / METADATA).write_text(json.dumps(described), encoding="utf-8")
    return folder


OLDER_STRUCTURE, OLDER_COLUMNS = 5, 64


def older_artifact(folder: Path, name: str = "tuned", *, seed: int = 0, ancestors: int = 0) -> str:
    """An artifact of feature schema 0, with other sizes than today's.

    Args:
        folder: Where it goes.
        name: Its name.
        seed: Of its weights.
        ancestors: How many versions it comes from.

    Returns:
        Its id.
    """
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    arrays: dict[str, Any] = {
        "structure_weights": random.normal(size=(OLDER_STRUCTURE, 3)),
        "hashed_weights": random.normal(size=(OLDER_COLUMNS, 3)),
        "bias": random.normal(size=3), "mean": np.zeros(OLDER_STRUCTURE), "scale": np.ones(OLDER_STRUCTURE),
        "slope": np.full(3, 0.8),
        "offset": np.array([0.2, -0.1, -0.1]), "stack": np.array([0.6, 0.4, 0.1, 0.0, -0.1]),
        "stack_structure": random.normal(size=(OLDER_STRUCTURE, 3)) * 0.1,
    }  # fmt: skip
    np.savez(folder / WEIGHTS, **arrays)
    metadata: dict[str, Any] = {
        "name": name, "feature_schema": 0, "files": {WEIGHTS: sha256_of(folder / WEIGHTS)},
        "lineage": {"ancestors": ["a"] * ancestors},
    }  # fmt: skip
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    digest = hashlib.sha256(metadata["files"][WEIGHTS].encode()).hexdigest()
    return f"{name}-{digest[:8]}"


def embedded(
    folder: Path, *, dimensions: int = 768, share: float = 0.5, towards: Tier | None = None, digest: str = ""
) -> Path:
    """The shipped first stage with an embedding named nomic, asked about everything.

    Args:
        folder: Where it goes.
        dimensions: Length of its vectors.
        share: Weight of its head in the join, 0: it has no say.
        towards: A tier that its head always says; None: numbers drawn at random.
        digest: Of the model that it was trained with.
    """
    leaning(folder, Tier.CODING, second_stage_bound=0.0)
    shutil.copy(shipped_path() / WEIGHTS, folder / WEIGHTS)
    described = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    described |= {"name": "embedded", "files": {WEIGHTS: sha256_of(folder / WEIGHTS)}}
    (folder / METADATA).write_text(json.dumps(described), encoding="utf-8")
    weights = np.random.default_rng(0).normal(size=(dimensions, 3)) * (towards is None)
    bias = 20.0 * (np.arange(3) == tier_index(towards)) if towards is not None else np.zeros(3)
    join = Stack(1.0, share, np.zeros(3), np.zeros((0, 3)))
    described = {"name": "nomic", "model": "nomic-embed-text", "digest": digest, "dimensions": dimensions}
    extended(folder, {EMBEDDING: arrays_of(weights, bias, join, None)}, described, [])
    return folder
