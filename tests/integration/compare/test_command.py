"""`autotier compare` on files: arms, JSON, reports, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from service.errors import AutotierError

Compare = Callable[..., Result]
ARMS = {"routed", "always-lightweight", "always-coding", "always-reasoning", "shuffled", "oracle"}


def test_an_outcome_table_gives_all_arms_with_intervals(compare: Compare, table: Path, tmp_path: Path) -> None:
    """Every arm has its figures, every difference its interval, and the fixed arms agree with the file."""
    out = tmp_path / "out.json"
    truth = [json.loads(line)["outcomes"] for line in table.read_text().splitlines()]

    result = compare("--outcomes", str(table), "--json", str(out))

    found = json.loads(out.read_text())
    assert result.exit_code == 0, result.output
    assert set(found["arms"]) == ARMS
    assert set(found["differences"]) == ARMS - {"routed"}
    assert found["n"] == len(truth)
    for tier in ("lightweight", "coding", "reasoning"):
        arm = found["arms"][f"always-{tier}"]
        assert arm["success"] == pytest.approx(np.mean([row[tier]["ok"] for row in truth]))
        assert arm["latency_p50_s"] == truth[0][tier]["latency_s"]
    for arm in found["arms"].values():
        low, high = arm["interval"]["success"]
        assert low <= arm["success"] <= high
    assert found["arms"]["oracle"]["success"] >= max(a["success"] for a in found["arms"].values())
    assert found["arms"]["always-coding"]["cost_per_completed"] == pytest.approx(
        0.002 / found["arms"]["always-coding"]["success"]
    )
    assert found["differences"]["shuffled"]["success"] < 0


def test_the_verdict_is_one_sentence_at_the_top(compare: Compare, table: Path) -> None:
    """The shipped router earns its place on outcomes that follow the labels, and the report says it first."""
    result = compare("--outcomes", str(table))

    head = result.stdout.splitlines()
    assert head[2].startswith("**routing saves ")
    assert "the classifier earns it" in head[2]


def test_a_labelled_file_counts_higher_tiers_as_solved(compare: Compare, table: Path, tmp_path: Path) -> None:
    """Always-reasoning solves everything; costs are those of typical answers, and the report says so."""
    out = tmp_path / "out.json"

    result = compare("--labelled", str(table), "--json", str(out))

    found = json.loads(out.read_text())
    assert result.exit_code == 0, result.output
    assert found["arms"]["always-reasoning"]["success"] == 1.0
    assert found["arms"]["oracle"]["success"] == 1.0
    assert found["arms"]["always-lightweight"]["cost"] == 0.0
    assert "typical answer" in result.stdout


def test_the_report_is_whole_and_self_contained(compare: Compare, table: Path, tmp_path: Path) -> None:
    """Markdown, JSON, HTML with the plot inside, PNG and SVG; the page loads nothing."""
    pytest.importorskip("matplotlib")
    folder = tmp_path / "report"

    compare("--outcomes", str(table), "--report", str(folder))

    names = {path.name for path in folder.iterdir()}
    page = (folder / "report.html").read_text()
    assert names == {"report.md", "report.json", "report.html", "cost_quality.png", "cost_quality.svg"}
    assert "<svg" in page
    assert "src=" not in page
    assert (folder / "cost_quality.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.timeout(300)  # its import alone takes ten seconds of CPU
def test_litellms_router_is_asked_in_a_process_of_its_own(compare: Compare, tmp_path: Path) -> None:
    """Its arm is there with figures like the others'."""
    rows = [
        {"prompt": text, "tier": tier}
        for text, tier in (("What is a closure?", "lightweight"), ("Design a sharded queue", "reasoning"))
    ]
    path, out = tmp_path / "few.jsonl", tmp_path / "out.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    result = compare("--labelled", str(path), "--json", str(out), litellm=True)

    found = json.loads(out.read_text())
    assert result.exit_code == 0, result.output
    assert sum(found["arms"]["litellm-complexity"]["tier_share"].values()) == pytest.approx(1.0)


def test_a_second_artifact_is_an_arm(compare: Compare, table: Path, tmp_path: Path) -> None:
    """The champion against itself: the same figures, a difference of nothing."""
    from classifier.artifact import shipped_path

    out = tmp_path / "out.json"

    compare("--outcomes", str(table), "--against", str(shipped_path()), "--json", str(out))

    found = json.loads(out.read_text())
    name = next(name for name in found["arms"] if name.startswith("artifact:"))
    assert found["differences"][name]["success"] == 0.0
    assert found["differences"][name]["interval"]["success"] == [0.0, 0.0]


def test_the_same_seed_gives_the_same_bytes(compare: Compare, table: Path, tmp_path: Path) -> None:
    """A comparison can be repeated."""
    first, second = tmp_path / "a.json", tmp_path / "b.json"

    compare("--outcomes", str(table), "--json", str(first))
    compare("--outcomes", str(table), "--json", str(second))

    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"outcomes": {}}, "needs a prompt"),
        ({"prompt": "x"}, "outcomes.lightweight is missing"),
        ({"prompt": "x", "outcomes": {"lightweight": {"ok": 2}}}, "outcomes.lightweight.ok is 2"),
        ({"prompt": "x", "outcomes": {"lightweight": {"ok": "yes"}}}, "not a number"),
    ],
)
def test_a_malformed_row_is_named(compare: Compare, tmp_path: Path, row: dict[str, Any], said: str) -> None:
    """File, row and what is expected; nothing is compared."""
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(row) + "\n")

    result = compare("--outcomes", str(path))

    assert isinstance(result.exception, AutotierError)
    assert "row 1" in str(result.exception)
    assert said in str(result.exception)


def test_one_source_has_to_be_named(compare: Compare, table: Path) -> None:
    """None, or two, is a usage error."""
    assert compare().exit_code == 2
    assert compare("--outcomes", str(table), "--log").exit_code == 2
