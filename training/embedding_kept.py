"""A challenger whose start has an embedding keeps it: the head stays, the joins are fitted anew.

No host is asked for that: log-odds of base rows are in the artifact, those of labels were kept with their features,
whatever was kept of their text.
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact, ArtifactError, load_artifact
from classifier.embedding import EMBEDDING, arrays_of
from training.anchors import load_anchors
from training.challenger import Retrained
from training.correction import FOLDS, Plan, Say
from training.embedding_artifact import EMBEDDING_OUT_OF_SOURCE, extended
from training.embedding_rows import Rows, champion_heard
from training.gather import Gathered
from training.held_out import HELD_OUT, HeldOut

Floats = NDArray[np.float64]


def keep(plan: Plan, made: Retrained, found: Gathered, say: Say) -> Retrained:
    """Fit the joins of an embedding that a challenger has from its start.

    Args:
        plan: What the retraining was asked for.
        made: The challenger, just written.
        found: Its labels.
        say: Called with one line.

    Returns:
        The challenger with its joins as they fit now; itself where it has no embedding.

    Raises:
        ArtifactError: Its log-odds of base rows cannot be used.
    """
    challenger, champion = load_artifact(made.path), load_artifact(plan.champion)
    held, term = HeldOut.read(made.path), challenger.embedding
    if held is None or (term is None and champion.embedding is None):
        return made  # nothing was learnt, or nobody has an embedding
    held = champion_heard(held, champion, found)
    new: dict[str, dict[str, NDArray[Any]]] = {}
    said: tuple[str, ...] = ()
    if term is not None:
        anchors = load_anchors(challenger, plan.data, plan.cache, FOLDS)
        rows = Rows.of(challenger, anchors, found, held, np.flatnonzero(found.heads == term.head))
        logodds = np.concatenate([_out_of_source(challenger, anchors.keys), found.heard[rows.labels]])
        held = rows.held_out(held, logodds, challenger, term)
        new = {EMBEDDING: arrays_of(term.weights, term.bias, *rows.joins(logodds, challenger))}
        said = (f"embedding {term.name} stays; {rows.labels.size} labels that it was heard about tune its joins",)
        say(said[0])
    held.write(made.path)
    name = extended(made.path, new, challenger.metadata.get("embedding"), [HELD_OUT])
    return replace(made, id=name, notes=(*made.notes, *said))


def _out_of_source(challenger: Artifact, keys: NDArray[np.str_]) -> Floats:
    """(n, 3) log-odds of base rows by heads that had not seen them; NaN where unknown."""
    path: Path = challenger.path / EMBEDDING_OUT_OF_SOURCE
    found = np.full((keys.size, 3), np.nan)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            place = {key: i for i, key in enumerate(arrays["keys"].tolist())}
            logodds = arrays["logodds"].astype(np.float64)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: cannot be used: {error}") from error
    for i, key in enumerate(keys.tolist()):
        if key in place:
            found[i] = logodds[place[key]]
    return found
