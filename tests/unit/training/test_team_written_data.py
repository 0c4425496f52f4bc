"""The committed data are what their card says."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from classifier.record import LabelledRequest, read_requests, read_rows
from classifier.tiers import TIERS
from training.dataset import FROZEN_FILE, data_path, load_frozen
from training.leak import LIMIT, grams, jaccard

TRAIN = "requests.jsonl.gz"
NATURAL = "natural.jsonl.gz"


@pytest.fixture(scope="module")
def train() -> list[LabelledRequest]:
    """The training part."""
    return read_requests(data_path() / TRAIN)


@pytest.fixture(scope="module")
def frozen() -> list[LabelledRequest]:
    """The frozen part."""
    return load_frozen()


def card() -> str:
    """Text of the data card."""
    return (data_path() / "README.md").read_text(encoding="utf-8")


def kappa(pairs: Counter[tuple[str, str]]) -> float:
    """Cohen's kappa of pairs of labels."""
    names = [t.value for t in TIERS]
    table = np.array([[pairs[a, b] for b in names] for a in names], dtype=float)
    total = table.sum()
    observed, expected = np.trace(table) / total, table.sum(axis=0) @ table.sum(axis=1) / total**2
    return float((observed - expected) / (1 - expected))


def test_there_are_six_thousand_rows_in_fifteen_languages(
    train: list[LabelledRequest], frozen: list[LabelledRequest]
) -> None:
    """Each of fourteen languages beside English has at least 150 rows, and ids are unique."""
    rows = train + frozen

    languages = Counter(r.lang for r in rows)

    assert len(rows) >= 6_000
    assert len({r.id for r in rows}) == len(rows)
    assert sum(count >= 150 for language, count in languages.items() if language != "en") >= 14


def test_the_card_names_the_counts(train: list[LabelledRequest], frozen: list[LabelledRequest]) -> None:
    """Rows of both parts, all rows and kappa stand in the card as they are."""
    both = [tuple(label.rstrip("?") for label in r.labels) for r in train + frozen]

    text = card()

    assert f"{len(train) + len(frozen):,} requests" in text
    assert f"| `{TRAIN}` | {len(train):,} |" in text
    assert f"| `{FROZEN_FILE}` | {len(frozen):,} |" in text
    found = re.search(r"kappa (\.\d+)\.", text)
    assert found is not None
    assert kappa(Counter(both)) == pytest.approx(float(found[1]), abs=0.0006)


def test_the_card_names_the_natural_requests() -> None:
    """Their count and kappa stand in the card, and none of them has an id of the other parts."""
    rows = read_requests(data_path() / NATURAL)
    both = Counter(tuple(label.rstrip("?") for label in r.labels) for r in rows)

    text = card()

    assert f"| `{NATURAL}` | {len(rows):,} |" in text
    found = re.search(rf"{len(rows):,} rows \(Cohen's kappa\s(\.\d+)\)", text)
    assert found is not None
    assert kappa(both) == pytest.approx(float(found[1]), abs=0.0006)
    assert not {r.id for r in rows} & {r.id for r in read_requests(data_path() / TRAIN)}


def test_every_row_is_labelled_twice_and_disagreements_are_noted() -> None:
    """Two labels each; where they differ the row says how it was settled."""
    for name in (TRAIN, NATURAL, FROZEN_FILE):
        for row in read_rows(data_path() / name):
            first, second = (label.rstrip("?") for label in row["labels"])

            assert first == second or row["note"]
            assert row["tier"] in (first, second) or row["note"]


def test_no_block_is_in_both_parts(train: list[LabelledRequest], frozen: list[LabelledRequest]) -> None:
    """Topics and near groups of the frozen part are not in the training part."""
    assert all(r.block for r in train + frozen)
    assert not {r.block for r in train} & {r.block for r in frozen}
    assert not {r.near for r in train if r.near} & {r.near for r in frozen if r.near}


def test_no_frozen_row_has_a_near_neighbour_in_training(
    train: list[LabelledRequest], frozen: list[LabelledRequest]
) -> None:
    """Sampled: the Jaccard similarity of character 5-grams stays at or below the limit."""
    sample = [grams(r.text) for r in frozen[::12]]
    others = [grams(r.text) for r in train[::3]]

    highest = max(jaccard(a, b) for a in sample for b in others if min(len(a), len(b)) > LIMIT * max(len(a), len(b)))

    assert highest <= LIMIT


def test_the_supplement_trains_and_is_not_measured_on(frozen: list[LabelledRequest]) -> None:
    """Rows with one label stand apart, under ids of their own, and share no near group with the frozen part."""
    supplement = read_requests(data_path() / "supplement.jsonl.gz")

    assert f"| `supplement.jsonl.gz` | {len(supplement):,} |" in card()
    assert all(len(r.labels) == 1 and r.id.startswith("su-") for r in supplement)
    assert not {r.near for r in supplement if r.near} & {r.near for r in frozen if r.near}
