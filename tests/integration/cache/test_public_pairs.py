"""A public paraphrase set, read through ``datasets`` from a local folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cache.local_model import installed
from service.cli.cache import command

ROWS = [
    ("How do I undo my last commit in Git?", "I committed too early, what takes that back in Git?", 1),
    ("How do I undo my last commit in Git?", "How do I redo my last commit in Git?", 0),
    ("Which trees lose their leaves in autumn?", "When was the Eiffel Tower built?", 0),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as ``datasets`` reads it."""
    pytest.importorskip("datasets", reason="the extra training is not installed")
    if not installed():
        pytest.skip("the extra cache-local is not installed")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    there = tmp_path / "set"
    there.mkdir()
    lines = [json.dumps({"sentence1": a, "sentence2": b, "label": same}) for a, b, same in ROWS]
    (there / "test.jsonl").write_text("\n".join(lines) + "\n")
    return there


def test_a_set_is_measured_at_the_threshold_of_the_evidence(folder: Path) -> None:
    """The paraphrase is served, the near miss and the other ask are not; litellm's rule stands beside it."""
    result = CliRunner().invoke(command, ["evaluate", "--public", str(folder)])

    assert result.exit_code == 0, result.output
    assert "at cosine 0.63 with the guard: 1 of 1 equal pairs served, 0 of 2 different ones" in result.output
    assert "litellm's rule at 0.8: 0.0% of equal pairs, 50.0% of different ones" in result.output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--columns", "a,b,label"], "no column 'a'; it has"),
        (["--columns", "a,b"], "--columns takes three names"),
        (["--language", "de"], "all-MiniLM-L6-v2 is off in 'de'"),
        (["--split", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_measured_says_why(folder: Path, flags: list[str], words: str) -> None:
    """In one line, without a trace."""
    result = CliRunner().invoke(command, ["evaluate", "--public", str(folder), *flags])

    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output
