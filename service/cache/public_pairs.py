"""Public paraphrase pairs, read through Hugging Face ``datasets``: a second opinion on guard and threshold.

Public sets (PAWS, Quora's question pairs, STS) have two columns of sentences and a label. They set no value; they are
measured at the threshold that the evidence gives, beside the rule of litellm's semantic cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.cache.evaluation import LITELLM_THRESHOLDS, Embed, Pair
from service.cache.evidence import upper_bound
from service.cache.guard import Difference, difference, marks_of


class PublicSetError(Exception):
    """`datasets` is not installed, the set cannot be read, or a column is not there."""


def read_public(
    name: str,
    *,
    language: str,
    columns: tuple[str, str, str],
    split: str = "test",
    config: str | None = None,
    limit: int = 1_000,
) -> list[Pair]:
    """The first rows of a set.

    Args:
        name: On the hub, or a local folder that ``datasets`` reads.
        language: Of its sentences.
        columns: Names of the two sentences' columns and of the label's; a label of 1 or true means the same.
        split: Which split.
        config: Configuration of the set, if it has several.
        limit: Most rows.

    Raises:
        PublicSetError: It cannot be read.
    """
    try:
        import datasets
    except ImportError as error:
        raise PublicSetError("public sets need `datasets`: pip install 'autotier[training]'") from error
    try:
        table: Iterable[Mapping[str, Any]] = datasets.load_dataset(name, config, split=f"{split}[:{limit}]")
    except (OSError, ValueError) as error:  # no such set, split or configuration; no network
        raise PublicSetError(f"{name}: {str(error)[:300]}") from error
    found = []
    for number, row in enumerate(table):
        if missing := [column for column in columns if column not in row]:
            raise PublicSetError(f"{name}: no column {missing[0]!r}; it has {', '.join(row)}")
        a, b, label = (row[column] for column in columns)
        same = bool(int(label))
        found.append(Pair(f"public-{number:06d}", language, "public", str(a), str(b), same))
    return found


@dataclass(frozen=True, slots=True)
class PublicRow:
    """What of a public set is served, by guard and threshold together and by litellm's rule.

    Attributes:
        wrong: Different pairs that are served, of ``different``.
        right: Equal pairs that are served, of ``same``.
        litellm: Per threshold: (cosine, share of equal pairs, share of different pairs).
    """

    cosine: float
    different: int
    wrong: int
    same: int
    right: int
    litellm: tuple[tuple[float, float, float], ...]

    def shown(self) -> list[str]:
        """Lines for people."""
        bound = upper_bound(self.wrong, self.different) if self.different else 1.0
        lines = [
            f"at cosine {self.cosine:.2f} with the guard: {self.right} of {self.same} equal pairs served, "
            f"{self.wrong} of {self.different} different ones (95 % bound {bound:.2%})"
        ]
        for cosine, same, different in self.litellm:
            lines.append(f"litellm's rule at {cosine:g}: {same:.1%} of equal pairs, {different:.1%} of different ones")
        return lines


def measure_public(rows: Sequence[Pair], embed: Embed, cosine: float) -> PublicRow:
    """What of the pairs would be served at a cosine."""
    texts = [row.a for row in rows] + [row.b for row in rows]
    vectors = np.concatenate([embed(texts[i : i + 32]) for i in range(0, len(texts), 32)])
    cosines = (vectors[: len(rows)] * vectors[len(rows) :]).sum(axis=1)
    same = np.array([row.same for row in rows])
    passes = np.array(
        [difference(marks_of(r.a, r.lang), marks_of(r.b, r.lang)) is Difference.NONE for r in rows], dtype=bool
    )
    served = passes & (cosines >= cosine)

    def share(chosen: Any) -> float:
        return float(chosen.mean()) if len(chosen) else 0.0

    return PublicRow(
        cosine=cosine,
        different=int((~same).sum()),
        wrong=int((served & ~same).sum()),
        same=int(same.sum()),
        right=int((served & same).sum()),
        litellm=tuple((at, share(cosines[same] >= at), share(cosines[~same] >= at)) for at in LITELLM_THRESHOLDS),
    )
