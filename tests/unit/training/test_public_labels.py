"""Labels of public prompts are only used with the very text that was labelled."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from classifier.record import read_rows, write_rows
from classifier.tiers import Tier
from training.dataset import data_path
from training.public_labels import LABELS_FILE, PROMPTS_FILE, WEIGHT, PublicLabelError, public_prompts

PROMPT = "Which of the two pumps empties the tank first?"


def digest(text: str) -> str:
    """As the labels hold it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """One torn label of one prompt."""
    path = tmp_path / LABELS_FILE
    write_rows(path, [{"id": "pumps-1", "source": "pumps", "sha256": digest(PROMPT), "label": "coding?"}])
    return path


def test_a_label_finds_its_prompt(tmp_path: Path, labels: Path) -> None:
    """The row has the prompt's text and source, the tier, the torn label, and the weight of one reading."""
    write_rows(tmp_path / PROMPTS_FILE, [{"id": "pumps-1", "prompt": PROMPT}, {"id": "pumps-2", "prompt": "Other"}])
    hashes: dict[str, str] = {}

    rows = public_prompts(tmp_path, labels, hashes)

    assert [(r.request, r.source, r.tier, r.labels, r.weight) for r in rows] == [
        (PROMPT, "pumps", Tier.CODING, ("coding?",), WEIGHT)
    ]
    assert set(hashes) == {LABELS_FILE, PROMPTS_FILE}


def test_another_text_is_refused(tmp_path: Path, labels: Path) -> None:
    """A prompt that was changed after labelling does not train under the old label."""
    write_rows(tmp_path / PROMPTS_FILE, [{"id": "pumps-1", "prompt": PROMPT + "!"}])

    with pytest.raises(PublicLabelError, match="pumps-1"):
        public_prompts(tmp_path, labels, {})


def test_missing_prompts_are_named(tmp_path: Path, labels: Path) -> None:
    """Without the file of prompts the error names it."""
    with pytest.raises(PublicLabelError, match=PROMPTS_FILE):
        public_prompts(tmp_path, labels, {})


def test_the_committed_labels_hold_no_text() -> None:
    """Each row is a name, a source, a hash and a label, and nothing else."""
    rows = list(read_rows(data_path() / LABELS_FILE))

    assert len({row["id"] for row in rows}) == len(rows) > 1_000
    assert all(set(row) == {"id", "source", "sha256", "label"} for row in rows)
    assert {row["label"].rstrip("?") for row in rows} == {t.value for t in Tier}
