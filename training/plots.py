"""Plots of an evaluation: reliability, reasoning reached against cloud share, cost against quality. Needs
matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from classifier.policy import Matrix, choose_index
from training.metrics import equal_mass, reached
from training.pooled import Pooled


def installed() -> bool:
    """Whether matplotlib can be imported."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(out: Path, pooled: Pooled, matrices: Mapping[str, Matrix]) -> None:
    """Write `reliability.png`, `reached.png`, `cost.png`.

    Args:
        out: Folder.
        pooled: Real prompts with sources held out.
        matrices: Cost matrices by name; `default` scales from cheap to careful for the cost curve.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    arms = (
        {"first stage": pooled.first}
        if pooled.both is None
        else {"first stage": pooled.first, "as served": pooled.both}
    )
    figures = {name: Figure(figsize=(5, 4)) for name in ("reliability", "reached", "cost")}
    axes = {name: figure.subplots() for name, figure in figures.items()}
    for label, p in arms.items():
        confidence, hit = p.max(axis=1), (p.argmax(axis=1) == pooled.true).astype(float)
        bins = equal_mass(confidence, 10, pooled.weights)
        mean = [[np.average(v[r], weights=pooled.weights[r]) for r in bins] for v in (confidence, hit)]
        axes["reliability"].plot(*mean, marker="o", label=label)
        shares = np.linspace(0, 1, 41)
        axes["reached"].plot(shares, [reached(p, pooled.true, s, pooled.weights) for s in shares], label=label)
        axes["cost"].plot(*_cost_curve(p, pooled, matrices["default"]), marker=".", label=label)
    axes["reliability"].plot([0.3, 1], [0.3, 1], "k:", lw=1)
    axes["reached"].plot([0, 1], [0, 1], "k:", lw=1)
    for name, (x, y) in {
        "reliability": ("confidence", "share right"),
        "reached": ("cloud share", "reasoning reached"),
        "cost": ("share above lightweight", "share answered by a tier that suffices"),
    }.items():
        axes[name].set_xlabel(x)
        axes[name].set_ylabel(y)
        axes[name].legend()
        figures[name].tight_layout()
        figures[name].savefig(out / f"{name}.png", dpi=120)


def _cost_curve(p: np.ndarray, pooled: Pooled, matrix: Matrix) -> tuple[list[float], list[float]]:
    """Share above lightweight and share served by a sufficient tier, while the cost of under-routing is scaled."""
    above, enough = [], []
    for factor in np.geomspace(0.02, 50, 30):
        scaled = np.array(matrix)
        scaled[np.tril_indices(3, -1)] *= factor
        tiers = choose_index(p, scaled.tolist())
        above.append(float(np.average(tiers > 0, weights=pooled.weights)))
        enough.append(float(np.average(tiers >= pooled.true, weights=pooled.weights)))
    return above, enough
