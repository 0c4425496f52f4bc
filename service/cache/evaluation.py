"""What the guard does on the pairs of ``data/cache_pairs.jsonl.gz``, beside an embedding alone.

What may set a value and what only measures: thresholds come from the languages and kinds in `TUNED` and paraphrases
from 051 on; paraphrases 001 to 050 tell whether the embedding knows the language; everything else only measures. The
guard's own constants were set on the same part.

Negatives are near misses (one word apart) and *neighbours*: each ask with its nearest other asks of the same language.
The second matter more in a cache: it is always the nearest ask that is looked at.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.cache.evidence import Evidence, threshold, upper_bound
from service.cache.guard import Difference, Marks, difference, marks_of

TUNED_KINDS = frozenset({"number", "negation", "name", "quoted", "path", "comparison", "output"})
SET_ASIDE = 50
NEAREST = 5
GRID = tuple(round(0.40 + step / 100, 2) for step in range(60))
LITELLM_THRESHOLDS = (0.8, 0.95)
"""The rule of litellm's semantic cache: the nearest prompt by cosine, from ``similarity_threshold`` on (0.8 in its
documentation's example). It needs a Redis with the search module, which no package brings; its decision, in
``litellm/caching/redis_semantic_cache.py``, is this one comparison, whatever roles and images the prompts have."""

Floats = NDArray[np.float32]
Embed = Callable[[list[str]], Floats]


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of the data."""

    id: str
    lang: str
    kind: str
    a: str
    b: str
    same: bool

    @property
    def number(self) -> int:
        """Place among its kind of its language."""
        return int(self.id.rsplit("-", 1)[1])

    @property
    def sets(self) -> bool:
        """Whether it may set a value."""
        return self.number > SET_ASIDE if self.same else self.kind in TUNED_KINDS


@dataclass(frozen=True, slots=True)
class Row:
    """One language of the table. Rates are of all its pairs but those set aside.

    Attributes:
        threshold: Cosine from the evidence, or None: off.
        near_served: Near misses served; ``held_out`` of them of kinds that set nothing.
        near_bound: Upper bound of their rate.
        same_served: Share of paraphrases served.
        neighbours_served: Asks for which a nearest other ask was served.
        plain: The embedding alone at its best threshold: (cosine, paraphrases, near misses) with the near misses' bound
            at 2 % on the tuning part, or None where there is none.
        litellm: The rule of litellm's semantic cache at each of its thresholds: (cosine, paraphrases, near misses,
            asks for which the nearest other ask is served).
    """

    language: str
    evidence: Evidence
    threshold: float | None
    near: int
    near_served: int
    held_out_served: int
    near_bound: float
    same_served: float
    neighbours: int
    neighbours_served: int
    plain: tuple[float, float, float] | None
    litellm: tuple[tuple[float, float, float, float], ...]


def pairs(path: Path | None = None) -> list[Pair]:
    """The pairs, by default those of the checkout or of the package."""
    if path is None:
        name, root = "cache_pairs.jsonl.gz", Path(__file__).resolve().parents[2]
        path = next(p for p in (root / "data" / name, root / "training" / "_data" / name) if p.is_file())
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [Pair(**json.loads(line)) for line in lines]


def measure(rows: Iterable[Pair], embed: Embed, error: float) -> list[Row]:
    """The table, one row per language. Embeds every text of ``rows`` once."""
    by_language: dict[str, list[Pair]] = {}
    for row in rows:
        by_language.setdefault(row.lang, []).append(row)
    return [_row(language, _Seen(found, embed), error) for language, found in sorted(by_language.items())]


class _Seen:
    """Vectors, marks and cosines of one language's pairs."""

    def __init__(self, rows: Sequence[Pair], embed: Embed) -> None:
        self.rows = rows
        texts = [row.a for row in rows] + [row.b for row in rows]
        self.vectors = np.concatenate([embed(texts[i : i + 32]) for i in range(0, len(texts), 32)])
        self.marks = [marks_of(text, rows[0].lang) for text in texts]
        n = len(rows)
        self.cosines = (self.vectors[:n] * self.vectors[n:]).sum(axis=1)
        self.passes = [difference(*self.of(i)) is Difference.NONE for i in range(n)]

    def of(self, i: int) -> tuple[Marks, Marks]:
        return self.marks[i], self.marks[i + len(self.rows)]

    def auc(self) -> float:
        """Paraphrases set aside against the same asks paired at random."""
        chosen = [i for i, row in enumerate(self.rows) if row.same and row.number <= SET_ASIDE]
        n = len(self.rows)
        related = self.cosines[chosen]
        other = [self.vectors[i] @ self.vectors[n + chosen[(k + 7) % len(chosen)]] for k, i in enumerate(chosen)]
        difference_ = related[:, None] - np.array(other)[None, :]
        return float((difference_ > 0).mean() + 0.5 * (difference_ == 0).mean())

    def nearest_served(self, cosine: float) -> float:
        """Share of asks whose nearest other ask is at least so near, without any guard."""
        n = len(self.rows)
        own = np.arange(2 * n) % n
        cosines = self.vectors @ self.vectors.T
        cosines[own[:, None] == own[None, :]] = -1.0
        return float((cosines.max(axis=1) >= cosine).mean())

    def neighbours(self, chosen: Sequence[int]) -> Floats:
        """Per text of the chosen pairs: the best cosine among its nearest other asks that pass the guard, or -1."""
        n = len(self.rows)
        texts = [*chosen, *(i + n for i in chosen)]
        own = np.array([i % n for i in texts])
        cosines = self.vectors[texts] @ self.vectors[texts].T
        cosines[own[:, None] == own[None, :]] = -1.0
        best = np.full(len(texts), -1.0, dtype=np.float32)
        for k in range(len(texts)):
            for j in np.argsort(-cosines[k])[:NEAREST]:
                if difference(self.marks[texts[k]], self.marks[texts[int(j)]]) is Difference.NONE:
                    best[k] = max(best[k], cosines[k, j])
        return best


def _row(language: str, seen: _Seen, error: float) -> Row:
    rows = seen.rows
    sets = [i for i, row in enumerate(rows) if row.sets]
    same = [i for i in sets if rows[i].same]
    near = [i for i in sets if not rows[i].same]
    beside = seen.neighbours(sets)

    def served(chosen: Iterable[int], cosine: float) -> int:
        return sum(seen.passes[i] and bool(seen.cosines[i] >= cosine) for i in chosen)

    curve = tuple((c, served(near, c) + int((beside >= c).sum()), served(same, c)) for c in GRID)
    evidence = Evidence(seen.auc(), len(near) + len(beside), len(same), curve)
    cosine = threshold(evidence, error)
    at = 2.0 if cosine is None else cosine
    all_near = [i for i, row in enumerate(rows) if not row.same]
    all_same = [i for i, row in enumerate(rows) if row.same and row.number > SET_ASIDE]
    wrong = served(all_near, at)
    everybody = seen.neighbours(range(len(rows)))
    return Row(
        language=language,
        evidence=evidence,
        threshold=cosine,
        near=len(all_near),
        near_served=wrong,
        held_out_served=served((i for i in all_near if not rows[i].sets), at),
        near_bound=upper_bound(wrong, len(all_near)),
        same_served=served(all_same, at) / max(len(all_same), 1),
        neighbours=len(everybody),
        neighbours_served=int((everybody >= at).sum()),
        plain=_plain(seen, near, all_near, all_same),
        litellm=tuple((*_rates(seen, at, all_near, all_same), seen.nearest_served(at)) for at in LITELLM_THRESHOLDS),
    )


def _rates(seen: _Seen, cosine: float, near: Sequence[int], same: Sequence[int]) -> tuple[float, float, float]:
    return cosine, float((seen.cosines[same] >= cosine).mean()), float((seen.cosines[near] >= cosine).mean())


def _plain(
    seen: _Seen, tuning: Sequence[int], near: Sequence[int], same: Sequence[int]
) -> tuple[float, float, float] | None:
    for cosine in GRID:
        if (
            upper_bound(int((seen.cosines[tuning] >= cosine).sum()), len(tuning)) <= 0.0215
        ):  # 0 of 140: what it can show
            return _rates(seen, cosine, near, same)
    return None


def table(rows: Iterable[Row]) -> list[str]:
    """The table as Markdown."""
    lines = [
        "| language | AUC | semantic | near misses served (of kinds held out) | 95 % bound | paraphrases served "
        "| other asks served | embedding alone, best: paraphrases / near misses "
        + "".join(f"| litellm's rule at {at:g}: paraphrases / near misses / other asks " for at in LITELLM_THRESHOLDS)
        + "|",
        "| --- | --- | --- | --- | --- | --- | --- | --- |" + " --- |" * len(LITELLM_THRESHOLDS),
    ]
    for row in rows:
        state = "off" if row.threshold is None else f"on, cosine >= {row.threshold:.2f}"
        plain = "none" if row.plain is None else f"{row.plain[1]:.1%} / {row.plain[2]:.1%} at {row.plain[0]:.2f}"
        near = f"{row.near_served} of {row.near} ({row.held_out_served})"
        beside = f"{row.neighbours_served} of {row.neighbours}"
        litellm = [" / ".join(f"{rate:.1%}" for rate in rates[1:]) for rates in row.litellm]
        cells = (
            row.language, f"{row.evidence.auc:.3f}", state, near, f"{row.near_bound:.2%}", f"{row.same_served:.1%}",
            beside, plain, *litellm,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines
