"""Artifacts for tests: the shipped one, bent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from classifier import Tier
from classifier.artifact import METADATA, WEIGHTS, sha256_of, shipped_path
from classifier.tiers import tier_index


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
