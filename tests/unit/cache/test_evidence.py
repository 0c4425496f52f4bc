"""From measured pairs to a threshold within a stated error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.cache.evidence import MARGIN, SHIPPED, Evidence, read, threshold, thresholds, upper_bound, written

MEASURED = Evidence(
    auc=0.99, negatives=300, positives=100, curve=((0.5, 9, 80), (0.6, 1, 70), (0.7, 0, 60), (0.8, 0, 5))
)


@pytest.mark.parametrize(
    ("errors", "tried", "bound"), [(0, 260, 0.01146), (1, 260, 0.01811), (0, 59, 0.04951), (5, 5, 1.0)]
)
def test_the_bound_is_clopper_and_pearsons(errors: int, tried: int, bound: float) -> None:
    """Values of the exact one-sided interval."""
    assert upper_bound(errors, tried) == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize(("error", "cosine"), [(0.06, 0.5), (0.02, 0.6), (0.01, 0.7), (0.001, None)])
def test_a_smaller_error_takes_a_higher_cosine(error: float, cosine: float | None) -> None:
    """And none at all where the evidence cannot show so little."""
    expected = None if cosine is None else pytest.approx(cosine + MARGIN)

    assert threshold(MEASURED, error) == expected


def test_a_language_that_the_model_does_not_know_is_off() -> None:
    """However well its threshold would look."""
    assert threshold(replace(MEASURED, auc=0.94), 0.02) is None


def test_a_threshold_that_serves_nothing_is_off() -> None:
    """An embedding call for every request would buy nothing."""
    assert threshold(replace(MEASURED, positives=1000), 0.01) is None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """By the name of the model; another model has no evidence."""
    file = tmp_path / "evidence.json"
    file.write_text(written("m", {"en": MEASURED}))

    assert read("m", file) == {"en": MEASURED}
    assert read("other", file) == {}


def test_the_shipped_evidence_has_english_on_and_others_off() -> None:
    """all-MiniLM-L6-v2 is a model of English."""
    shipped = read("all-MiniLM-L6-v2", SHIPPED)

    assert set(shipped) == {"de", "en", "es", "fr", "it", "nl", "pt"}
    assert set(thresholds(shipped, 0.005)) == {"en"}
