"""Inputs of `autotier compare`, made from the team's own requests, and the command itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from classifier.tiers import tier_index
from service.cli.compare import command
from training.dataset import load_frozen

Compare = Callable[..., Result]


@pytest.fixture
def compare() -> Compare:
    """Runs the command with few draws, without litellm unless it is asked for."""

    def run(*arguments: str, litellm: bool = False) -> Result:
        extra = () if litellm else ("--no-litellm",)
        return CliRunner().invoke(command, [*arguments, *extra, "--times", "200", "--stages", "1"])

    return run


@pytest.fixture(scope="session")
def outcome_rows() -> list[dict[str, Any]]:
    """Frozen team-written requests with outcomes drawn from their labels: a tier that suffices solves .95, else .15."""
    random = np.random.default_rng(0)
    rows = []
    for one in load_frozen()[::4]:
        need = tier_index(one.tier)
        outcomes = {
            tier: {"ok": int(random.random() < (0.95 if t >= need else 0.15)), "cost": cost, "latency_s": seconds}
            for t, (tier, cost, seconds) in enumerate(
                (("lightweight", 0.0, 5.0), ("coding", 0.002, 12.0), ("reasoning", 0.012, 30.0))
            )
        }
        key = "prompt" if isinstance(one.request, str) else "messages"
        rows.append({key: one.request, "group": one.group, "tier": one.tier, "outcomes": outcomes})
    return rows


@pytest.fixture
def table(tmp_path: Path, outcome_rows: list[dict[str, Any]]) -> Path:
    """The rows as a file; it serves as outcome table and as labelled file."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in outcome_rows), encoding="utf-8")
    return path
