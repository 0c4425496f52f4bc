"""What a retraining says about its own labels: predictions by corrections that had not seen their conversation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import ArtifactError

Floats = NDArray[np.float64]
HELD_OUT = "held_out.npz"
"""File of an artifact; without texts, with the names of callers."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """n labels.

    Attributes:
        champion: (n, 3) probabilities of the champion, as served.
        challenger: (n, 3) probabilities of the challenger's recipe without the row's fold, as served.
        labels: (n,) tier positions.
        weights: (n,).
        fold: (n,).
        clusters: (n,) numbers of what hangs together.
        callers: (n,) who said it.
        unseen: (n,) whether the champion was trained without it.
    """

    champion: Floats
    challenger: Floats
    labels: NDArray[np.intp]
    weights: Floats
    fold: NDArray[np.intp]
    clusters: NDArray[np.intp]
    callers: NDArray[Any]
    unseen: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp]) -> HeldOut:
        """Some of the labels."""
        return HeldOut(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def write(self, folder: Path) -> None:
        """Write it into an artifact folder."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        np.savez_compressed(folder / HELD_OUT, **arrays)

    @classmethod
    def read(cls, folder: Path) -> HeldOut | None:
        """Read it from an artifact folder; None if there is none.

        Raises:
            ArtifactError: It is damaged.
        """
        path = folder / HELD_OUT
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = cls(*(arrays[name] for name in cls.__dataclass_fields__))
        except (KeyError, ValueError, OSError) as error:
            raise ArtifactError(f"{path}: cannot be used: {error}") from error
        n = found.labels.size
        if found.champion.shape != (n, 3) or found.challenger.shape != (n, 3):
            raise ArtifactError(f"{path}: not {n} rows of three probabilities")
        if not (np.isfinite(found.champion).all() and np.isfinite(found.challenger).all()):
            raise ArtifactError(f"{path}: probabilities are not finite")
        return found
