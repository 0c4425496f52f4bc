"""Labels from the log, as many as fit into a memory that does not grow with the log.

A sample weighted by the labels' own weights is kept (Efraimidis and Spirakis 2006, "Weighted random sampling with a
reservoir"), drawn by a hash of the decision, so that the same log and seed give the same rows.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifier.features import HASHED_SIZE, SCHEMA
from classifier.prompt import PromptView
from classifier.structure import STRUCTURE_NAMES
from classifier.tiers import TIERS, tier_index
from training.logged_labels import LoggedLabel
from training.older_schema import OlderRows, OldScorers, OldWord

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
T = TypeVar("T")
MOST = 6_000
"""Labels that a fit sees at most: some 70 MB. Beyond that a sample says the same as all of them."""


@dataclass(slots=True)
class Counts:
    """What was met in the log.

    Attributes:
        read: Labels read.
        used: Labels that shape the weights.
        sampled_out: Labels beyond `MOST`.
        unusable: Labels that cannot be used, by why.
        older: Labels of older feature schemas that tune calibration and join, by the scorer that speaks for them.
        by_source: Number of usable labels by source.
        by_tier: The same by tier.
        by_caller: The same by caller.
        weights: Their weight by source.
        until_s: When the newest of them was said (Unix seconds), 0 without any.
        sha256: Of every usable label, in the order of the log: same labels, same digest.
    """

    read: int = 0
    used: int = 0
    sampled_out: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    older: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    by_tier: Counter[str] = field(default_factory=Counter)
    by_caller: Counter[str] = field(default_factory=Counter)
    weights: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    until_s: float = 0.0
    sha256: str = ""

    def public(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "read": self.read,
            "used": self.used,
            "sampled_out": self.sampled_out,
            "unusable": dict(sorted(self.unusable.items())),
            "older": dict(sorted(self.older.items())),
            "by_source": dict(sorted(self.by_source.items())),
            "weight_by_source": {name: round(w, 3) for name, w in sorted(self.weights.items())},
            "by_tier": {t.value: self.by_tier[t.value] for t in TIERS},
            "by_caller": dict(self.by_caller.most_common(50)),
            "until_s": self.until_s,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class Gathered:
    """Labels as arrays, n rows.

    Attributes:
        structure: (n, s) unscaled.
        hashed: (n, HASHED_SIZE) sparse, float32.
        labels: (n,) tier positions.
        weights: (n,).
        second: (n, 3) log-odds of the second stage; rows of NaN where it was not asked.
        callers: (n,) who said the label.
        clusters: (n,) numbers; rows with one number are one conversation of one caller, or the same request again.
        said_s: (n,) when it was said, Unix seconds.
        counts: What was met on the way.
        older: Labels of older schemas, through the scorers of their time.
        views: (n,) what the second stage and an embedding read of the stored text, None where there is none.
        heard: (n, 3) log-odds of an embedding's head that spoke at the time; rows of NaN where none did.
        heads: (n,) which head that was, "" where none spoke.
    """

    structure: Floats
    hashed: csr_matrix
    labels: NDArray[np.intp]
    weights: Floats
    second: Floats
    callers: NDArray[Any]
    clusters: NDArray[np.intp]
    said_s: Floats
    counts: Counts
    older: OlderRows
    views: tuple[PromptView | None, ...]
    heard: Floats
    heads: NDArray[Any]


@dataclass(slots=True)
class _Sample(Generic[T]):
    """At most `most` rows of a stream."""

    seed: int
    most: int
    kept: list[tuple[float, int, LoggedLabel, T]] = field(default_factory=list)

    def add(self, number: int, one: LoggedLabel, beside: T) -> bool:
        """Take a row in, or leave one out: False."""
        entry = (_priority(one, self.seed), -number, one, beside)
        if len(self.kept) < self.most:
            heapq.heappush(self.kept, entry)
            return True
        heapq.heappushpop(self.kept, entry)
        return False

    def rows(self) -> list[tuple[LoggedLabel, T]]:
        """In the order of the stream."""
        return [(one, beside) for _, _, one, beside in sorted(self.kept, key=lambda entry: -entry[1])]


def gather(
    labels: Iterable[LoggedLabel], *, after_s: float | None = None, seed: int = 0, most: int = MOST,
    scorers: OldScorers | None = None,
) -> Gathered:  # fmt: skip
    """Read all labels, keep at most `most`.

    Args:
        labels: From the log; read once, one after the other.
        after_s: Only what was said later than this; None: all.
        seed: Of the sample.
        most: Rows that are kept, of today's schema and of older ones.
        scorers: Speak for rows of older schemas; None: only what was said then does.

    Returns:
        The rows in the order of the log.
    """
    counts, digest = Counts(), hashlib.sha256()
    scorers = scorers or OldScorers(None)
    kept, older = _Sample[None](seed, most), _Sample[OldWord](seed, most)
    for number, one in enumerate(labels):
        if after_s is not None and one.labelled_s <= after_s:
            continue
        counts.read += 1
        why, word = unusable(one), scorers.word(one)
        if why and word is None:
            counts.unusable[why] += 1
            continue
        counts.until_s = max(counts.until_s, float(one.labelled_s))
        digest.update(f"{one.decision_id} {one.tier.value} {one.source} {one.weight:.6f}\n".encode())
        if word is not None:
            counts.older[f"feature schema {one.feature_schema}, {word.through}"] += 1
            older.add(number, one, word)
            continue
        _count(counts, one)
        counts.sampled_out += not kept.add(number, one, None)
    counts.used, counts.sha256 = len(kept.kept), digest.hexdigest()
    return arrays_of([one for one, _ in kept.rows()], counts, older.rows())


def unusable(label: LoggedLabel) -> str:
    """Why a label's features cannot be used, "" if they can."""
    if label.feature_schema != SCHEMA:
        return f"feature schema {label.feature_schema}, not {SCHEMA}"
    if label.structure.shape != (len(STRUCTURE_NAMES),) or label.indices.shape != label.values.shape:
        return "damaged features"
    if not (np.isfinite(label.structure).all() and np.isfinite(label.values).all()):
        return "damaged features"
    if label.indices.size and (label.indices.min() < 0 or label.indices.max() >= HASHED_SIZE):
        return "damaged features"
    return "" if label.weight > 0 and math.isfinite(label.weight) else "no weight"


def _count(counts: Counts, one: LoggedLabel) -> None:
    counts.by_source[one.source] += 1
    counts.by_tier[one.tier.value] += 1
    counts.by_caller[one.labelled_by] += 1
    counts.weights[one.source] += one.weight


def _priority(one: LoggedLabel, seed: int) -> float:
    """Log of u ** (1 / weight); u is uniform, from a hash."""
    digest = hashlib.sha256(f"{seed}/{one.decision_id}".encode()).digest()
    u = (int.from_bytes(digest[:8], "big") + 1) / 2**64
    return math.log(u) / one.weight


def arrays_of(rows: list[LoggedLabel], counts: Counts, older: Sequence[tuple[LoggedLabel, OldWord]] = ()) -> Gathered:
    """Labels as arrays."""
    from scipy.sparse import csr_matrix

    pointer = np.concatenate(([0], np.cumsum([r.indices.size for r in rows], dtype=np.int64)))
    indices = np.concatenate([r.indices.astype(np.int32) for r in rows]) if rows else np.empty(0, np.int32)
    values = np.concatenate([r.values.astype(np.float32) for r in rows]) if rows else np.empty(0, np.float32)
    nothing = (math.nan, math.nan, math.nan)
    return Gathered(
        np.array([r.structure for r in rows]).reshape(len(rows), len(STRUCTURE_NAMES)),
        csr_matrix((values, indices, pointer), shape=(len(rows), HASHED_SIZE)),
        np.array([tier_index(r.tier) for r in rows], dtype=np.intp),
        np.array([r.weight for r in rows]),
        np.array([r.second_logodds or nothing for r in rows]).reshape(len(rows), 3),
        np.array([r.labelled_by for r in rows], dtype=str),
        clusters_of(rows),
        np.array([r.labelled_s for r in rows]),
        counts,
        OlderRows.of(older, rows),
        tuple(r.view for r in rows),
        np.array([r.embedding_logodds or nothing for r in rows]).reshape(len(rows), 3),
        np.array([r.embedding_head for r in rows], dtype=str),
    )


def clusters_of(rows: list[LoggedLabel]) -> NDArray[np.intp]:
    """(n,) numbers of what must be held out together: a conversation of a caller, and equal requests."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first: dict[str, int] = {}
    ends: list[int] = []
    for number, row in enumerate(rows):
        content = hashlib.sha256(row.indices.tobytes() + row.structure.round(3).tobytes()).hexdigest()
        for key in (f"c/{row.caller}/{row.conversation}", f"r/{content}"):
            ends.append(first.setdefault(key, number))
    starts = np.repeat(np.arange(len(rows)), 2)
    graph = coo_matrix((np.ones(len(ends)), (starts, ends)), shape=(len(rows), len(rows)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)
