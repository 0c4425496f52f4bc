"""Plots of an evaluation: reliability, reasoning reached against cloud share, cost against quality. Needs
matplotlib; the numbers are those of `report.json`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Line = tuple[Sequence[float], Sequence[float]]

AXES = {
    "reliability": ("probability of the most probable tier", "share right"),
    "reliability_tiers": ("probability of the tier", "share that needs it"),
    "reached": ("cloud share", "reasoning reached"),
    "cost": ("cents a request, waiting included", "share answered by a tier that suffices"),
}
"""What each plot shows, by its file name."""


def installed() -> bool:
    """Whether matplotlib can be imported."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(out: Path, pooled: Mapping[str, Any]) -> None:
    """Write `reliability.png`, `reliability_tiers.png`, `reached.png`, `cost.png`.

    Args:
        out: Folder.
        pooled: Figures of the real prompts, from `training.evaluate.pooled_figures`.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    for name, lines in lines_of(pooled).items():
        figure = Figure(figsize=(5, 4))
        axes = figure.subplots()
        for label, (x, y) in lines.items():
            axes.plot(x, y, marker="." if name != "reached" else "", label=label)
        if name != "cost":
            axes.plot([0, 1], [0, 1], "k:", lw=1)
        axes.set_xlabel(AXES[name][0])
        axes.set_ylabel(AXES[name][1])
        axes.legend()
        figure.tight_layout()
        figure.savefig(out / f"{name}.png", dpi=120)


def lines_of(pooled: Mapping[str, Any]) -> dict[str, dict[str, Line]]:
    """Lines by plot and label."""
    by_arm, own = pooled["calibration_by_arm"], pooled["calibration"]
    return {
        "reliability": {arm: _diagram(found["top label"]) for arm, found in by_arm.items()},
        "reliability_tiers": {tier: _diagram(found) for tier, found in own.items() if tier != "top label"},
        "reached": {arm: ([0.0, *curve], [0.0, *curve.values()]) for arm, curve in pooled["reached"].items()},
        "cost": {
            arm: ([p["cents"] for p in points], [p["enough"] for p in points])
            for arm, points in pooled["cost"]["curves"].items()
        },
    }


def _diagram(found: Mapping[str, Any]) -> Line:
    return [b["probability"] for b in found["bins"]], [b["frequency"] for b in found["bins"]]
