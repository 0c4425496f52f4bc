"""The gate: whether a challenger may take the champion's place. It may not lose anywhere, and must win where asked.

Both are judged as their stages serve together, on the same requests, in one process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import ArtifactError, load_artifact
from classifier.deep import DEEP_FILES, DeepStage, installed, load_deep
from classifier.model import Classifier
from classifier.prompt import PromptView, view_of
from classifier.record import LabelledRequest
from classifier.tiers import TIERS, tier_index
from training.dataset import load_frozen
from training.embedding_words import VectorsOf, as_served
from training.held_out import HeldOut
from training.honesty import informative, mean_interval, poisoned
from training.metrics import ece

Floats = NDArray[np.float64]
Say = Callable[[str], None]

LEAST_LABELS = 12
ECE_WORSE = 0.02
"""What the expected calibration error may grow by."""

LOSS_WORSE = 0.02
"""What the log loss of the frozen part may grow by: who learns a new domain is a little less certain elsewhere. What is
right there may not become less beyond its interval."""

SLOWER, SLOWER_MS = 1.25, 0.3
"""A challenger that takes a quarter longer, and this many milliseconds longer, is too slow."""

TIMED = 60


@dataclass(frozen=True, slots=True)
class Check:
    """One of the gate's questions.

    Attributes:
        name: What is asked.
        ok: Whether the challenger passes.
        said: The answer in words, with its figures.
        figures: Ready for JSON.
    """

    name: str
    ok: bool
    said: str
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says.

    Attributes:
        champion: Id of the champion.
        challenger: Id of the challenger.
        checks: All questions that were asked.
    """

    champion: str
    challenger: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return all(check.ok for check in self.checks)

    @property
    def reason(self) -> str:
        """Why it is refused; or why not."""
        against = [f"{c.name}: {c.said}" for c in self.checks if not c.ok]
        return "; ".join(against) or "it loses nowhere and follows the corrections better"

    def public(self) -> dict[str, Any]:
        """Ready for JSON."""
        checks = [{"name": c.name, "ok": bool(c.ok), "said": c.said, "figures": c.figures} for c in self.checks]
        return {
            "champion": self.champion, "challenger": self.challenger, "ok": self.ok, "reason": self.reason,
            "checks": checks,
        }  # fmt: skip


def judge(
    challenger: Path,
    champion: Path,
    *,
    data: Path | None = None,
    stages: int | None = None,
    seed: int = 0,
    whole: bool = True,
    vectors: VectorsOf | None = None,
    say: Say = lambda _: None,
) -> Judgement:
    """Hold a challenger against the champion.

    Args:
        challenger: Artifact folder.
        champion: Artifact folder.
        data: Folder with the frozen part; None: the one that comes with the package.
        stages: As in `classifier.load`.
        seed: Of bootstraps and permutations.
        whole: Ask everything; False: leave the frozen part out where the labels refuse already.
        vectors: Gives vectors for artifacts with an embedding; None: nobody is asked, and such a challenger is refused.
        say: Called with one line per check.

    Returns:
        The judgement.

    Raises:
        ArtifactError: One of them cannot be used at all (damaged, not finite, of another shape or feature schema).
        DatasetError: The frozen part cannot be read.
    """
    new, old = models_of(challenger, champion, stages)
    held = HeldOut.read(challenger)
    checks = [came_from(new, old)]
    checks += corrections(held, new, seed)
    if not whole and not all(check.ok for check in checks):
        return Judgement(old.artifact.id, new.artifact.id, tuple(checks))
    frozen = load_frozen(data)
    views = [view_of(row.request) for row in frozen]
    (before, unheard), (after, unjudged) = (as_served(model, views, vectors) for model in (old, new))
    checks += embeddings(new, unjudged, unheard)
    if not np.isfinite(after).all() or np.abs(after.sum(axis=1) - 1).max() > 1e-6:
        raise ArtifactError(f"{challenger}: its predictions are no probabilities")
    checks += not_worse(before, after, frozen, old.artifact.matrices["default"], seed)
    if held is None or held.labels.size < LEAST_LABELS:
        checks.append(better_somewhere(before, after, frozen, seed))
    checks.append(latency(new, old, views[:TIMED]))
    for check in checks:
        say(f"{'passes' if check.ok else 'FAILS '}  {check.name}: {check.said}")
    return Judgement(old.artifact.id, new.artifact.id, tuple(checks))


class _Once:
    """A second stage that two artifacts with the same files share: each request passes it once."""

    def __init__(self, stage: DeepStage) -> None:
        self._stage = stage
        self._known: dict[PromptView, Floats] = {}

    def logits(self, view: PromptView) -> Floats:
        """As `DeepStage.logits`."""
        if view not in self._known:
            self._known[view] = self._stage.logits(view)
        return self._known[view]


def models_of(challenger: Path, champion: Path, stages: int | None) -> tuple[Classifier, Classifier]:
    """Both, as they serve; a second stage that they share is loaded once.

    Raises:
        ArtifactError: One cannot be used, or the challenger lacks the second stage that the champion has.
    """
    new, old = load_artifact(challenger), load_artifact(champion)
    if old.stack is not None and new.stack is None:
        raise ArtifactError(f"{challenger}: has no second stage, the champion has one")
    if stages == 1 or not installed() or new.stack is None:
        return Classifier(new), Classifier(old)
    files = [[a.metadata["files"].get(name) for name in DEEP_FILES] for a in (new, old)]
    shared = cast(DeepStage, _Once(load_deep(challenger)))
    other = shared if files[0] == files[1] else cast(DeepStage, _Once(load_deep(champion))) if old.stack else None
    return Classifier(new, shared), Classifier(old, other)


def came_from(new: Classifier, old: Classifier) -> Check:
    """A challenger is held against the champion that it was trained from, and is another one."""
    parent = new.artifact.metadata.get("lineage", {}).get("parent")
    figures = {"parent": parent, "champion": old.artifact.id}
    if new.artifact.id == old.artifact.id:
        return Check("lineage", False, "it is the champion", figures)
    if parent is not None and parent != old.artifact.id:
        return Check("lineage", False, f"it was trained from {parent}, {old.artifact.id} serves: train again", figures)
    return Check("lineage", True, f"trained from {parent}" if parent else "trained from scratch", figures)


def corrections(held: HeldOut | None, new: Classifier, seed: int) -> list[Check]:
    """Honest labels, and better on those that were held out."""
    if held is None:
        return []
    unseen = held.take(np.flatnonzero(held.unseen))
    if unseen.labels.size < LEAST_LABELS:
        said = f"{unseen.labels.size} labels that the champion had not seen: nothing to show"
        return [Check("corrections", False, said, {"labels": int(unseen.labels.size)})]
    near = new.artifact.metadata.get("lineage", {}).get("near_base", {})
    found = [Check("poison", one.ok, one.said, one.figures) for one in (poisoned(unseen, near, seed),)]
    found += [Check("chance", one.ok, one.said, one.figures) for one in (informative(unseen, seed),)]
    return [*found, gain(unseen, seed), *others(unseen, seed)]


def gain(held: HeldOut, seed: int) -> Check:
    """Log loss on held-out corrections, paired, clusters of caller and conversation drawn again."""
    rows = np.arange(held.labels.size)
    better = np.log(np.maximum(held.challenger[rows, held.labels], 1e-9)) - np.log(
        np.maximum(held.champion[rows, held.labels], 1e-9)
    )
    right = _right(held.challenger, held.labels) - _right(held.champion, held.labels)
    mean, share = (float(np.average(v, weights=held.weights)) for v in (better, right))
    found = mean_interval(better, held.weights, held.clusters, seed)
    hits = mean_interval(right, held.weights, held.clusters, seed)
    figures = {"labels": int(rows.size), "log_loss": round(-mean, 4), "interval": _rounded(found),
               "right": round(share, 4), "right_interval": _rounded(hits)}  # fmt: skip
    if found is None or hits is None:
        return Check("corrections", False, "too few conversations for an interval", figures)
    said = (
        f"log loss on {rows.size} held-out labels {-mean:+.3f} ({-found[1]:+.3f}..{-found[0]:+.3f}), "
        f"right {share:+.1%} ({hits[0]:+.1%}..{hits[1]:+.1%})"
    )
    return Check("corrections", found[0] > 0 and hits[1] >= 0, said, figures)


def others(held: HeldOut, seed: int) -> list[Check]:
    """Where one caller gave much of the labels: the other callers may not pay for it."""
    names, inverse = np.unique(held.callers, return_inverse=True)
    weight = np.bincount(inverse, held.weights)
    biggest = int(weight.argmax())
    rows = np.flatnonzero(inverse != biggest)
    if names.size < 3 or weight[biggest] < 0.4 * weight.sum() or rows.size < LEAST_LABELS:
        return []
    rest = held.take(rows)
    at = np.arange(rows.size)
    better = np.log(np.maximum(rest.challenger[at, rest.labels], 1e-9)) - np.log(
        np.maximum(rest.champion[at, rest.labels], 1e-9)
    )
    found = mean_interval(better, rest.weights, rest.clusters, seed)
    ok = found is None or found[1] >= 0
    said = f"log loss on the labels of all but {names[biggest]} {-float(np.average(better, weights=rest.weights)):+.3f}"
    return [Check("other callers", ok, said, {"interval": _rounded(found)})]


def embeddings(new: Classifier, unjudged: str, unheard: str) -> list[Check]:
    """A challenger is judged with its embedding, else it is not judged as it would serve.

    Args:
        new: The challenger.
        unjudged: Why its embedding was not heard, "" if it was.
        unheard: The same of the champion's.
    """
    found, term = [], new.artifact.embedding
    if term is not None:
        said = f"not judged with {term.name}: {unjudged}; ask where its host answers, or train without --embedding"
        median, most = new.artifact.metadata["embedding"].get("latency_ms", (0.0, 0.0))
        calls = f"judged with {term.name}, {median:g} ms a call (95th percentile {most:g})"
        found.append(Check("embedding", not unjudged, said if unjudged else calls, {"latency_ms": [median, most]}))
    if unheard:
        found.append(Check("the champion's embedding", True, f"judged without it: {unheard}", {}))
    return found


def _right(p: Floats, true: NDArray[np.intp]) -> Floats:
    return np.asarray((p.argmax(axis=1) == true), dtype=np.float64)


def not_worse(
    before: Floats, after: Floats, rows: Sequence[LabelledRequest], matrix: Sequence[Sequence[float]], seed: int
) -> list[Check]:
    """Frozen requests: overall, by class, by language, by source; calibration.

    Intervals are paired, topics drawn again; those of a family of groups hold together (Bonferroni), else one of
    twenty languages would be found worse by chance alone.
    """
    true = np.array([tier_index(r.tier) for r in rows], dtype=np.intp)
    gap = _right(after, true) - _right(before, true)
    names = np.array([r.block or r.near or r.group or r.id for r in rows])
    clusters = np.unique(names, return_inverse=True)[1].astype(np.intp)
    at = np.arange(true.size)
    loss = np.log(np.maximum(after[at, true], 1e-9)) - np.log(np.maximum(before[at, true], 1e-9))
    families = {
        "class": [TIERS[t].value for t in true],
        "language": [r.lang or "unknown" for r in rows],
        "source": [source_of(r) for r in rows],
    }
    checks = [_overall(gap, loss, clusters, seed)]
    checks += [_family(name, keys, gap, clusters, seed) for name, keys in families.items()]
    return [*checks, _calibration(before, after, true), _cost(before, after, true, matrix, clusters, seed)]


def source_of(row: LabelledRequest) -> str:
    """Source of a frozen row: of team-written ones, which writer's batch (the letters of the id)."""
    return row.id.split("-")[0] if row.source in ("", "written") else row.source


def _overall(gap: Floats, loss: Floats, clusters: NDArray[np.intp], seed: int) -> Check:
    ones = np.ones(gap.size)
    right, log = mean_interval(gap, ones, clusters, seed), mean_interval(loss, ones, clusters, seed)
    ok = right is not None and log is not None and right[1] >= 0 and (log[1] >= 0 or -loss.mean() <= LOSS_WORSE)
    said = f"right {gap.mean():+.1%} ({_text(right)}), log loss {-loss.mean():+.3f} on {gap.size} frozen requests"
    figures = {"right": round(float(gap.mean()), 4), "interval": _rounded(right),
               "log_loss": round(-float(loss.mean()), 4), "log_loss_gain_interval": _rounded(log)}  # fmt: skip
    return Check("frozen", ok, said, figures)


def _family(name: str, keys: Sequence[str], gap: Floats, clusters: NDArray[np.intp], seed: int) -> Check:
    array = np.asarray(keys)
    groups = sorted(set(keys))
    level = 1 - 0.05 / len(groups)
    figures: dict[str, Any] = {}
    worse = []
    for group in groups:
        rows = np.flatnonzero(array == group)
        found = mean_interval(gap[rows], np.ones(rows.size), clusters[rows], seed, level)
        figures[group] = {
            "rows": int(rows.size),
            "right": round(float(gap[rows].mean()), 4),
            "interval": _rounded(found),
        }
        if found is not None and found[1] < 0:
            worse.append(f"{group} {gap[rows].mean():+.1%} ({_text(found)})")
    least = min(groups, key=lambda g: figures[g]["right"])
    said = "worse in " + ", ".join(worse) if worse else f"least in {least}: {figures[least]['right']:+.1%}"
    return Check(f"frozen by {name}", not worse, said, figures)


def _calibration(before: Floats, after: Floats, true: NDArray[np.intp]) -> Check:
    old, new = ece(before, true), ece(after, true)
    figures = {"champion": round(old, 4), "challenger": round(new, 4)}
    return Check("calibration", new <= old + ECE_WORSE, f"expected calibration error {old:.3f} to {new:.3f}", figures)


def _cost(
    before: Floats, after: Floats, true: NDArray[np.intp], matrix: Sequence[Sequence[float]],
    clusters: NDArray[np.intp], seed: int,
) -> Check:  # fmt: skip
    """Cost of the policy's errors."""
    from classifier.policy import choose_index

    table = np.asarray(matrix)
    saved = table[true, choose_index(before, matrix)] - table[true, choose_index(after, matrix)]
    found = mean_interval(saved, np.ones(saved.size), clusters, seed)
    said = f"errors cost {-saved.mean():+.2f} cents a request ({_text(found, '.2f')} saved)"
    return Check("cost of errors", found is not None and found[1] >= 0, said, {"saved": _rounded(found)})


def better_somewhere(before: Floats, after: Floats, rows: Sequence[LabelledRequest], seed: int) -> Check:
    """Without corrections a challenger has to show on the frozen part that it is better."""
    true = np.array([tier_index(r.tier) for r in rows], dtype=np.intp)
    at = np.arange(true.size)
    loss = np.log(np.maximum(after[at, true], 1e-9)) - np.log(np.maximum(before[at, true], 1e-9))
    clusters = np.unique([r.block or r.group or r.id for r in rows], return_inverse=True)[1].astype(np.intp)
    found = mean_interval(loss, np.ones(loss.size), clusters, seed)
    ok = found is not None and found[0] > 0
    said = "no labels to show it on; log loss on the frozen part " + f"{-loss.mean():+.3f}"
    return Check("better", ok, said, {"gain_interval": _rounded(found)})


def latency(new: Classifier, old: Classifier, views: Sequence[PromptView]) -> Check:
    """Medians of the time for one classification, both in turn on the same requests."""
    plain = [_timed(m) for m in (new, old)]
    ratio = statistics.median
    times: tuple[list[float], list[float]] = ([], [])
    for view in views:
        for taken, model in zip(times, plain, strict=True):
            start = time.perf_counter()
            model.view_probabilities(view)
            taken.append((time.perf_counter() - start) * 1_000)
    slow, was = ratio(times[0]), ratio(times[1])
    ok = slow <= was * SLOWER or slow - was <= SLOWER_MS
    return Check(
        "latency", ok, f"{was:.2f} to {slow:.2f} ms", {"champion_ms": round(was, 3), "challenger_ms": round(slow, 3)}
    )


def _timed(model: Classifier) -> Classifier:
    """The model with its real second stage, without the memory that both share."""
    stage = model.deep
    return Classifier(model.artifact, cast(Any, stage)._stage if isinstance(stage, _Once) else stage)


def _rounded(found: tuple[float, float] | None) -> list[float] | None:
    return None if found is None else [round(found[0], 4), round(found[1], 4)]


def _text(found: tuple[float, float] | None, form: str = ".1%") -> str:
    return "no interval" if found is None else f"{found[0]:+{form}}..{found[1]:+{form}}"
