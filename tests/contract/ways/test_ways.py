"""Both ways upstream show a client the same, for each feature, each fault and each recorded wire form."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.ways.cases import all_cases

CASES = all_cases()
WAYS = ("lean", "router")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def played() -> dict[str, dict[str, dict[str, Any]]]:
    """What was seen, by way and case. Each way plays in a process of its own, both at the same time."""
    running = {
        way: subprocess.Popen(
            [sys.executable, "-m", "tests.contract.ways.play", way],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for way in WAYS
    }
    seen = {}
    for way, process in running.items():
        out, said = process.communicate(timeout=110)
        assert process.returncode == 0, f"{way}: {said.decode()[-3000:]}"
        seen[way] = json.loads(out)
    return seen


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_a_way_gives_what_the_case_expects(played: Any, name: str, way: str) -> None:
    """Outcome, what the client sees and what the host receives are those of the case."""
    case = CASES[name]

    seen = played[way][name]

    expected = {
        key: value for key, value in case.shows.items() if way == "lean" or not may_show_less(case.outcome, key)
    }
    assert {"outcome": seen["outcome"], **{key: seen[key] for key in expected}} == {"outcome": case.outcome, **expected}
    if case.sends:
        assert without_more(seen["received"], case.sends) == without_more(case.sends, case.sends)


@pytest.mark.parametrize("name", CASES)
def test_both_ways_show_the_same(played: Any, name: str) -> None:
    """Every part of what a client sees is equal over both ways."""
    lean, router = ({k: v for k, v in played[way][name].items() if k not in ("received",)} for way in WAYS)

    shown = {key for key in lean if not may_show_less(lean["outcome"], key)}
    assert {key: lean[key] for key in shown} == {key: router[key] for key in shown}
    assert lean["content"].startswith(router["content"])


def may_show_less(outcome: str, key: str) -> bool:
    """Whether the Router may show less: its HTTP client may report a reset before it has given out all that came."""
    return outcome == "cut" and key in ("began", "choices", "content", "message", "model", "pieces", "fingerprint")


def without_more(received: Any, expected: Any) -> Any:
    """``received`` with only those keys of objects that ``expected`` has too, and that are not null there."""
    if isinstance(received, Mapping) and isinstance(expected, Mapping):
        both = {key: value for key, value in expected.items() if value is not None and key in received}
        return {key: without_more(received[key], value) for key, value in both.items()}
    if isinstance(received, list) and isinstance(expected, list) and len(received) == len(expected):
        return [without_more(one, other) for one, other in zip(received, expected, strict=True)]
    return received
