"""The committed data are what their card says."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import numpy as np
import pytest

from classifier.record import LabelledRequest, read_requests, read_rows
from classifier.tiers import TIERS
from training.dataset import BASE_FILES, EXAMPLES_FILE, FROZEN_FILE, data_path, load_frozen
from training.public_labels import LABELS_FILE
from training.scores import SCORES_FILE, request_hash

TRAIN = "requests.jsonl.gz"
NATURAL = "natural.jsonl.gz"
FORMS = "forms.jsonl.gz"
HASHED = (*BASE_FILES, FROZEN_FILE, SCORES_FILE, LABELS_FILE, EXAMPLES_FILE)
"""Files that train or measure."""
LANGUAGES = {
    "de": "German", "es": "Spanish", "zh": "Chinese", "fr": "French", "ru": "Russian", "ja": "Japanese",
    "pt": "Portuguese", "ko": "Korean", "pl": "Polish", "tr": "Turkish", "it": "Italian", "ar": "Arabic",
    "nl": "Dutch", "hi": "Hindi", "uk": "Ukrainian",
}  # fmt: skip


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


@pytest.mark.parametrize("name", [NATURAL, FORMS])
def test_the_card_names_what_was_labelled_after_writing(name: str) -> None:
    """Count and kappa stand in the card, and no row has an id of the first part."""
    rows = read_requests(data_path() / name)
    both = Counter(tuple(label.rstrip("?") for label in r.labels) for r in rows)

    text = card()

    assert f"| `{name}` | {len(rows):,} |" in text
    found = re.search(rf"{len(rows):,} rows \(Cohen's kappa\s(\.\d+)\)", text)
    assert found is not None
    assert kappa(both) == pytest.approx(float(found[1]), abs=0.0006)
    assert not {r.id for r in rows} & {r.id for r in read_requests(data_path() / TRAIN)}


def test_a_form_holds_more_than_one_tier() -> None:
    """Else the form would give the tier away; whole forms are held out together."""
    rows = read_requests(data_path() / FORMS)
    tiers = Counter((r.block, r.tier) for r in rows)

    forms = {r.block for r in rows}

    assert f"{len(forms)} **forms**" in card()
    assert all(sum(tiers[form, tier] >= 5 for tier in TIERS) == 3 for form in forms)


def test_every_row_is_labelled_twice_and_disagreements_are_noted() -> None:
    """Two labels each; where they differ the row says how it was settled."""
    for name in (TRAIN, NATURAL, FORMS, FROZEN_FILE):
        for row in read_rows(data_path() / name):
            first, second = (label.rstrip("?") for label in row["labels"])

            assert first == second or row["note"]
            assert row["tier"] in (first, second) or row["note"]


def test_no_block_is_in_both_parts(train: list[LabelledRequest], frozen: list[LabelledRequest]) -> None:
    """Topics and near groups of the frozen part are not in the training part."""
    assert all(r.block for r in train + frozen)
    assert not {r.block for r in train} & {r.block for r in frozen}
    assert not {r.near for r in train if r.near} & {r.near for r in frozen if r.near}


def test_the_supplement_trains_and_is_not_measured_on(frozen: list[LabelledRequest]) -> None:
    """Rows with one label stand apart, under ids of their own, and share no near group with the frozen part."""
    supplement = read_requests(data_path() / "supplement.jsonl.gz")

    assert f"| `supplement.jsonl.gz` | {len(supplement):,} |" in card()
    assert all(len(r.labels) == 1 and r.id.startswith("su-") for r in supplement)
    assert not {r.near for r in supplement if r.near} & {r.near for r in frozen if r.near}


def test_the_card_names_the_hash_and_rows_of_every_file_that_trains_or_measures() -> None:
    """Whoever has other bytes has other data: the table of hashes is true and holds each file once."""
    text = card()

    kept = dict(re.findall(r"^\| `([\w.]+)` \| `([0-9a-f]{64})` \|$", text, re.M))

    assert kept == {n: hashlib.sha256((data_path() / n).read_bytes()).hexdigest() for n in HASHED}
    for name in HASHED:
        assert f"| `{name}` | {sum(1 for _ in read_rows(data_path() / name)):,} |" in text


def test_the_card_counts_languages_and_tiers_of_all_parts() -> None:
    """What is in it: everything that we wrote, the frozen part too."""
    rows = [r for name in (*BASE_FILES, FROZEN_FILE) for r in read_requests(data_path() / name)]
    languages, tiers = Counter(r.lang for r in rows), Counter(r.tier.value for r in rows)

    found = " ".join(card().split("## What is in it")[1].split("\n## ")[0].split())

    assert f"All {len(rows):,} rows" in found
    assert f"English {languages.pop('en'):,}" in found
    assert set(languages) == set(LANGUAGES)
    assert all(f"{name} {languages[code]}" in found for code, name in LANGUAGES.items())
    assert all(f"{tier} {number:,}" in found.lower() for tier, number in tiers.items())
    assert f"{sum(not isinstance(r.request, str) for r in rows):,} are conversations" in found


def test_no_frozen_row_has_a_score(frozen: list[LabelledRequest]) -> None:
    """What measures was not shown to those who scored."""
    scored = {row["request"] for row in read_rows(data_path() / SCORES_FILE)}

    assert not scored & {request_hash(r.request) for r in frozen}
