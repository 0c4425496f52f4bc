"""What `compare` reads: an outcome table, or labelled requests, as JSON lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifier.costs import TierCost
from classifier.prompt import Messages
from classifier.record import read_rows
from classifier.tiers import TIERS, tier_index
from training.analysis import Outcomes

Request = str | Messages


class CompareError(Exception):
    """An input that cannot be compared; the message names file, line and what is expected."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Requests with the outcome of every tier.

    Attributes:
        requests: What was asked.
        table: Outcomes by tier.
        kind: `outcomes` or `labelled`.
        notes: What a reader of the report has to know about costs and latencies.
    """

    requests: tuple[Request, ...]
    table: Outcomes
    kind: str
    notes: tuple[str, ...] = ()


def read_outcomes(path: Path, chain: Sequence[TierCost]) -> Compared:
    """Read an outcome table: `{"prompt" | "messages", "group"?, "outcomes": {tier: {"ok", "cost"?, "latency_s"?}}}`.

    Args:
        path: JSON lines, plain or gzip.
        chain: Cost and time of a typical answer by tier, for rows that give none.

    Raises:
        CompareError: A row lacks something or holds a value out of range.
    """
    requests, groups, cells = [], [], []
    for number, row in _rows(path):
        where = f"{path}: row {number}"
        requests.append(_request(row, where))
        groups.append(str(row.get("group") or ""))
        cells.append([_cell(row.get("outcomes"), str(tier), where) for tier in TIERS])
    values = np.array(cells, dtype=np.float64).reshape(len(cells), 3, 3)
    typical = np.array([(one.cents / 100, one.seconds) for one in chain])
    notes = []
    for column, what in ((1, "cost"), (2, "latency_s")):
        lacking = np.isnan(values[:, :, column])
        values[:, :, column] = np.where(lacking, typical[:, column - 1], values[:, :, column])
        if lacking.any():
            notes.append(f"{lacking.mean():.0%} of the outcomes give no {what}: that of a typical answer is used")
    table = Outcomes(values[:, :, 0], values[:, :, 1], values[:, :, 2], tuple(groups))
    return Compared(tuple(requests), table, "outcomes", tuple(notes))


def read_labelled(path: Path, chain: Sequence[TierCost]) -> Compared:
    """Read labelled requests: `{"prompt" | "messages", "tier", "group"?}`; solved where the tier is at least as high.

    Args:
        path: JSON lines, plain or gzip.
        chain: Cost and time of a typical answer by tier.

    Raises:
        CompareError: A row lacks something or names an unknown tier.
    """
    requests, groups, need = [], [], []
    for number, row in _rows(path):
        where = f"{path}: row {number}"
        requests.append(_request(row, where))
        groups.append(str(row.get("group") or ""))
        try:
            need.append(tier_index(row.get("tier", "")))
        except ValueError:
            raise CompareError(f"{where}: tier is one of {', '.join(TIERS)}, not {row.get('tier')!r}") from None
    ok = (np.arange(3) >= np.array(need)[:, None]).astype(np.float64)
    cost = np.tile([one.cents / 100 for one in chain], (len(need), 1))
    seconds = np.tile([one.seconds for one in chain], (len(need), 1))
    note = "costs and latencies are those of a typical answer of each tier's first deployment"
    return Compared(tuple(requests), Outcomes(ok, cost, seconds, tuple(groups)), "labelled", (note,))


def newest_text(request: Request) -> str:
    """The newest user text: what a baseline that knows no conversations reads."""
    if isinstance(request, str):
        return request
    for message in reversed(request):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = content if isinstance(content, list) else []
            return "\n".join(str(p.get("text", "")) for p in parts if isinstance(p, Mapping))
    return ""


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        rows = list(enumerate(read_rows(path), 1))
    except OSError as error:
        raise CompareError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    except UnicodeDecodeError as error:
        raise CompareError(f"{path}: not UTF-8; write JSON lines, packed with gzip if the name ends in .gz") from error
    except ValueError as error:
        raise CompareError(str(error)) from error
    if not rows:
        raise CompareError(f"{path}: holds no rows")
    return rows


def _request(row: Mapping[str, Any], where: str) -> Request:
    found = row.get("messages") or row.get("prompt")
    if isinstance(found, str):
        return found
    if isinstance(found, list) and all(isinstance(m, Mapping) and isinstance(m.get("role"), str) for m in found):
        return found
    raise CompareError(f'{where}: needs a prompt: "prompt" (a text), or "messages" (a list of objects with a role)')


def _cell(outcomes: Any, tier: str, where: str) -> tuple[float, float, float]:
    """(ok, cost, latency) of a tier; NaN for a cost or latency that is not given."""
    cell = outcomes.get(tier) if isinstance(outcomes, Mapping) else None
    if not isinstance(cell, Mapping) or "ok" not in cell:
        raise CompareError(f'{where}: outcomes.{tier} is missing; every tier needs {{"ok": 0..1}}')
    ok = _number(cell["ok"], f"{where}: outcomes.{tier}.ok")
    if ok > 1:
        raise CompareError(f"{where}: outcomes.{tier}.ok is {ok:g}, not 0 to 1")
    rest = [
        math.nan if cell.get(name) is None else _number(cell[name], f"{where}: outcomes.{tier}.{name}")
        for name in ("cost", "latency_s")
    ]
    return ok, rest[0], rest[1]


def _number(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise CompareError(f"{where} is {value!r}, not a number of 0 or more")
    return float(value)
