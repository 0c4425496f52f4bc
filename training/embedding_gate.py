"""Does an embedding earn its place? The challenger with it, beside the challenger without it, on the same requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.embedding import EmbeddingTerm
from classifier.model import load
from classifier.prompt import view_of
from classifier.record import LabelledRequest
from training.embedding_vectors import BATCH
from training.embedding_words import plain_of
from training.gate import LEAST_LABELS, Check, better_somewhere, not_worse
from training.held_out import HeldOut
from training.honesty import mean_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """How it is judged.

    Attributes:
        deadline_ms: How long a request will wait for a vector.
        timed: Milliseconds that the host took for each of some texts, asked one by one.
        stages: As in `classifier.load`.
        seed: Of bootstraps.
    """

    deadline_ms: int
    timed: Callable[[Sequence[str]], list[float]]
    stages: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Earned:
    """What came of the trial.

    Attributes:
        ok: It earns its place.
        checks: What was asked, on the frozen part and on held-out labels.
        asked: Share of the frozen requests that leave enough doubt for it to be asked.
        latency_ms: Median and 95th percentile of a single call.
        deadline_ms: How long a request waits.
        name: The embedding's.
    """

    ok: bool
    checks: tuple[Check, ...]
    asked: float
    latency_ms: tuple[float, float]
    deadline_ms: int
    name: str

    @property
    def lines(self) -> list[str]:
        """The checks for people."""
        return [f"{'passes' if one.ok else 'FAILS '}  with {self.name}, {one.name}: {one.said}" for one in self.checks]

    @property
    def said(self) -> str:
        """One sentence for people."""
        calls = (
            f"it would be asked for {self.asked:.0%} of requests, {self.latency_ms[0]:.0f} ms a call "
            f"(95th percentile {self.latency_ms[1]:.0f}, waited for {self.deadline_ms} at most)"
        )
        better = next(one.said for one in self.checks if one.name == "earns its place")
        if self.ok:
            return f"embedding {self.name} is in: {better}; {calls}"
        against = "; ".join(f"{one.name}: {one.said}" for one in self.checks if not one.ok)
        return f"embedding {self.name} does not earn its place, the challenger is plain: {against}; {calls}"

    def report(self, described: dict[str, Any], with_text: int, labels: int) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            **described, "kept": self.ok, "asked_share": round(self.asked, 4), "said": self.said,
            "labels_with_text": with_text, "labels_without_text": labels - with_text,
            "checks": [{"name": c.name, "ok": bool(c.ok), "said": c.said, "figures": c.figures} for c in self.checks],
        }  # fmt: skip


def earns(
    challenger: Artifact, term: EmbeddingTerm, frozen: Sequence[LabelledRequest], vectors: NDArray[np.float32],
    on_labels: Check | None, trial: Trial,
) -> Earned:  # fmt: skip
    """Hold a challenger with a term against itself without.

    Args:
        challenger: Without the term.
        term: The term.
        frozen: Frozen requests.
        vectors: (n, d) of them.
        on_labels: What held-out labels say, from `label_gain`.
        trial: Stages, seed, and how to time the host.
    """
    model = load(challenger.path, stages=trial.stages)
    views = [view_of(row.request) for row in frozen]
    plain = plain_of(model, views)
    after = plain.with_term(term, vectors)
    checks = not_worse(plain.probabilities, after, frozen, challenger.matrices["default"], trial.seed)
    on_frozen = better_somewhere(plain.probabilities, after, frozen, trial.seed)
    said = f"log loss on the frozen part {_gain(on_frozen)}" + ("" if on_labels is None else f", {on_labels.said}")
    better = on_frozen.ok or (on_labels is not None and on_labels.ok)
    figures = {"frozen": on_frozen.figures, "labels": None if on_labels is None else on_labels.figures}
    checks.append(Check("earns its place", better, said, figures))
    times = np.sort(trial.timed([term.text(view) for view in views[:BATCH]]))
    latency = (float(np.median(times)), float(np.percentile(times, 95)))
    asked = float(plain.asked.mean())
    return Earned(
        all(bool(one.ok) for one in checks), tuple(checks), asked,
        (round(latency[0], 1), round(latency[1], 1)), trial.deadline_ms, term.name,
    )  # fmt: skip


def label_gain(held: HeldOut, heard: HeldOut, rows: NDArray[np.intp], seed: int) -> Check | None:
    """Log loss on held-out labels whose text is stored, with the embedding against without; None: too few.

    Args:
        held: Without.
        heard: With.
        rows: Which labels have a text.
        seed: Of the bootstrap.
    """
    if rows.size < LEAST_LABELS:
        return None
    before, after = held.take(rows), heard.take(rows)
    at = np.arange(rows.size)
    gain = np.log(np.maximum(after.challenger[at, before.labels], 1e-9)) - np.log(
        np.maximum(before.challenger[at, before.labels], 1e-9)
    )
    found = mean_interval(gain, before.weights, before.clusters, seed)
    mean = -float(np.average(gain, weights=before.weights))
    figures: dict[str, Any] = {"labels": int(rows.size), "log_loss": round(mean, 4)}
    if found is None:
        return Check("labels", False, f"{rows.size} held-out labels of too few conversations", figures)
    figures["gain_interval"] = [round(found[0], 4), round(found[1], 4)]
    said = f"on {rows.size} held-out labels {mean:+.3f} ({-found[1]:+.3f}..{-found[0]:+.3f})"
    return Check("labels", bool(found[0] > 0), said, figures)


def _gain(check: Check) -> str:
    found = check.figures["gain_interval"]
    said = check.said.rsplit(" ", 1)[-1]
    return said if found is None else f"{said} ({-found[1]:+.3f}..{-found[0]:+.3f})"
