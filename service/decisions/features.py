"""What is kept of a prompt where its text is not: enough to retrain, and nothing to read.

The column ``features`` is one JSON object:

==============  ========================================================================================
``schema``      version of the features (``classifier.features.SCHEMA``)
``structure``   the structure features, unscaled, six digits
``blocks``      how many hashed columns are in each block (`classifier.features.BLOCKS`)
``columns``     hashed columns within their blocks, sorted, without repetition: base64 of 16-bit integers
``counts``      how often each is there: base64 of 8-bit integers, of 16-bit ones where one is there 256 times
``carried``     true: features of the ask together with the one that it continues (the likelier reading)
``second``      the second stage's three log-odds, or null where it was not asked
``first``       log-probabilities of the first stage where the second was asked too; left out otherwise
``language``    two-letter code of the ask's language, "" where it is not clear
``embedding``   the three log-odds of the artifact's embedding; left out where it was not heard
``head``        which head said them (``classifier.embedding.EmbeddingTerm.head``); left out with them
==============  ========================================================================================

Numbers of several bytes have the lowest first. What a row costs on its way into SQLite grows with its bytes.
Rows of older versions lack the last six, and have ``indices`` (32 bits, or a list) and ``values`` (16 bits of which
65,535 is 1, or a list) in place of blocks, columns and counts; ``kept_row`` reads them too, so that a new key here
takes no migration.
The artifact is a column of its own.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier import Classification, PromptView
from classifier.conversation import carried_view
from classifier.features import BLOCK_STARTS, SCHEMA, FeatureRow, block_starts, counted_values, feature_row

_ONE = 65_535
_BYTE = 255


@dataclass(frozen=True, slots=True)
class KeptRow:
    """Features read back.

    Attributes:
        schema: Their version; arrays of another one than `classifier.features.SCHEMA` mean something else.
        row: The arrays.
        carried: See the module.
        second: The second stage's log-odds, or None.
        first: The first stage's log-probabilities where the second was asked too, or None.
        language: Two-letter code, or "".
        embedding: Log-odds of the embedding, or None.
        head: Which head said them, or "".
    """

    schema: int
    row: FeatureRow
    carried: bool = False
    second: tuple[float, float, float] | None = None
    language: str = ""
    embedding: tuple[float, float, float] | None = None
    head: str = ""
    first: tuple[float, float, float] | None = None


def kept_features(view: PromptView, spoken: Classification | None, language: str) -> dict[str, Any]:
    """The column ``features`` of a judged prompt.

    Args:
        view: The prompt view.
        spoken: What the classifier said, or None; the features are those of the reading that it took for likelier.
        language: Two-letter code, or "".
    """
    carried = spoken is not None and spoken.continues >= 0.5
    row = spoken.row if spoken is not None else None
    if row is None:
        row = feature_row(carried_view(view) if carried else view)
    counts = row.counts
    assert counts is not None  # a row of text has them
    starts = (*block_starts(row.indices), row.indices.size)
    heard = None if spoken is None else spoken.embedding
    return {
        "schema": SCHEMA,
        "structure": row.structure.round(6).tolist(),
        "blocks": [end - begin for begin, end in pairwise(starts)],
        "columns": _packed(row.indices.astype("<u2")),  # starts of blocks are multiples of 65,536
        "counts": _packed(counts.astype("<u2" if counts.max() > _BYTE else "u1")),
        "carried": carried,
        "second": [round(z, 4) for z in spoken.second] if spoken is not None and spoken.second is not None else None,
        **({"first": [round(math.log(max(p, 1e-9)), 4) for p in spoken.first]} if spoken and spoken.first else {}),
        "language": language,
        **({"embedding": [round(z, 4) for z in heard.logodds], "head": heard.head} if heard and heard.logodds else {}),
    }


def kept_row(kept: Mapping[str, Any] | None) -> KeptRow | None:
    """Features read back; None where none were kept, or what was kept is no row of features."""
    if not kept:
        return None
    try:
        row = FeatureRow(np.asarray(kept["structure"], dtype=np.float64), *_hashed_part(kept))
        schema = int(kept["schema"])
        odds, heard, first = (_three(kept.get(name)) for name in ("second", "embedding", "first"))
    except (KeyError, TypeError, ValueError, IndexError):  # binascii's error is a ValueError
        return None
    language, head = str(kept.get("language") or ""), str(kept.get("head") or "")
    head = head if heard is not None else ""
    return KeptRow(schema, row, bool(kept.get("carried")), odds, language, heard, head, first)


def _hashed_part(
    kept: Mapping[str, Any],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64] | None]:
    """Columns, values and counts."""
    if "columns" not in kept:
        indices = _numbers(kept["indices"], "<u4").astype(np.int64)
        return indices, _numbers(kept["values"], "<u2", _ONE).astype(np.float64), None
    columns, blocks = b64decode(kept["columns"], validate=True), [int(size) for size in kept["blocks"]]
    indices = np.frombuffer(columns, "<u2").astype(np.int64) + np.repeat(BLOCK_STARTS, blocks)
    packed = b64decode(kept["counts"], validate=True)
    counts = np.frombuffer(packed, "u1" if len(packed) == indices.size else "<u2").astype(np.int64)
    if counts.size != indices.size:
        raise ValueError("as many counts as columns")
    return indices, counted_values(indices, counts), counts


def _three(kept: Any) -> tuple[float, float, float] | None:
    return None if kept is None else (float(kept[0]), float(kept[1]), float(kept[2]))


def _packed(numbers: NDArray[Any]) -> str:
    return b64encode(numbers.tobytes()).decode("ascii")


def _numbers(kept: Any, form: str, scale: int = 1) -> NDArray[Any]:
    """Numbers that were packed, or written out by an older version."""
    if isinstance(kept, str):
        return np.frombuffer(b64decode(kept, validate=True), dtype=form) / scale
    return np.asarray(kept)
