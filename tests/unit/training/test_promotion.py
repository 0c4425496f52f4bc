"""Going back to a version that is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from classifier.artifact import METADATA, shipped_path
from training.promotion import PromotionError, Versions

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def test_a_version_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    """Whoever mistypes an id sees what can be written instead; nothing is recorded."""
    for name in ("tuned-b", "tuned-a", ".training.7", "cache"):
        (tmp_path / name).mkdir()
        if name != "cache":
            (tmp_path / name / METADATA).write_text("{}", encoding="utf-8")

    with pytest.raises(
        PromotionError, match=r"no version 'nope'; there are tuned-a, tuned-b \(autotier rollback --list"
    ):
        Versions(tmp_path, shipped_path()).roll_back(reason="", now=NOW, to="nope")

    assert not (tmp_path / "history.jsonl").exists()


def test_without_any_version_it_says_so(tmp_path: Path) -> None:
    """A path is no version either."""
    with pytest.raises(PromotionError, match=r"no version '\.\./x'; there are none"):
        Versions(tmp_path, shipped_path()).roll_back(reason="", now=NOW, to="../x")
