"""The report of an evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifier.tiers import TIERS
from training.metrics import RESAMPLED

Columns = Sequence[tuple[str, str]]

SHOWN: Columns = (
    ("rows", "rows"),
    ("accuracy", "accuracy"),
    ("macro_f1", "macro-F1"),
    ("policy_reasoning_to_lightweight", "reasoning to lightweight"),
    ("policy_lightweight_kept", "lightweight kept"),
    ("policy_under_routed", "under-routed"),
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

PART: Columns = (
    SHOWN[0],
    ("accuracy_shown", "accuracy"),
    *SHOWN[2:5],
    ("under", "under-routed"),
    ("over", "over-routed"),
    ("ece", "ECE"),
    ("brier_shown", "Brier"),
    ("confusion", "confusion (rows true)"),
)
"""Columns of a part (`training.breakdown`)."""

TIER: Columns = (
    ("rows", "rows"),
    ("accuracy_shown", "accuracy"),
    ("policy_accuracy", "accuracy of the policy"),
    ("under", "under-routed"),
    ("over", "over-routed"),
    ("confusion", "most probable tier"),
)


def table(columns: Mapping[str, Mapping[str, Any]], shown: Columns = SHOWN, key: str = "set") -> str:
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
        "Accuracy, macro-F1, ECE and confusion are of the most probable tier; the columns on routing are the default "
        "policy's. Under-routed: sent below its tier; over-routed: above it; both as shares of all requests of the "
        'row. "Kept at 2 %" picks its threshold on the rows themselves and flatters; the policy\'s columns do not. '
        "In brackets: 95 % intervals, whole clusters resampled (sources of real prompts, topics of ours, subjects of "
        "the outcome tables). An ECE grows with few rows and with resampling, so small parts and intervals read high.",
        "## Team-written, frozen part",
        table(figures["frozen"]),
        "Intervals:",
        table(_interval_rows(figures["frozen_parts"]["intervals"]), INTERVAL_COLUMNS, "set"),
        *_confusion(figures["frozen_parts"]["confusion"]),
        *_calibration(figures["frozen_parts"]["calibration"]),
        "By tier:",
        table(_parts(figures["frozen_parts"]["by_tier"]), TIER, "tier"),
        "By language:",
        table(_parts(figures["frozen_parts"]["by_language"]), PART, "language"),
        "By length in characters:",
        table(_parts(figures["frozen_parts"]["by_length"]), PART, "length"),
    ]
    if "pooled" in figures:
        parts += [*_pooled(figures["pooled"]), *_baselines(figures["baselines"]), *_written(figures["written"])]
        parts += _outcomes(figures["outcomes"])
    return "\n\n".join(parts) + "\n"


INTERVAL_COLUMNS: Columns = tuple((name, heading) for name, heading in SHOWN if name in RESAMPLED)


def _between(ends: Sequence[float]) -> str:
    return f"[{ends[0]:.3f}, {ends[1]:.3f}]"


def _interval_rows(found: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, str]]:
    return {arm: {name: _between(ends) for name, ends in figures.items()} for arm, figures in found.items()}


def _with_interval(value: float, ends: Sequence[float]) -> str:
    return f"{value:.3f} {_between(ends)}"


def _parts(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Parts with their intervals beside the figures."""
    shown = {}
    for name, part in found.items():
        ends = part["intervals"]
        more = {
            "accuracy_shown": _with_interval(part["accuracy"], ends["accuracy"]),
            "under": _with_interval(part["policy_under_routed"], ends["policy_under_routed"]),
            "over": _with_interval(part["policy_over_routed"], ends["policy_over_routed"]),
        }
        if "brier" in ends:
            more["brier_shown"] = _with_interval(part["brier"], ends["brier"])
        shown[name] = {**part, **more}
    return shown


def _confusion(found: Mapping[str, Sequence[Sequence[float]]]) -> list[str]:
    tiers = [tier.value for tier in TIERS]
    shown: list[str] = []
    for decision, rows in found.items():
        columns = {true: dict(zip(tiers, row, strict=True)) for true, row in zip(tiers, rows, strict=True)}
        shown += [f"Confusion, {decision}:", table(columns, [(t, f"to {t}") for t in tiers], "true tier")]
    return shown


def _calibration(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    bins: dict[str, dict[str, str]] = {}
    for name, figures in found.items():
        for number, part in enumerate(figures["bins"]):
            bins.setdefault(str(number), {})[name] = f"{part['probability']:.3f} / {part['frequency']:.3f}"
    return [
        "Calibration of the most probable tier, and of each tier's probability against the others (the Brier score of "
        "one probability runs from 0 to 1, that of all three above from 0 to 2):",
        table(found, (("ece", "ECE"), ("brier", "Brier")), "probability of"),
        "Reliability, bins of equal mass: mean probability / how often it came true:",
        table(bins, [(name, name) for name in found], "bin"),
    ]


def _pooled(pooled: Mapping[str, Any]) -> list[str]:
    by_arm = {
        arm: {name: figures["ece"] for name, figures in found.items()}
        for arm, found in pooled["calibration_by_arm"].items()
    }
    return [
        "## Real prompts, source held out",
        "Trained without this source (groups of sources at once, which is stricter), tested on it; "
        "each source counts the same.",
        table(pooled["arms"]),
        "Intervals:",
        table(_interval_rows(pooled["intervals"]), INTERVAL_COLUMNS),
        *_stages(pooled["stages"]),
        *_confusion(pooled["confusion"]),
        "By cost matrix:",
        table(pooled["by_matrix"], key="matrix"),
        *_curves(pooled),
        "### Calibration of what is served",
        *_calibration(pooled["calibration"]),
        "ECE of each arm, by probability:",
        table(by_arm, [(name, name) for name in next(iter(by_arm.values()))], "set"),
        "### By part",
        "By source:",
        table(_parts(pooled["by_source"]), PART, "source"),
        "By tier:",
        table(_parts(pooled["by_tier"]), TIER, "tier"),
        "By script of the ask (these prompts name no language):",
        table(_parts(pooled["by_script"]), PART, "script"),
        "By length in characters:",
        table(_parts(pooled["by_length"]), PART, "length"),
    ]


def _stages(found: Mapping[str, Any]) -> list[str]:
    cpu = found["cpu"]
    stages = {name: {"asked": asked} | cpu.get(name, {}) for name, asked in found["asked"].items()}
    columns = (
        ("asked", "asked for"),
        ("mean_ms", "mean ms"),
        ("median_ms", "median ms"),
        ("p95_ms", "95th percentile"),
    )
    shown = [
        "### Stages",
        f"How often each is asked (share of the prompts) and its CPU time over all threads on this machine "
        f"({cpu['machine']}), measured on {cpu['sample']} of these prompts:",
        table(stages, columns, "stage"),
    ]
    if "bought" in found:
        ends = (("gain", "served minus first stage"), ("low", "low"), ("high", "high"))
        bought = {dict(SHOWN)[name]: figures for name, figures in found["bought"].items()}
        shown += ["What the second stage buys over the first alone, paired:", table(bought, ends, "figure")]
    return shown


def _curves(pooled: Mapping[str, Any]) -> list[str]:
    arms = list(pooled["reached"])
    shares = {f"{float(s):.0%}": {arm: pooled["reached"][arm][s] for arm in arms} for s in pooled["reached"][arms[0]]}
    levels = {f"{row['level']:.0%}": row for row in pooled["cost"]["levels"]}
    return [
        "### Curves",
        "Of the prompts that need reasoning, the share reached when a share of all traffic may go to the cloud "
        "(length: the longest prompts first):",
        table(shares, [(arm, arm) for arm in arms], "cloud share"),
        "Cost against quality: the share of requests that got at least their tier, at the same mean cost of a request, "
        "between all to lightweight (0 %) and all to reasoning (100 %), in cents by the prices and speeds of "
        "configs/two-macs.yaml, waiting at half a cent a second included. Thresholds are scaled over the whole range; "
        "`report.json` has all points, with money and seconds apart. Length: probabilities of a logistic "
        "regression on it.",
        table(levels, [("cents", "cents"), *((arm, arm) for arm in pooled["cost"]["curves"])], "of the range"),
    ]


def _baselines(found: Mapping[str, Any]) -> list[str]:
    shown = (
        ("accuracy", "accuracy"),
        ("macro_f1", "macro-F1"),
        ("reasoning_to_lightweight", "reasoning to lightweight"),
        ("own_reasoning_to_lightweight", "ours"),
        ("accuracy_gain", "ours above it: accuracy"),
        ("macro_f1_gain", "ours above it: macro-F1"),
    )
    rows = {
        name: {
            **row,
            "accuracy_gain": _with_interval(row["gain"], (row["low"], row["high"])),
            "macro_f1_gain": _with_interval(row["macro_f1_gain"], (row["macro_f1_low"], row["macro_f1_high"])),
        }
        for name, row in found.items()
    }
    return [
        "## Baselines, fitted without the source",
        "Beside our most probable tier (the shuffled mix: beside the policy's decision); intervals are paired. The "
        "subject prior is that of topics found in the words of the other sources (`training/topic_prior.py`).",
        table(rows, shown, "baseline"),
    ]


def _written(found: Mapping[str, Any]) -> list[str]:
    languages = _parts(found["languages"])
    for row in languages.values():
        row["gap_shown"] = _with_interval(row["gap"], (row["low"], row["high"])) if "gap" in row else None
    names = ("kept", "seen_as_new", "right", "high_enough")
    headings = ("keeps the tier", "seen as a new ask", "right", "not too low")
    turns = {
        kind: {"rows": row["rows"]} | {name: _with_interval(row[name], row["intervals"][name]) for name in names}
        for kind, row in found["turns"].items()
    }
    return [
        "## Team-written, whole topics held out",
        table(found["arms"]),
        *_calibration(found["calibration"]),
        "By language:",
        table(
            languages,
            (
                ("rows", "rows"),
                ("accuracy", "accuracy"),
                ("gap_shown", "against English"),
                *PART[5:9],
            ),
            "language",
        ),
        "Conversations, replayed turn by turn as routing does (`training/conversations.py`). A tool's result keeps the "
        "tier of its ask by construction; worded follow-ups stand by themselves.",
        table(turns, (("rows", "rows"), *zip(names, headings, strict=True)), "newest turn"),
    ]


def _outcomes(found: Mapping[str, Any]) -> list[str]:
    shown = (("apgr_shown", "APGR"), ("cpt_50", "CPT 50 %"), ("cpt_80", "CPT 80 %"), ("rows", "rows"))
    published = {
        f"{benchmark}: {row['router']}" + (f", {row['trained_on']}" if row["trained_on"] else ""): row
        for benchmark, rows in found["published"].items()
        for row in rows
    }
    parts = [
        "## Outcome tables",
        "APGR: mean share of the gap between the weak and the strong model that is recovered; CPT: least share of "
        "strong calls that recovers half, four fifths of it. Whole subjects are held out from what is trained here, so "
        "there is no mean gain of a subject to compare with: a subject prior does not exist for them. RouteLLM "
        "published (arXiv 2406.18665, tables 1 to 3; GPT-4 and Mixtral-8x7B, as in our MMLU table, which holds a part "
        "of the subjects):",
        table(published, (("apgr", "APGR"), *shown[1:3]), "RouteLLM"),
    ]
    for name, curves in found["tables"].items():
        rows = {
            k: {**row, "apgr_shown": _with_interval(row["apgr"], (row["low"], row["high"]))}
            for k, row in curves.items()
        }
        parts += [f"{name}:", table(rows, shown, "score")]
    return parts
