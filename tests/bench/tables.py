"""The tables of the README: made from ``bench-results/*.json``, between its markers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.bench.machine import RESULTS, ROOT
from tests.bench.workloads import WORKLOADS

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
OURS = "autotier-auto"
MARKS = {"valid": "", "disturbed": "~", "invalid": "!"}


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
    contenders = result["contenders"]
    shown = [w for w in WORKLOADS if any(w.name in c["workloads"] for c in contenders.values())]
    rows = []
    for contender in contenders.values():
        cells = [_peer_cell(contender["workloads"].get(w.name)) for w in shown]
        rows.append([contender["words"], *cells, f"{contender['ready_s']:.1f} s", f"{contender['rss_mb']} MB"])
    head = ["one connection: p50 / p99 ms, CPU ms a request", *(w.words for w in shown), "ready in", "memory"]
    parts = [_table(head, rows), _ratios(contenders)]
    verdicts = {row["verdict"] for c in contenders.values() for row in c["workloads"].values()}
    if "disturbed" in verdicts:
        parts.append("`~`: other programs took more than 15 % of a core during the row.")
    if "invalid" in verdicts or not result["pinned"]:
        parts.append("`!`: **invalid**, the core of generator and hosts was over 80 % busy or nothing was pinned.")
    parts += [f"Not measured: {name}: {reason.splitlines()[0]}." for name, reason in result["skipped"].items()]
    return "\n\n".join(part for part in parts if part)


def _peer_cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "—"
    return f"{row['p50_ms']:.2f} / {row['p99_ms']:.1f}, **{row['cpu_ms']:.2f}**{MARKS[row['verdict']]}"


def _ratios(contenders: dict[str, Any]) -> str:
    """How many times our CPU the others cost, and our latency above the forwarder's, for each workload."""
    if OURS not in contenders:
        return ""
    mine, lines = contenders[OURS]["workloads"], []
    others = [name for name in contenders if name != OURS]
    for workload in WORKLOADS:
        if (row := mine.get(workload.name)) is None:
            continue
        base = contenders["forwarder"]["workloads"].get(workload.name)
        above = f"{row['p50_ms'] - base['p50_ms']:+.2f} ms, {row['cpu_ms'] - base['cpu_ms']:+.2f} ms" if base else "—"
        cells = []
        for name in others:
            other = contenders[name]["workloads"].get(workload.name)
            cells.append(f"{other['cpu_ms'] / row['cpu_ms']:.1f}" if other else "—")
        lines.append([workload.words, above, *cells])
    head = ["autotier above the forwarder (p50, CPU); CPU of the others / autotier's", "above", *others]
    return _table(head, lines)


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
    contenders = result["contenders"]
    kinds = next(iter(contenders.values()))["under"]
    rows = [
        [
            c["words"],
            *(
                f"{c['under'][k]['p50_ms']:.1f} / {c['under'][k]['p99_ms']:.1f} / {c['under'][k]['max_ms']:.1f}"
                for k in kinds
            ),
        ]
        for c in contenders.values()
    ]
    return _table(["`/healthz` p50 / p99 / largest, ms", *kinds], rows)


def soak(result: dict[str, Any]) -> str:
    """What grew over many requests."""
    words = {
        "rss_mb": "resident memory, MB",
        "descriptors": "file descriptors",
        "threads": "threads",
        "tasks": "tasks of the event loop",
    }
    rows = [
        [words[key], f"{value['early']:.0f}", f"{value['late']:.0f}", f"{value['per_1000']:+.3f}"]
        for key, value in result["growth"].items()
    ]
    head = [
        f"soak of {result['requests']:,} requests in {result['seconds']:.0f} s",
        "early",
        "late",
        "for 1,000 requests",
    ]
    return _table(head, rows)


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
