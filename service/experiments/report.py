"""The report of an experiment: the same analysis as `autotier compare --log`, with intervals that allow daily looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.config.experiments import ExperimentSettings
from service.experiments.state import Running
from training.analysis.logged import estimates, logged_row
from training.analysis.sanity import dominated_in_log, warnings_of
from training.analysis.sequential import sequential_difference

ROUTED = "routed"


def report(
    experiment: ExperimentSettings, running: Running | None, exported: Iterable[Mapping[str, Any]], times: int = 500
) -> dict[str, Any]:
    """What an experiment says so far.

    Args:
        experiment: Its settings.
        running: The state, or None if none was started.
        exported: Rows of the store's export.
        times: Bootstrap draws.

    Returns:
        Ready for JSON: `state`, `stopped`, `arms` by target, `differences` to `routed` (safe to look at any time),
        `conclusion`.
    """
    found = (logged_row(one, experiment.name) for one in exported)
    rows = [row for row in found if row is not None and row.target is not None]
    arms = estimates(rows, times, 0)
    gaps = {
        name: gap
        for name in arms
        if name != ROUTED and (gap := sequential_difference(rows, name, ROUTED, experiment.minimum_units)) is not None
    }
    mine = running is not None and running.name == experiment.name
    state = "never started" if not mine or running is None else "running" if running.until_s is None else "stopped"
    return {
        "experiment": experiment.name,
        "state": state,
        "stopped": dict(running.stopped) if mine and running is not None else {},
        "requests": len(rows),
        "units": len({row.unit for row in rows}),
        "arms": {
            name: {
                "rows": one.rows,
                "success": one.success,
                "bounds": list(one.bounds),
                "outcome_share": one.outcome_share,
                "doubly_robust": one.doubly_robust,
                "effective_sample_size": one.effective,
                "cost": one.cost,
                "cost_per_completed": one.cost_per_completed,
                "latency_p95_s": one.latency_p95_s,
            }
            for name, one in arms.items()
        },
        "differences": {
            name: {"success": gap.difference, "interval": [gap.low, gap.high], "units": gap.units}
            for name, gap in gaps.items()
        },
        "warnings": warnings_of(dominated_in_log(arms), []),
        "conclusion": _conclusion(gaps, experiment.minimum_units),
    }


def _conclusion(gaps: Mapping[str, Any], minimum: int) -> str:
    units = max((gap.units for gap in gaps.values()), default=0)
    if units < minimum:
        return f"no conclusion yet: {units} of {minimum} units with an outcome"
    said = []
    for name, gap in gaps.items():
        if gap.low > 0 or gap.high < 0:
            word = "better" if gap.low > 0 else "worse"
            span = f"{100 * gap.low:+.1f}..{100 * gap.high:+.1f}"
            said.append(f"{name} is {word} than routing by {100 * abs(gap.difference):.1f} points ({span})")
    return "; ".join(said) or "no resolved difference to routing"


def shown(found: Mapping[str, Any]) -> list[str]:
    """The report for people."""
    lines = [f"{found['experiment']}: {found['state']}, {found['requests']} requests, {found['units']} units"]
    lines += [f"  stopped   {arm}: {why}" for arm, why in found["stopped"].items()]
    for name, arm in found["arms"].items():
        success = "-" if arm["success"] is None else f"{100 * arm['success']:.1f} %"
        low, high = arm["bounds"]
        lines.append(
            f"  {name:<20} solved {success} (unknown ones none..all: {100 * low:.1f}..{100 * high:.1f}), "
            f"{arm['rows']} requests, effective {arm['effective_sample_size']:.0f}, {arm['cost']:.5f} $ a request"
        )
    for name, gap in found["differences"].items():
        low, high = gap["interval"]
        lines.append(
            f"  {name} - routed: {100 * gap['success']:+.1f} points ({100 * low:+.1f}..{100 * high:+.1f}, at any time)"
        )
    return [*lines, *found["warnings"], found["conclusion"]]
