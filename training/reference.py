"""What the training data looks like, in counts: with it a service can say when its traffic does not look like that.

Each characteristic is a histogram; live traffic is compared with it by the population stability index, the sum over
bins of (p - q) * ln(p / q) (Siddiqi 2006, "Credit Risk Scorecards": above 0.2 a population has shifted). With few
requests the index is high by chance: without drift, (1 / n + 1 / m)^-1 times it is chi-squared with bins - 1 degrees of
freedom (Yurdakul 2018, "Statistical Properties of Population Stability Index"), so both bounds have to be crossed.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.conversation import carried_view, continuation
from classifier.features import BLOCK_STARTS, SCHEMA, FeatureRow, feature_row
from classifier.prompt import view_of
from classifier.record import LabelledRequest
from classifier.structure import DESCRIPTIONS, STRUCTURE_NAMES
from classifier.tiers import TIERS

KEY = "reference"
"""Of the artifact's metadata."""

GROUPS = ("length", "structure", "language", "words", "tiers")
SHIFTED = 0.2
ERROR = 0.01
"""Chance that any characteristic crosses its second bound without drift (Bonferroni over all of them)."""

BINS = 10
WORD_BITS = 12
_FOLD = 16 - WORD_BITS
_WORDS = 1 << WORD_BITS
_QUANTUM = 8.0
"""Steps of a stored word count for each doubling."""

_LENGTHS = ("ask_log_chars", "pasted_log_chars", "ask_sentences", "turns")
_FLAGS = (
    "ask_question_end", "ask_list_items", "ask_options", "ask_identifiers", "ask_formula", "code_block", "diff",
    "trace", "table", "json", "markup", "urls", "history", "tool_loop", "tools", "images", "schema", "system",
    "enveloped",
)  # fmt: skip
_SCRIPTS = ("script_latin", "script_cyrillic", "script_cjk", "script_arabic", "script_indic")
_AT = {name: place for place, name in enumerate(STRUCTURE_NAMES)}
_SCRIPT = "script"
_LANGUAGE = "language"
_FAMILIAR = "familiar words"
_TIER = "predicted tier"
_OTHER = "other"
LEAST_SHARE = 0.005
"""Languages below it are counted together."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of one characteristic in the training data.

    Attributes:
        group: One of `GROUPS`.
        shares: (b,) shares, which sum to 1.
        edges: (b - 1,) bounds between the bins of a number; empty for named bins.
        names: (b,) names of bins; empty for a number.
    """

    group: str
    shares: tuple[float, ...]
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def bin_of(self, value: float | str) -> int | None:
        """The bin of a value; None for a name that there is no bin for."""
        if isinstance(value, str):
            named = value if value in self.names else _OTHER
            return self.names.index(named) if named in self.names else None
        return int(np.searchsorted(self.edges, value, side="right"))


@dataclass(frozen=True, slots=True)
class Shift:
    """How far live traffic is from the training data in one characteristic.

    Attributes:
        characteristic: Its name, in words.
        group: One of `GROUPS`.
        index: Population stability index.
        bound: Above it, it has drifted.
        live: Requests that were counted.
    """

    characteristic: str
    group: str
    index: float
    bound: float
    live: int

    @property
    def drifted(self) -> bool:
        """Whether it has."""
        return self.index > self.bound


class Reference:
    """The histograms of an artifact's training data.

    Args:
        rows: How many rows they were made from.
        histograms: By characteristic.
        words: (4096,) counts of hashed words, folded.
    """

    def __init__(self, rows: int, histograms: Mapping[str, Histogram], words: Floats) -> None:
        self.rows = rows
        self.histograms = histograms
        self._familiarity = _familiarities(words)

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Reference | None:
        """The reference in an artifact's metadata; None where it has none, or one of other features."""
        stored = metadata.get(KEY)
        if not isinstance(stored, Mapping) or stored.get("schema") != SCHEMA:
            return None
        histograms = {
            str(name): Histogram(one["group"], tuple(one["shares"]), tuple(one["edges"]), tuple(one["names"]))
            for name, one in stored["histograms"].items()
        }
        levels = np.frombuffer(base64.b64decode(stored["words"]), dtype=np.uint8).astype(np.float64)
        return cls(int(stored["rows"]), histograms, 2.0 ** (levels / _QUANTUM) - 1.0)

    def tally(self) -> Tally:
        """Counts for live traffic, all zero."""
        return Tally(self)

    def values(self, row: FeatureRow, language: str, probabilities: Sequence[float] | None) -> dict[str, float | str]:
        """The characteristics of one request; what is not known is left out."""
        return _values(row, language, probabilities, self._familiarity)


class Tally:
    """Counts of live traffic beside a reference.

    Args:
        reference: What it is compared with.

    Attributes:
        requests: How many were added.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._counts = {name: np.zeros(len(one.shares)) for name, one in reference.histograms.items()}
        self.requests = 0

    def add(self, row: FeatureRow, language: str, probabilities: Sequence[float] | None) -> None:
        """Counts one request.

        Args:
            row: Its features, of the reference's schema.
            language: Two-letter code, "" where it is not clear.
            probabilities: Of the tiers, in their order; None where nothing was classified.
        """
        self.requests += 1
        for name, value in self._reference.values(row, language, probabilities).items():
            histogram = self._reference.histograms.get(name)
            place = histogram.bin_of(value) if histogram is not None else None
            if place is not None:
                self._counts[name][place] += 1

    def shifts(self) -> list[Shift]:
        """All characteristics, the furthest first."""
        found = []
        for name, histogram in self._reference.histograms.items():
            live = self._counts[name]
            if not live.sum():
                continue
            expected = np.array(histogram.shares) * self._reference.rows
            index, bound = stability(expected, live, comparisons=len(self._counts))
            found.append(Shift(name, histogram.group, index, bound, int(live.sum())))
        return sorted(found, key=lambda one: one.bound - one.index)


def stability(expected: Floats, live: Floats, *, comparisons: int) -> tuple[float, float]:
    """Population stability index of two histograms, and the bound above which it is drift.

    Args:
        expected: (b,) counts of the training data.
        live: (b,) counts of live traffic.
        comparisons: Characteristics that are looked at together.
    """
    bins = expected.size
    # Half a count in every bin: an empty one would make the index infinite.
    p = (live + 0.5) / (live.sum() + 0.5 * bins)
    q = (expected + 0.5) / (expected.sum() + 0.5 * bins)
    index = float(((p - q) * np.log(p / q)).sum())
    by_chance = chi_squared_quantile(1 - ERROR / comparisons, bins - 1) * (1 / live.sum() + 1 / expected.sum())
    return index, max(SHIFTED, float(by_chance))


def chi_squared_quantile(level: float, degrees: int) -> float:
    """Quantile of the chi-squared distribution (Wilson and Hilferty 1931; within 2 % at the levels used here)."""
    z = NormalDist().inv_cdf(level)
    part = 2 / (9 * degrees)
    return degrees * max(0.0, 1 - part + z * math.sqrt(part)) ** 3


def reference_of(rows: Sequence[FeatureRow], languages: Sequence[str], probabilities: Floats) -> dict[str, Any]:
    """The reference of a training set, for the key `reference` of an artifact's metadata (some 10 KB of JSON).

    Args:
        rows: Features of the training rows, as they are served.
        languages: Their language codes, "" where it is not known.
        probabilities: (n, 3) of the trained model on them.

    Raises:
        ValueError: There are no rows, or the arguments differ in length.
    """
    if not rows or not len(rows) == len(languages) == len(probabilities):
        raise ValueError("a reference needs rows, and a language and three probabilities for each")
    words = np.zeros(_WORDS)
    for row in rows:
        np.add.at(words, _folded(row), 1.0)
    levels = np.minimum(np.round(_QUANTUM * np.log2(1.0 + words)), 255).astype(np.uint8)
    familiarity = _familiarities(2.0 ** (levels / _QUANTUM) - 1.0)
    seen: dict[str, list[float | str]] = {}
    for row, language, vector in zip(rows, languages, probabilities, strict=True):
        for name, value in _values(row, language, list(vector), familiarity).items():
            seen.setdefault(name, []).append(value)
    return {
        "schema": SCHEMA,
        "rows": len(rows),
        "histograms": {name: _histogram(name, values) for name, values in seen.items()},
        "words": base64.b64encode(levels.tobytes()).decode("ascii"),
    }


def reference_of_requests(
    requests: Sequence[LabelledRequest], follow_up: Floats, probabilities: Floats
) -> dict[str, Any]:
    """The same for labelled requests, with the features that serving gives them.

    Args:
        requests: The training rows.
        follow_up: Weights of the continuation gate.
        probabilities: (n, 3), best of models that had not seen the row's source.
    """
    rows = []
    for one in requests:
        view = view_of(one.request)
        rows.append(feature_row(carried_view(view) if continuation(view, follow_up) >= 0.5 else view))
    return reference_of(rows, [one.lang for one in requests], probabilities)


def _histogram(name: str, values: Sequence[float | str]) -> dict[str, Any]:
    group = _group(name)
    if isinstance(values[0], str):
        found, counts = np.unique(np.array(values), return_counts=True)
        common = {str(one): int(n) for one, n in zip(found, counts, strict=True) if n >= LEAST_SHARE * len(values)}
        fixed = [str(tier) for tier in TIERS] if name == _TIER else [*_SCRIPTS] if name == _SCRIPT else []
        names = [*dict.fromkeys([*fixed, *common]), _OTHER]
        total = {one: common.get(one, 0) for one in names}
        total[_OTHER] += len(values) - sum(total.values())
        return {"group": group, "names": names, "edges": [], "shares": [total[one] / len(values) for one in names]}
    numbers = np.array(values, dtype=np.float64)
    if name in {DESCRIPTIONS[one] for one in _FLAGS}:
        edges = np.array([0.5])
    else:
        edges = np.unique(np.round(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]), 4))
    counts = np.bincount(np.searchsorted(edges, numbers, side="right"), minlength=edges.size + 1)
    return {"group": group, "names": [], "edges": edges.tolist(), "shares": (counts / counts.sum()).tolist()}


def _group(name: str) -> str:
    groups = {_SCRIPT: "language", _LANGUAGE: "language", _FAMILIAR: "words", _TIER: "tiers"}
    lengths = {DESCRIPTIONS[one] for one in _LENGTHS}
    return groups.get(name, "length" if name in lengths else "structure")


def _values(
    row: FeatureRow, language: str, probabilities: Sequence[float] | None, familiarity: Floats
) -> dict[str, float | str]:
    structure = row.structure
    found: dict[str, float | str] = {DESCRIPTIONS[name]: float(structure[_AT[name]]) for name in _LENGTHS}
    found |= {DESCRIPTIONS[name]: float(structure[_AT[name]] > 0) for name in _FLAGS}
    scripts = [float(structure[_AT[name]]) for name in _SCRIPTS]
    found[_SCRIPT] = _SCRIPTS[scripts.index(max(scripts))] if max(scripts) > 0 else _OTHER
    if language:
        found[_LANGUAGE] = language
    folded = _folded(row)
    if folded.size:
        found[_FAMILIAR] = float(familiarity[folded].mean())
    if probabilities is not None:
        found[_TIER] = str(TIERS[int(np.argmax(probabilities))])
    return found


def _folded(row: FeatureRow) -> NDArray[np.int64]:
    """Columns of the ask's words and word pairs, folded into fewer."""
    folded: NDArray[np.int64] = row.indices[: int(np.searchsorted(row.indices, BLOCK_STARTS[1]))] >> _FOLD
    return folded


def _familiarities(words: Floats) -> Floats:
    """Log probability of each folded word in the training data, one count added to each."""
    result: Floats = np.log((words + 1.0) / (words.sum() + words.size))
    return result
