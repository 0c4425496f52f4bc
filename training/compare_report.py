"""A comparison as Markdown and as one self-contained page of HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training import compare_plot

Rows = list[list[str]]
Section = tuple[str, list[str], Rows]
"""Title, headings, cells."""

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{border-bottom:1px solid #ddd;padding:.25rem .7rem;"
    "text-align:right}td:first-child,th:first-child{text-align:left}.verdict{font-size:1.2rem;font-weight:600}"
    "svg{max-width:100%;height:auto}"
)


def write(result: Mapping[str, Any], out: Path) -> list[str]:
    """Write `report.md`, `report.json`, `report.html` and, where matplotlib is installed, the plots.

    Args:
        result: A comparison.
        out: Folder; made if it is not there.

    Returns:
        What could not be written, each with the reason.
    """
    out.mkdir(parents=True, exist_ok=True)
    lacking = []
    svg = ""
    if not compare_plot.installed():
        lacking.append("no plots: matplotlib is not installed (install autotier[training])")
    elif result["arms"]:
        svg = compare_plot.draw(result, out)
    (out / "report.json").write_text(to_json(result), encoding="utf-8")
    (out / "report.md").write_text(markdown(result, plot=bool(svg)), encoding="utf-8")
    (out / "report.html").write_text(page(result, svg), encoding="utf-8")
    return lacking


def to_json(result: Mapping[str, Any]) -> str:
    """The comparison as JSON text; no NaN, no infinity."""
    return json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def markdown(result: Mapping[str, Any], *, plot: bool = False) -> str:
    """The report as Markdown."""
    lines = ["# Does routing pay?", "", f"**{result['verdict']}**", "", *_facts(result), ""]
    if plot:
        lines += [f"![cost against quality]({compare_plot.NAME}.png)", ""]
    for title, head, rows in sections(result):
        lines += [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows] + [""]
    return "\n".join(lines)


def page(result: Mapping[str, Any], svg: str) -> str:
    """The report as HTML that needs nothing else: styles and plot are in it."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Does routing pay?</title>",
        f"<style>{STYLE}</style><h1>Does routing pay?</h1><p class=verdict>{html.escape(result['verdict'])}</p>",
        *(f"<p>{html.escape(line.removeprefix('- '))}</p>" for line in _facts(result)),
        svg,
    ]
    for title, head, rows in sections(result):
        cells = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        headings = "".join(f"<th>{html.escape(h)}</th>" for h in head)
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>{headings}</tr>{cells}</table>")
    return "\n".join(parts) + "\n"


def _facts(result: Mapping[str, Any]) -> list[str]:
    facts = [f"- {result['n']} requests ({result['source']})"]
    if "artifact" in result:
        facts[0] += f", routed by {result['artifact']}, intervals over {result['clusters']} clusters"
    facts += [f"- {note}" for note in result["notes"]]
    facts += [f"- {name} is left out: {why}" for name, why in result["skipped"].items()]
    facts += [f"- {name}: {why}" for name, why in result.get("not_identified", {}).items()]
    if result.get("command"):
        facts.append(f"- to find out: `{result['command']}`")
    return facts


def sections(result: Mapping[str, Any]) -> list[Section]:
    """Tables of the report."""
    found = [_arms(result["arms"])] if result["arms"] else []
    if result["differences"]:
        found.append(_differences(result["differences"]))
    if result.get("shuffles"):
        found.append(_shuffles(result["shuffles"]))
    if result.get("tiers"):
        found.append(_tiers(result["tiers"]))
    if result.get("routellm"):
        rows = [[k, _plain(v["apgr"]), _plain(v["cpt_50"]), _plain(v["cpt_80"])] for k, v in result["routellm"].items()]
        found.append(
            ("Score as RouteLLM defines it (APGR .5 is chance)", ["pair", "APGR", "CPT 50 %", "CPT 80 %"], rows)
        )
    if result.get("economics"):
        found += _economics(result["economics"])
    return found


def _arms(arms: Mapping[str, Any]) -> Section:
    head = ["arm", "success", "$ a request", "$ a completed task", "p50 s", "p95 s", "light / coding / reasoning"]
    bounded = any("bounds" in arm for arm in arms.values())
    if bounded:
        head += ["none .. all of the unknown solved", "outcomes known", "doubly robust", "effective n"]
    rows = []
    for name, arm in arms.items():
        span = arm["interval"]
        row = [
            name,
            _share(arm["success"], span.get("success")),
            _money(arm["cost"], span.get("cost")),
            _money(arm["cost_per_completed"], span.get("cost_per_completed")),
            _plain(arm["latency_p50_s"], 1),
            _plain(arm["latency_p95_s"], 1),
            " / ".join(f"{100 * v:.0f} %" for v in arm["tier_share"].values()),
        ]
        if bounded:
            low, high = arm["bounds"]["success"]
            row += [f"{100 * low:.1f} .. {100 * high:.1f} %", _share(arm.get("outcome_share"), None)]
            row += [_share(arm.get("doubly_robust"), None), _plain(arm.get("effective_sample_size"), 0)]
        rows.append(row)
    return "Arms", head, rows


def _differences(found: Mapping[str, Any]) -> Section:
    rows = []
    for name, one in found.items():
        span = one["interval"]
        rows.append(
            [
                name,
                _share(one["success"], span.get("success"), sign="+"),
                _money(one.get("cost"), span.get("cost"), sign="+"),
                _money(one.get("cost_per_completed"), span.get("cost_per_completed"), sign="+"),
            ]
        )
    return "Differences to routed (arm minus routed)", ["arm", "success", "$ a request", "$ a completed task"], rows


def _shuffles(found: Mapping[str, Any]) -> Section:
    low, high = found["success"]
    head = ["shuffles", "95 % of them solve", "share as good as routing"]
    return "The tier mix, dealt at random", head, [
        [str(found["times"]), f"{100 * low:.1f} .. {100 * high:.1f} %", f"{found['as_good_as_routed']:.4f}"]
    ]  # fmt: skip


def _tiers(found: Mapping[str, Any]) -> Section:
    by = {one["tier"]: one["by"] for one in found["dominated"]}
    rows = [[tier, f"{100 * share:.1f} %", by.get(tier, "")] for tier, share in found["best_for"].items()]
    return "Tiers", ["tier", "cheapest that solves best", "dominated by"], rows


def _economics(found: Mapping[str, Any]) -> list[Section]:
    columns = ("requests", "spent", "reasoning", "saved", "extra_turns", "cache_saved")
    head = ["requests", "spent $", "all on reasoning $", "saved $", "asked again $", "saved by the cache $"]

    def cells(one: Mapping[str, float]) -> list[str]:
        return [str(one["requests"]), *(f"{one[name]:.4f}" for name in columns[1:])]

    tables: list[Section] = [("Money, all", ["", *head], [["total", *cells(found["total"])]])]
    for by in ("day", "caller", "tier"):
        tables.append((f"Money by {by}", [by, *head], [[key, *cells(one)] for key, one in found[by].items()]))
    return tables


def _share(value: float | None, span: Sequence[float] | None, sign: str = "") -> str:
    if value is None:
        return "-"
    bounds = f" ({100 * span[0]:{sign}.1f}..{100 * span[1]:{sign}.1f})" if span else ""
    return f"{100 * value:{sign}.1f} %{bounds}"


def _money(value: float | None, span: Sequence[float] | None, sign: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:{sign}.5f}" + (f" ({span[0]:{sign}.5f}..{span[1]:{sign}.5f})" if span else "")


def _plain(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
