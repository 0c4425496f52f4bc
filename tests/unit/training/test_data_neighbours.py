"""No row of the frozen part was as good as trained on, and no template made many rows: every pair is looked at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from classifier.record import LabelledRequest, read_requests
from training.dataset import BASE_FILES, data_path, load_frozen
from training.leak import GRAM, LIMIT, grams, jaccard

MOST = 5
"""Rows that a template may make."""
COPY = 0.8
"""Jaccard similarity of character 5-grams above which one row is a near copy of another."""

_CLAUSES = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_CLAUSES}]{{1,2}}|[^\W{_CLAUSES}]+")
"""Chinese and Japanese have no blanks: two characters count as a word."""
_NUMBER = re.compile(r"\d+")
_EDGE = 300


@dataclass(frozen=True, slots=True)
class Grams:
    """Rows by their character 5-grams.

    Attributes:
        rows: The rows.
        by_row: (k,) sorted codes of each row's grams.
    """

    rows: Sequence[LabelledRequest]
    by_row: list[NDArray[np.uint64]]

    @property
    def sizes(self) -> NDArray[np.intp]:
        """(n,) grams of each row."""
        return np.array([codes.size for codes in self.by_row])


def codes_of(text: str) -> NDArray[np.uint64]:
    """The grams of `training.leak.grams`, each as 64 bits."""
    points = np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    points = np.concatenate((points + np.uint64(1), np.zeros(max(0, GRAM - points.size), np.uint64)))
    codes = np.zeros(points.size - GRAM + 1, np.uint64)
    for place in range(GRAM):
        codes = (codes + points[place : place + codes.size]) * np.uint64(0x9E3779B97F4A7C15)
        codes ^= codes >> np.uint64(29)
    return np.unique(codes)


def matrix_of(parts: Iterable[Grams]) -> list[csr_matrix]:
    """For each part (its rows, all grams), columns by how rare a gram is, the rarest first."""
    by_row = [codes for part in parts for codes in part.by_row]
    sizes = np.array([codes.size for codes in by_row])
    _, place, count = np.unique(np.concatenate(by_row), return_inverse=True, return_counts=True)
    rank = np.empty(count.size, np.intp)
    rank[np.argsort(count, kind="stable")] = np.arange(count.size)
    starts = np.concatenate(([0], sizes.cumsum()))
    whole = csr_matrix((np.ones(place.size, np.int32), rank[place], starts), shape=(sizes.size, count.size))
    whole.sort_indices()
    edges = np.cumsum([0, *(len(part.rows) for part in parts)])
    return [whole[a:b] for a, b in pairwise(edges)]


@pytest.fixture(scope="module")
def base() -> Grams:
    """Every row that trains."""
    rows = [row for name in BASE_FILES for row in read_requests(data_path() / name)]
    return Grams(rows, [codes_of(row.text) for row in rows])


@pytest.fixture(scope="module")
def card() -> str:
    """Text of the data card, in one line."""
    return " ".join((data_path() / "README.md").read_text(encoding="utf-8").split())


def test_codes_are_the_grams_of_the_leak_check(base: Grams) -> None:
    """As many, and as many shared, as sets of strings have."""
    texts = ["", "ab", "Résumé 東京タワー", *(row.text for row in base.rows[::800])]
    codes = [codes_of(text) for text in texts]

    for first, mine in zip(texts, codes, strict=True):
        assert mine.size == len(grams(first))
        for second, other in zip(texts, codes, strict=True):
            assert np.intersect1d(mine, other).size == len(grams(first) & grams(second))


def test_no_frozen_row_has_a_near_neighbour_in_training(base: Grams) -> None:
    """All of the frozen part beside all that trains: the Jaccard similarity of 5-grams is at most the limit."""
    frozen = Grams(rows := load_frozen(), [codes_of(row.text) for row in rows])
    own, other = matrix_of((frozen, base))

    common = (own @ other.T).tocoo()
    similarity = common.data / (frozen.sizes[common.row] + base.sizes[common.col] - common.data)

    nearest = int(similarity.argmax())
    one, two = frozen.rows[common.row[nearest]], base.rows[common.col[nearest]]
    assert similarity[nearest] == pytest.approx(jaccard(grams(one.text), grams(two.text)))
    assert similarity[nearest] <= LIMIT, f"{one.id} is a near neighbour of {two.id}"


def near_copies(base: Grams) -> list[tuple[int, int]]:
    """Pairs of rows above `COPY`.

    Two sets that share that much share a gram among the rarest fifth of each (prefix filter: Chaudhuri, Ganti, Kaushik
    2006, "A Primitive Operator for Similarity Joins in Data Cleaning"), so only those pairs are compared.
    """
    (whole,) = matrix_of((base,))
    sizes = base.sizes
    place = np.arange(whole.nnz) - np.repeat(whole.indptr[:-1], sizes)
    rare = csr_matrix((np.where(place <= (1 - COPY) * np.repeat(sizes, sizes), 1, 0), whole.indices, whole.indptr))
    rare.eliminate_zeros()
    pairs = (rare @ rare.T).tocoo()
    few = np.minimum(sizes[pairs.row], sizes[pairs.col]) >= COPY * np.maximum(sizes[pairs.row], sizes[pairs.col])
    chosen = few & (pairs.row < pairs.col)
    found = []
    for a, b in zip(pairs.row[chosen].tolist(), pairs.col[chosen].tolist(), strict=True):
        common = np.intersect1d(base.by_row[a], base.by_row[b], assume_unique=True).size
        if common > COPY * (sizes[a] + sizes[b] - common):
            found.append((a, b))
    return found


def test_near_copies_are_few(base: Grams, card: str) -> None:
    """Of one tier, chained, no more than a template may make; the card says how many hang together."""
    pairs = [(a, b) for a, b in near_copies(base) if base.rows[a].tier == base.rows[b].tier]
    first, second = np.array(pairs).T

    links = csr_matrix((np.ones(first.size), (first, second)), shape=(len(base.rows), len(base.rows)))
    groups = np.bincount(connected_components(links, directed=False)[1])

    assert groups.max() <= MOST
    assert f"near copies of one tier (Jaccard above .8, chained) are at most {groups.max()}" in card


def words_of(text: str) -> list[str]:
    """Words of a text, without case and the figures of numbers."""
    return _WORD.findall(_NUMBER.sub("0", text.casefold()))


def test_no_frame_of_words_holds_many_rows(base: Grams, card: str) -> None:
    """A template fills a slot: the same three words before and behind it, of one language and tier."""
    frames: Counter[tuple[object, ...]] = Counter()
    for row in base.rows:
        head, tail = words_of(row.text[:_EDGE]), words_of(row.text[-_EDGE:])
        if len(head) >= 6:
            frames[row.lang, row.tier, *head[:3], *tail[-3:]] += 1

    most = max(frames.values())

    assert most <= MOST
    assert f"three words at the beginning and three at the end stand in at most {most} rows" in card


def test_openings_of_more_rows_are_on_the_card(base: Grams, card: str) -> None:
    """People open alike, and so do these rows: each opening of five words in more than five of them is named."""
    openings = Counter(
        (row.lang, row.tier.value, " ".join(words[:5]))
        for row in base.rows
        if len(words := words_of(row.text[:_EDGE])) >= 5
    )

    shared = {opening: number for opening, number in openings.items() if number > MOST}

    assert f"{len(shared)} openings, {sum(shared.values())} of {len(base.rows):,} rows" in card
    for (lang, tier, opening), number in shared.items():
        assert f"| {opening} | {lang} | {tier} | {number} |" in card
