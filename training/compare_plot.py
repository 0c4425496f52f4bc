"""The curve of cost against quality of a comparison as PNG and SVG. Needs matplotlib (the extra `training`)."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "cost_quality"


def installed() -> bool:
    """Whether matplotlib can be imported."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(result: Mapping[str, Any], out: Path | None) -> str:
    """Draw the plot.

    Args:
        result: A comparison.
        out: Folder for `cost_quality.png` and `cost_quality.svg`; None: nothing is written.

    Returns:
        The SVG as an element to put into HTML.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "autotier", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 5))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        curve = result.get("curve") or []
        if curve:
            axes.plot(
                *zip(*((p["cost"], p["success"]) for p in curve), strict=True),
                color="#3b6ea5",
                label="routing, bold to careful",
            )
        fixed = [one for name, one in result["arms"].items() if name.startswith("always-") and one["cost"] is not None]
        axes.plot([a["cost"] for a in fixed], [a["success"] for a in fixed], "k:", lw=1, label="mixes of fixed tiers")
        for name, arm in result["arms"].items():
            _point(axes, name, arm)
        axes.set_xlabel("US dollars a request")
        axes.set_ylabel("share solved")
        axes.legend(loc="lower right")
        figure.tight_layout()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        svg = buffer.getvalue()
        if out is not None:
            (out / f"{NAME}.svg").write_text(svg, encoding="utf-8")
            figure.savefig(out / f"{NAME}.png", dpi=120)
    return svg[svg.index("<svg") :]


def _point(axes: Any, name: str, arm: Mapping[str, Any]) -> None:
    """An arm with its interval of success; one whose figures are not known is left out."""
    if arm["cost"] is None or arm["success"] is None:
        return
    bounds = (arm.get("interval") or {}).get("success")
    bars = None
    if bounds:
        bars = [[max(0.0, arm["success"] - bounds[0])], [max(0.0, bounds[1] - arm["success"])]]
    color = "#c0392b" if name == "routed" else "#555555"
    axes.errorbar([arm["cost"]], [arm["success"]], yerr=bars, fmt="o", color=color, capsize=3)
    axes.annotate(name, (arm["cost"], arm["success"]), textcoords="offset points", xytext=(6, 4), fontsize=8)
