"""What each stage costs on this machine, in milliseconds of CPU."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from classifier import Classifier, PromptView, view_of
from classifier.record import LabelledRequest

SAMPLE = 100
"""Requests that are timed."""

WARM = 3
"""Requests before the first that counts: the first calls pay for loading."""


def stage_cost(model: Classifier, rows: Sequence[LabelledRequest], seed: int) -> dict[str, Any]:
    """Time both stages on a random sample.

    Args:
        model: The classifier; without a second stage only the first is timed.
        rows: Requests to choose from, at least one.
        seed: Of the choice.

    Returns:
        `machine`, `sample` (requests timed), and by stage `mean_ms`, `median_ms`, `p95_ms` of CPU over all threads. The
        first stage's include the reading of the request.
    """
    picked = np.random.default_rng(seed).permutation(len(rows))[:SAMPLE]
    requests = [rows[i].request for i in picked]
    first = Classifier(model.artifact)
    found: dict[str, Any] = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "sample": len(requests),
        "first stage": _timed(lambda request: first.view_probabilities(view_of(request)), requests),
    }
    if model.deep is not None:
        views: list[PromptView] = [view_of(request) for request in requests]
        found["second stage"] = _timed(model.deep.logits, views)
    return found


def _timed(call: Callable[[Any], Any], inputs: Sequence[Any]) -> dict[str, float]:
    for given in inputs[:WARM]:
        call(given)
    spent = []
    for given in inputs:
        begun = time.process_time_ns()
        call(given)
        spent.append((time.process_time_ns() - begun) / 1e6)
    median, tail = np.percentile(spent, [50, 95])
    return {"mean_ms": float(np.mean(spent)), "median_ms": float(median), "p95_ms": float(tail)}
