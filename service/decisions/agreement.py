"""How often a conclusion said what somebody said as well: the evidence for its weight in training.

Only decisions with a named tier count. "Solved" and stars are weak labels themselves. Nobody picks what to comment on
by dice: people speak where something went wrong, so a source that confirms tiers looks worse here than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import sqrt
from typing import Any

_Z = 1.959964
"""Of a 95 % interval."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference").

    Args:
        hits: Out of `of`.
        of: At least 1.
    """
    share, square = hits / of, _Z * _Z
    centre = share + square / (2 * of)
    reach = _Z * sqrt(share * (1 - share) / of + square / (4 * of * of))
    whole = 1 + square / of
    return max(0.0, (centre - reach) / whole), min(1.0, (centre + reach) / whole)


class Agreement:
    """Counts conclusions beside what somebody said about the same decisions."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._seen: Counter[str] = Counter()
        self._same: Counter[str] = Counter()

    def add(self, checked: Iterable[tuple[str, bool]]) -> None:
        """What `resolving.Resolved.checked` has of one decision."""
        for source, same in checked:
            self._seen[source] += 1
            self._same[source] += same

    def public(self) -> dict[str, dict[str, Any]]:
        """By source: `decisions` with both, `agree`, their `share`, its 95 % `interval`."""
        return {
            source: {
                "decisions": number,
                "agree": self._same[source],
                "share": round(self._same[source] / number, 3),
                "interval": [round(end, 3) for end in wilson(self._same[source], number)],
            }
            for source, number in sorted(self._seen.items())
        }
