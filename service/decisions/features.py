"""What is kept of a prompt where its text is not: enough to retrain, and nothing to read.

The column ``features`` is one JSON object:

==============  ========================================================================================
``schema``      version of the features (``classifier.features.SCHEMA``)
``structure``   the structure features, unscaled, six digits
``indices``     hashed columns, sorted, without repetition
``values``      their values, four digits
``carried``     true: features of the ask together with the one that it continues (the likelier reading)
``second``      the second stage's three log-odds, or null where it was not asked
``language``    two-letter code of the ask's language, "" where it is not clear
==============  ========================================================================================

Rows of older versions lack the last three; ``kept_row`` reads them too. The artifact is a column of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifier import Classification, PromptView
from classifier.conversation import carried_view
from classifier.features import SCHEMA, FeatureRow, feature_row


@dataclass(frozen=True, slots=True)
class KeptRow:
    """Features read back.

    Attributes:
        schema: Their version; arrays of another one than `classifier.features.SCHEMA` mean something else.
        row: The arrays.
        carried: See the module.
        second: The second stage's log-odds, or None.
        language: Two-letter code, or "".
    """

    schema: int
    row: FeatureRow
    carried: bool = False
    second: tuple[float, float, float] | None = None
    language: str = ""


def kept_features(view: PromptView, spoken: Classification | None, language: str) -> dict[str, Any]:
    """The column ``features`` of a judged prompt.

    Args:
        view: The prompt view.
        spoken: What the classifier said, or None; the features are those of the reading that it took for likelier.
        language: Two-letter code, or "".
    """
    carried = spoken is not None and spoken.continues >= 0.5
    row = feature_row(carried_view(view) if carried else view)
    return {
        "schema": SCHEMA,
        "structure": row.structure.round(6).tolist(),
        "indices": row.indices.tolist(),
        "values": row.values.round(4).tolist(),
        "carried": carried,
        "second": [round(z, 4) for z in spoken.second] if spoken is not None and spoken.second is not None else None,
        "language": language,
    }


def kept_row(kept: Mapping[str, Any] | None) -> KeptRow | None:
    """Features read back; None where none were kept, or what was kept is no row of features."""
    if not kept:
        return None
    try:
        second = kept.get("second")
        row = FeatureRow(
            np.asarray(kept["structure"], dtype=np.float64),
            np.asarray(kept["indices"], dtype=np.int64),
            np.asarray(kept["values"], dtype=np.float64),
        )
        schema = int(kept["schema"])
        odds = None if second is None else (float(second[0]), float(second[1]), float(second[2]))
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return KeptRow(schema, row, bool(kept.get("carried")), odds, str(kept.get("language") or ""))
