"""The report of an evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = (
    ("rows", "rows"),
    ("accuracy", "accuracy"),
    ("macro_f1", "macro-F1"),
    ("policy_reasoning_to_lightweight", "reasoning to lightweight"),
    ("policy_lightweight_kept", "lightweight kept"),
    ("policy_over_routed", "over-routed"),
    ("policy_to_reasoning", "to reasoning"),
    ("kept_at_2_percent", "kept at 2 %"),
    ("reached_10", "reached 10 %"),
    ("reached_20", "reached 20 %"),
    ("reached_30", "reached 30 %"),
    ("ece", "ECE"),
    ("brier", "Brier"),
)
"""Figures of `training.metrics.summary` and their headings."""


def table(columns: Mapping[str, Mapping[str, Any]], shown: Sequence[tuple[str, str]] = SHOWN, key: str = "set") -> str:
    """A Markdown table: a row per set, a column per figure.

    Args:
        columns: Figures by set.
        shown: Names of the figures and their headings, in order.
        key: Heading of the first column.
    """
    lines = [f"| {key} | " + " | ".join(head for _, head in shown) + " |", "| --- " * (len(shown) + 1) + "|"]
    for name, figures in columns.items():
        lines.append(f"| {name} | " + " | ".join(_cell(figures.get(field)) for field, _ in shown) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3f}"
    if isinstance(value, list):
        return " / ".join(" ".join(str(v) for v in row) for row in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def markdown(figures: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        figures: From `training.evaluate.run`.

    Returns:
        Markdown text.
    """
    parts = [
        f"# Evaluation of {figures['artifact']}",
        '"Kept at 2 %" picks its threshold on the rows themselves and flatters; the policy\'s columns do not.',
        "## Team-written, frozen part",
        table(figures["frozen"]),
    ]
    if "pooled" in figures:
        parts += [*_pooled(figures["pooled"]), *_baselines(figures["baselines"]), *_written(figures["written"])]
        parts += _outcomes(figures["outcomes"])
    return "\n\n".join(parts) + "\n"


def _pooled(pooled: Mapping[str, Any]) -> list[str]:
    intervals = {k: {"low": v[0], "high": v[1]} for k, v in pooled["intervals"].items()}
    small = (*SHOWN[:5], ("confusion", "confusion (rows true)"))
    return [
        "## Real prompts, source held out",
        "Trained without this source (groups of sources at once, which is stricter), tested on it; "
        "each source counts the same.",
        table(pooled["arms"]),
        f"The second stage was asked for {pooled['second_stage_asked']:.0%} of the prompts.",
        "95 % intervals of what is served, resampled by source:",
        table(intervals, (("low", "low"), ("high", "high")), "figure"),
        "By cost matrix:",
        table(pooled["by_matrix"], key="matrix"),
        "Of the prompts that need reasoning, the share reached when a share of all traffic may go to the cloud:",
        table({f"{float(k):.0%}": {"v": v} for k, v in pooled["reached"].items()}, (("v", "reached"),), "cloud share"),
        "Reliability (ten bins of equal mass):",
        table(
            {str(i): b for i, b in enumerate(pooled["reliability"])},
            (("confidence", "confidence"), ("right", "right")),
            "bin",
        ),
        "By source:",
        table(pooled["by_source"], small, "source"),
        "By tier:",
        table(pooled["by_tier"], SHOWN[:2], "tier"),
        "By length in characters:",
        table(pooled["by_length"], small, "length"),
    ]


def _baselines(found: Mapping[str, Any]) -> list[str]:
    shown = (
        ("accuracy", "accuracy"),
        ("macro_f1", "macro-F1"),
        ("gain", "ours above it"),
        ("low", "low"),
        ("high", "high"),
    )
    return [
        "## Baselines, fitted without the source",
        "Gain in accuracy with its paired interval, clustered by source.",
        table(found, shown, "baseline"),
    ]


def _written(found: Mapping[str, Any]) -> list[str]:
    shown = (("rows", "rows"), ("accuracy", "accuracy"), ("gap", "against English"), ("low", "low"), ("high", "high"))
    turns = (
        ("rows", "rows"),
        ("kept", "keeps the tier"),
        ("seen_as_new", "seen as a new ask"),
        ("right", "right"),
        ("high_enough", "not too low"),
    )
    return [
        "## Team-written, whole topics held out",
        table(found["arms"]),
        f"English: accuracy {found['english_accuracy']:.3f}.",
        table(found["languages"], shown, "language"),
        "Conversations, replayed turn by turn as routing does (`training/conversations.py`):",
        table(found["turns"], turns, "newest turn"),
    ]


def _outcomes(found: Mapping[str, Any]) -> list[str]:
    shown = (("apgr", "APGR"), ("cpt_50", "CPT 50 %"), ("cpt_80", "CPT 80 %"), ("rows", "rows"))
    parts = [
        "## Outcome tables",
        "RouteLLM's best published APGR (random .5): "
        + ", ".join(f"{k} {v}" for k, v in found["published_apgr"].items())
        + ".",
    ]
    for name, curves in found["tables"].items():
        parts += [f"{name}:", table(curves, shown, "score")]
    return parts
