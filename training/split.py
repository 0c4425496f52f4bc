"""Splits that do not flatter: whole sources, or whole topics, held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def held_out(keys: Sequence[str]) -> Iterator[tuple[str, Rows, Rows]]:
    """Leave one key out.

    Args:
        keys: Source (or topic) of each row.

    Yields:
        (key, training rows, test rows), keys in order of their name.
    """
    array = np.asarray(keys)
    for key in sorted(set(keys)):
        test = array == key
        yield key, np.flatnonzero(~test), np.flatnonzero(test)


def grouped(keys: Sequence[str], folds: int) -> NDArray[np.intp]:
    """Fold number of each row such that a key is in one fold, folds of about equal size.

    Args:
        keys: Source or topic of each row.
        folds: Number of folds.

    Returns:
        (n,) fold numbers. Depends on the keys and their sizes alone.
    """
    names, counts = np.unique(np.asarray(keys), return_counts=True)
    load = np.zeros(folds)
    fold: dict[str, int] = {}
    for name, count in sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda p: (-p[1], _stable(p[0]))):
        target = int(np.argmin(load))
        fold[name] = target
        load[target] += count
    return np.array([fold[k] for k in keys], dtype=np.intp)


def _stable(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
