"""The tables of the README: made from ``bench-results/*.json``, between its markers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.bench.loop_lag import verdict as lag_verdict
from tests.bench.machine import RESULTS, ROOT
from tests.bench.soak import GROWTH_LIMIT, SLACK, WHOLE, grows, unexpected
from tests.bench.workloads import WORKLOADS

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
OURS = "autotier-auto"
MARKS = {"valid": "", "disturbed": "~", "invalid": "!"}
"""Beside a figure, by verdict; the worst comes last."""
INVALID = "`!`: **invalid**, the core of generator and hosts was over 80 % busy or nothing was pinned"


class NoMarkers(ValueError):
    """The README has no block for the benches."""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---", *("---:" for _ in names[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def stamp(facts: dict[str, Any]) -> str:
    """One line: machine, commit, command, load."""
    load = " / ".join(f"{facts[key][0]:.1f}" for key in ("load", "load_after") if key in facts)
    return (
        f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}; commit {facts['commit']}; {facts['when']}; "
        f"load before / after {load}; `{facts['command'].strip()}`"
    )


def peers(result: dict[str, Any]) -> str:
    """Latency and CPU of ours and the peers, and the ratios."""
    contenders, pinned = result["contenders"], result["pinned"]
    shown = [w for w in WORKLOADS if any(w.name in c["workloads"] for c in contenders.values())]
    rows = []
    for contender in contenders.values():
        cells = [_peer_cell(contender["workloads"].get(w.name), pinned) for w in shown]
        rows.append([contender["words"], *cells, f"{contender['ready_s']:.1f} s", f"{contender['rss_mb']} MB"])
    head = ["one connection: p50 / p99 ms, CPU ms a request", *(w.words for w in shown), "ready in", "memory"]
    parts = [_table(head, rows), _ratios(contenders, pinned)]
    verdicts = {row["verdict"] for c in contenders.values() for row in c["workloads"].values()}
    if "disturbed" in verdicts:
        parts.append("`~`: other programs took more than 15 % of a core during the row.")
    if "invalid" in verdicts or not pinned:
        parts.append(f"{INVALID}.")
    if verdicts != {"valid"} or not pinned:
        parts.append("A ratio has the worse mark of its two rows.")
    parts += [f"Not measured: {name}: {reason.splitlines()[0]}." for name, reason in result["skipped"].items()]
    return "\n\n".join(part for part in parts if part)


def _mark(pinned: bool, *rows: dict[str, Any]) -> str:
    """The worst mark of the rows that a figure is made of; without a core of its own none is valid."""
    return MARKS[max((row["verdict"] for row in rows), key=list(MARKS).index) if pinned else "invalid"]


def _peer_cell(row: dict[str, Any] | None, pinned: bool) -> str:
    if row is None:
        return "—"
    return f"{row['p50_ms']:.2f} / {row['p99_ms']:.1f}, **{row['cpu_ms']:.2f}**{_mark(pinned, row)}"


def _ratios(contenders: dict[str, Any], pinned: bool) -> str:
    """How many times our CPU the others cost, and our latency above the forwarder's, with the marks of their rows."""
    if OURS not in contenders:
        return ""
    mine, lines = contenders[OURS]["workloads"], []
    others = [name for name in contenders if name != OURS]
    for workload in WORKLOADS:
        if (row := mine.get(workload.name)) is None:
            continue
        base = contenders["forwarder"]["workloads"].get(workload.name)
        cells = [_above(row, base, pinned) if base else "—"]
        for name in others:
            other = contenders[name]["workloads"].get(workload.name)
            cells.append(f"{other['cpu_ms'] / row['cpu_ms']:.1f}{_mark(pinned, row, other)}" if other else "—")
        lines.append([workload.words, *cells])
    head = ["autotier above the forwarder (p50, CPU); CPU of the others / autotier's", "above", *others]
    return _table(head, lines)


def _above(row: dict[str, Any], base: dict[str, Any], pinned: bool) -> str:
    """How far ``row`` lies above ``base`` in latency and CPU."""
    latency, cpu = row["p50_ms"] - base["p50_ms"], row["cpu_ms"] - base["cpu_ms"]
    return f"{latency:+.2f} ms, {cpu:+.2f} ms{_mark(pinned, row, base)}"


def faults(result: dict[str, Any]) -> str:
    """Time to the first token under faults."""
    contenders = result["contenders"]
    rows = [
        [words, *(_fault_cell(c["cells"].get(cell)) for c in contenders.values())]
        for cell, words in result["cells"].items()
    ]
    head = [
        "first token of a lightweight request: first / following (served by)",
        *(c["words"] for c in contenders.values()),
    ]
    return _table(head, rows)


def _fault_cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "—"
    first = cell["first"]
    if "over" in first:
        return "> 100 s"
    start = first["failed"] if "failed" in first else _seconds(first["ms"])
    text = f"{start} / {_seconds(cell['following_ms'])}"
    if cell["largest_ms"] and cell["asked"] > 10:
        text += f", largest {_seconds(cell['largest_ms'])}"
    by = ", ".join(cell["by"])
    failed = f", {cell['failed']} of {cell['asked']} failed" if cell["failed"] else ""
    return f"{text} ({by}{failed})" if by or failed else text


def _seconds(ms: float | None) -> str:
    if ms is None:
        return "—"
    return f"{ms / 1000:.1f} s" if ms >= 10_000 else f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms"


def loop_lag(result: dict[str, Any]) -> str:
    """Latency of ``/healthz`` under load."""
    contenders, pinned = result["contenders"], result["pinned"]
    kinds = next(iter(contenders.values()))["under"]
    rows = [[c["words"], *(_lag_cell(kind, c["under"][kind], pinned) for kind in kinds)] for c in contenders.values()]
    table = _table(["`/healthz` p50 / p99 / largest, ms", *kinds], rows)
    if any(cell.endswith(MARKS["invalid"]) for row in rows for cell in row):
        return f"{table}\n\n{INVALID}, or under load an answer failed or none came."
    return table


def _lag_cell(kind: str, found: dict[str, Any], pinned: bool) -> str:
    mark = MARKS[lag_verdict(kind, found, pinned)]
    return f"{found['p50_ms']:.1f} / {found['p99_ms']:.1f} / {found['max_ms']:.1f}{mark}"


def soak(result: dict[str, Any]) -> str:
    """What grew over many requests, and what keeps the run from being a whole or a good one."""
    words = {
        "rss_mb": "resident memory, MB",
        "descriptors": "file descriptors",
        "threads": "threads",
        "tasks": "tasks of the event loop",
    }
    requests = result["requests"]
    rows = []
    for key, value in result["growth"].items():
        does, whole = grows(key, value, requests)
        figures = [f"{value['early']:.0f}", f"{value['late']:.0f}", f"{value['per_1000']:+.3f}"]
        rows.append([words[key], *figures, f"{'**yes**' if does else 'no'}, {whole:+.1f}"])
    name = f"soak of {requests:,} requests in {result['seconds']:.0f} s"
    parts = [_table([name, "early", "late", "for 1,000 requests", "grows, over the run"], rows)]
    slack = ", ".join(f"{most:.0f} {words[key]}" for key, most in SLACK.items() if most)
    parts.append(f"Grows: the run adds over {GROWTH_LIMIT * 100:.0f} % of the early value, and over {slack}.")
    if requests < WHOLE:
        parts.append(f"**Not the whole soak**: {requests:,} of {WHOLE:,} requests; what is bounded may not be full.")
    if wrong := unexpected(result["answers"]):
        parts.append("Other answers than asked for: " + ", ".join(f"{k} ({n:,})" for k, n in wrong.items()) + ".")
    return "\n\n".join(parts)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "peers": peers,
    "faults": faults,
    "loop_lag": loop_lag,
    "soak": soak,
}


def block(folder: Path = RESULTS) -> str:
    """The tables of all results that are kept, each with what made it."""
    parts = []
    for name, table in TABLES.items():
        file = folder / f"{name}.json"
        if file.exists():
            result = json.loads(file.read_text(encoding="utf-8"))
            parts += [table(result), f"<sub>{stamp(result['facts'])}</sub>"]
    return "\n\n".join(parts)


def written(text: str, content: str) -> str:
    """``text`` with ``content`` between the markers.

    Raises:
        NoMarkers: They are not there, once each.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarkers(f"README.md has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def write_readme() -> None:
    """Puts the tables into README.md."""
    file = ROOT / "README.md"
    file.write_text(written(file.read_text(encoding="utf-8"), block()), encoding="utf-8")
