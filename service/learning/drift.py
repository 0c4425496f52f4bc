"""Does live traffic still look like the training data? By groups of features, over a week's newest conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from classifier import TIERS
from classifier.features import SCHEMA
from service.decisions import log_pages
from service.decisions.features import KeptRow, kept_row
from service.decisions.store import DecisionStore
from training.reference import GROUPS, Reference, Shift

KEY = "drift"
"""Of the store's settings: the newest report, for the metrics of every process."""

WEEK_S = 604_800.0
MOST = 2_000
"""Conversations that are counted, the newest ones: with so many, chance alone moves no index above 0.02."""

LEAST = 100
"""Conversations below which nothing is said."""

SHOWN = 5


def drift(
    store: DecisionStore, reference: Reference | None, artifact: str, since_s: float, most: int = MOST
) -> dict[str, Any]:
    """Compares the log with what an artifact was trained on.

    Each conversation counts once, with its newest turn: turns of one are alike, and the bound takes them for apart.

    Args:
        store: Where the log is.
        reference: From the artifact's metadata, or None.
        artifact: Its id.
        since_s: Unix seconds; older requests are left aside.
        most: Conversations that are counted.

    Returns:
        Ready for JSON: `artifact`, `state` (`no reference`, `too few`, `as trained`, `drifted`), `conversations`,
        `without_features`; `groups` by name with `index`, `bound`, `drifted` and its furthest `characteristics`.

    Raises:
        StoreError: The store cannot be read.
    """
    if reference is None:
        return {"artifact": artifact, "state": "no reference", "conversations": 0, "groups": {}}
    tally = reference.tally()
    other_schema = 0
    for kept, probabilities in _newest(store, since_s, most):
        if kept.schema != SCHEMA:
            other_schema += 1
            continue
        tally.add(kept.row, kept.language, probabilities)
    report: dict[str, Any] = {"artifact": artifact, "conversations": tally.requests, "other_schema": other_schema}
    if tally.requests < LEAST:
        return {**report, "state": "too few", "groups": {}}
    shifts = tally.shifts()
    groups = {name: _group([one for one in shifts if one.group == name]) for name in GROUPS}
    found = {name: group for name, group in groups.items() if group is not None}
    state = "drifted" if any(group["drifted"] for group in found.values()) else "as trained"
    return {**report, "state": state, "reference_rows": reference.rows, "groups": found}


def _newest(store: DecisionStore, since_s: float, most: int) -> Iterator[tuple[KeptRow, list[float] | None]]:
    """Features and probabilities of the newest turn of each conversation, newest first."""
    seen: set[str] = set()
    before = "~"  # behind every id
    while len(seen) < most:
        query = partial(log_pages.newest_features, since_s=since_s, before_id=before, limit=log_pages.PAGE)
        rows = store.read(query)
        for row in rows:
            unit = str(row["decision"].get("unit") or row["id"])
            kept = kept_row(row["features"])
            if unit in seen or kept is None or len(seen) >= most:
                continue
            seen.add(unit)
            said = row["decision"].get("before_judge") or row["decision"].get("probabilities")  # the artifact's own
            yield kept, [float(said.get(str(tier), 0.0)) for tier in TIERS] if said else None
        if len(rows) < log_pages.PAGE:
            return
        before = rows[-1]["id"]


def _group(shifts: list[Shift]) -> dict[str, Any] | None:
    """What a group says: its furthest characteristic speaks for it."""
    if not shifts:
        return None
    first = shifts[0]
    return {
        "index": round(first.index, 4),
        "bound": round(first.bound, 4),
        "drifted": first.drifted,
        "characteristics": [
            {"name": one.characteristic, "index": round(one.index, 4), "bound": round(one.bound, 4)}
            for one in shifts[:SHOWN]
        ],
    }


def note(store: DecisionStore, report: Mapping[str, Any], now_s: float) -> None:
    """Keeps a report for the metrics of every process.

    Raises:
        StoreError: It is not kept.
    """
    store.put_setting(KEY, json.dumps({"at_s": now_s, **report}))


def noted(store: DecisionStore) -> dict[str, Any]:
    """The newest report, empty if there is none yet.

    Raises:
        StoreError: The store cannot be read.
    """
    try:
        found = json.loads(store.setting(KEY) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def numbers(report: Mapping[str, Any]) -> dict[str, float]:
    """A report for the metrics; nothing where there is none."""
    if not report:
        return {}
    found = {
        "drift_reference": float(report.get("state") != "no reference"),
        "drift_conversations": float(report.get("conversations", 0)),
        "drifted": float(report.get("state") == "drifted"),
    }
    for name, group in report.get("groups", {}).items():
        found |= {f"drift_{name}_index": float(group["index"]), f"drift_{name}_bound": float(group["bound"])}
    return found


def shown(report: Mapping[str, Any]) -> Iterator[str]:
    """A report for people."""
    state, number = report["state"], report["conversations"]
    if state == "no reference":
        yield f"no reference: {report['artifact']} does not say what it was trained on; train it anew"
        return
    if report.get("other_schema"):
        yield f"{report['other_schema']} conversations have features of another version and are left out"
    if state == "too few":
        yield f"too few: {number} conversations with features, {LEAST} are needed (store.prompts: features or full)"
        return
    words = "does not look like what" if state == "drifted" else "looks like what"
    sizes = f"{number} conversations, {report['reference_rows']} rows"
    yield f"traffic {words} {report['artifact']} was trained on ({sizes})"
    for name, group in report["groups"].items():
        mark = "drifted" if group["drifted"] else "as trained"
        listed = ", ".join(f"{one['name']} {one['index']:.3f}" for one in group["characteristics"][:3])
        yield f"  {name:<10} {mark:<10} {group['index']:.3f} of {group['bound']:.3f}  {listed}"
