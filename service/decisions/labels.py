"""The log as labels for training: one after the other, in pages, whatever the log's size.

Abuse: the labels of one caller and one day weigh at most ``most_per_caller_day`` together. All of them are scaled down
alike beyond it, those that somebody said before those that were concluded, so that a flood drowns nobody else.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, select

from classifier import PromptView, Tier, view_of
from classifier.deep import read_part
from classifier.features import SCHEMA
from service.decisions import reading
from service.decisions.agreement import Agreement
from service.decisions.features import KeptRow, kept_row
from service.decisions.records import FeedbackRecord
from service.decisions.resolving import Label, Resolved, WeightOf, resolved
from service.decisions.schema import decisions, feedback
from service.decisions.store import DecisionStore
from training.logged_labels import LoggedLabel

DAY_S = 86_400
SHOWN = 20
"""Decisions in conflict, and capped days, that a summary names."""

_COLUMNS = ("id", "created_s", "caller", "tier", "reason", "outcome", "artifact", "conversation", "decision")


@dataclass(frozen=True, slots=True)
class _About:
    """A decision about which something was said; ``row`` is None where it was lost with its batch."""

    decision_id: str
    row: Mapping[str, Any] | None
    found: Resolved


@dataclass(slots=True)
class _Day:
    """Weight of one caller's labels of one day, before the cap."""

    said: float = 0.0
    concluded: float = 0.0

    def factor(self, explicit: bool, most: float) -> float:
        """What each weight is multiplied with."""
        if explicit:
            return most / max(self.said, most)
        return min(1.0, max(0.0, most - self.said) / max(self.concluded, 1e-9))


@dataclass(slots=True)
class _Counts:
    """What a summary adds up."""

    sources: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    callers: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    older: Counter[str] = field(default_factory=Counter)
    conflicting: list[str] = field(default_factory=list)
    agreement: Agreement = field(default_factory=Agreement)


class Labels:
    """Labelled decisions of a store (``training.logged_labels.LabelSource``).

    Args:
        store: An open store.
        weight_of: Of implicit sources, 0 for one that is off (``learning.implicit``).
        most_per_caller_day: ``learning.most_weight_per_caller_day``.
        older: Which scorer, in words, speaks for a label of an older feature schema; None: none does.
    """

    def __init__(
        self,
        store: DecisionStore,
        weight_of: WeightOf,
        most_per_caller_day: float,
        older: Callable[[LoggedLabel], str | None] = lambda _: None,
    ) -> None:
        self._older = older
        self._store = store
        self._weight_of = weight_of
        self._most = most_per_caller_day

    def labels(self, since_s: float | None = None, *, texts: bool = False) -> Iterator[LoggedLabel]:
        """Labelled decisions by the time of the request.

        What has no features (``store.prompts: none``) is left out; rows of another feature schema are given out as
        they were kept. ``summary`` counts both.

        Args:
            since_s: Only decisions about which something was said from then on (Unix seconds).
            texts: With what the second stage reads of the stored messages, where there are some.

        Raises:
            StoreError: The store cannot be read.
        """
        days = self._days(since_s)
        for about in self._about(since_s, ("features", "messages") if texts else ("features",)):
            label, row = about.found.label, about.row
            if label is None or row is None or row["tier"] not in set(Tier):
                continue
            kept = kept_row(orjson.loads(row["features"])) if row["features"] else None
            factor = days[label.labelled_by, _day(label)].factor(label.explicit, self._most)
            if kept is not None and factor > 0:
                yield _logged(row, kept, label, label.weight * factor)

    def summary(self, since_s: float | None = None) -> dict[str, Any]:
        """Counts, ready for JSON.

        Returns:
            `labels` (usable ones), `by_source` (number and weight), `by_caller`, `by_tier`; `conflicts` with the first
            decisions; `overruled`, `off`, `no_tier` (comments, "not solved" on the highest tier), `lost` (their
            decision died with its batch); `agreement` of conclusions with what was said (`agreement.Agreement`);
            `older` labels of older feature schemas by the scorer that speaks for them; `unusable` by why; `capped` days
            with their weight before the cap.
        """
        days = self._days(since_s)
        counts = _Counts()
        for about in self._about(since_s, ("features",)):
            self._count(about, days, counts)
        capped = sorted((key, one) for key, one in days.items() if one.said + one.concluded > self._most)
        return {
            "labels": sum(counts.sources.values()),
            "by_source": {
                name: {"labels": number, "weight": round(counts.weights[name], 3)}
                for name, number in sorted(counts.sources.items())
            },
            "by_caller": dict(counts.callers.most_common()),
            "by_tier": {str(tier): counts.tiers[str(tier)] for tier in Tier},
            "conflicts": counts.other["conflicts"],
            "conflicting": counts.conflicting,
            **{name: counts.other[name] for name in ("overruled", "off", "no_tier", "lost", "left_out_by_cap")},
            "agreement": counts.agreement.public(),
            "older": dict(counts.older),
            "unusable": dict(counts.unusable),
            "most_weight_per_caller_day": self._most,
            "capped": [
                {"caller": caller, "day": _date(day), "weight": round(one.said + one.concluded, 3)}
                for (caller, day), one in capped[:SHOWN]
            ],
            "capped_days": len(capped),
        }

    def _count(self, about: _About, days: Mapping[tuple[str, int], _Day], counts: _Counts) -> None:
        found, row = about.found, about.row
        if row is None:
            counts.other["lost"] += 1
            return
        counts.other["overruled"] += found.overruled
        counts.other["off"] += found.off
        counts.agreement.add(found.checked)
        if found.conflict:
            counts.other["conflicts"] += 1
            counts.conflicting += [about.decision_id] if len(counts.conflicting) < SHOWN else []
        label = found.label
        if label is None:
            counts.other["no_tier"] += 1
            return
        kept = kept_row(orjson.loads(row["features"])) if row["features"] else None
        if kept is None or row["tier"] not in set(Tier):
            counts.unusable["no features" if row["tier"] in set(Tier) else "no tier"] += 1
            return
        factor = days[label.labelled_by, _day(label)].factor(label.explicit, self._most)
        how = self._older(_logged(row, kept, label, label.weight * factor)) if kept.schema != SCHEMA else ""
        if how is None:
            counts.unusable[f"feature schema {kept.schema}"] += 1
            return
        if not factor:
            counts.other["left_out_by_cap"] += 1
            return
        if how:
            counts.older[f"feature schema {kept.schema}, {how}"] += 1
            return
        counts.sources[label.source] += 1
        counts.weights[label.source] += label.weight * factor  # type: ignore[assignment]  # a Counter of floats
        counts.callers[label.labelled_by] += 1
        counts.tiers[str(label.tier)] += 1

    def _days(self, since_s: float | None) -> dict[tuple[str, int], _Day]:
        """Weight by caller and day; a day is counted as a whole, wherever in it ``since_s`` lies."""
        days: dict[tuple[str, int], _Day] = defaultdict(_Day)
        for about in self._about(None if since_s is None else since_s // DAY_S * DAY_S, ()):
            label = about.found.label
            if label is None or about.row is None:
                continue
            day = days[label.labelled_by, _day(label)]
            if label.explicit:
                day.said += label.weight
            else:
                day.concluded += label.weight
        return days

    def _about(self, since_s: float | None, large: tuple[str, ...]) -> Iterator[_About]:
        """What was said, by decision, with the large columns that are named."""
        columns = [decisions.c[name] for name in ((*_COLUMNS, *large) if large else _COLUMNS[:-1])]
        after = ""

        def page(connection: Connection) -> tuple[list[str], dict[str, Any], dict[str, list[FeedbackRecord]]]:
            query = select(feedback.c.decision_id).where(feedback.c.decision_id > after).distinct()
            if since_s is not None:
                query = query.where(feedback.c.created_s >= since_s)
            ids = list(connection.execute(query.order_by(feedback.c.decision_id).limit(reading.PAGE)).scalars())
            rows = connection.execute(select(*columns).where(decisions.c.id.in_(ids))).mappings()
            return ids, {row["id"]: row for row in rows}, reading.statements_by_decision(connection, ids)

        while True:
            ids, rows, said = self._store.read(page)
            for one in ids:
                row = rows.get(one)
                got, outcome = (row["tier"], row["outcome"]) if row is not None else (None, "")
                yield _About(one, row, resolved(got, outcome, said[one], self._weight_of))
            if len(ids) < reading.PAGE:
                return
            after = ids[-1]


def _logged(row: Mapping[str, Any], kept: KeptRow, label: Label, weight: float) -> LoggedLabel:
    decision = orjson.loads(row["decision"])
    first_said, both_said = _said_then(decision, kept)
    return LoggedLabel(
        decision_id=row["id"],
        decided_s=row["created_s"],
        labelled_s=label.labelled_s,
        caller=row["caller"],
        labelled_by=label.labelled_by,
        conversation=str(decision.get("unit") or row["conversation"] or row["id"]),
        chosen=Tier(row["tier"]),
        reason=str(row["reason"]),
        artifact=row["artifact"],
        feature_schema=kept.schema,
        structure=kept.row.structure,
        indices=kept.row.indices,
        values=kept.row.values,
        carried=kept.carried,
        second_logodds=kept.second,
        language=kept.language,
        tier=label.tier,
        source=label.source,
        weight=weight,
        explicit=label.explicit,
        view=_view(row.get("messages")),
        first_said=first_said,
        both_said=both_said,
        embedding_logodds=kept.embedding,
        embedding_head=kept.head,
        private=bool(decision.get("private")),
    )


Three = tuple[float, float, float]


def _said_then(decision: Mapping[str, Any], kept: KeptRow) -> tuple[Three | None, Three | None]:
    """Probabilities of the first stage, and of both together, before an embedding or a judge changed them."""
    heard = decision.get("embedding")
    before = heard.get("before") if isinstance(heard, dict) else None
    said = before or decision.get("before_judge") or decision.get("probabilities")
    if decision.get("stage") is None or not isinstance(said, dict):
        return None, None
    one, two, three = (float(said.get(str(tier)) or 0.0) for tier in Tier)
    if kept.second is None and decision["stage"] != 2:
        return (one, two, three), None
    if kept.second is None or kept.first is None:  # written by a version that did not keep it
        return None, None
    a, b, c = (math.exp(z) for z in kept.first)
    return (a, b, c), (one, two, three)


def _view(stored: str | None) -> PromptView | None:
    """What the second stage reads of stored messages; None without any."""
    messages = orjson.loads(stored) if stored else None
    return read_part(view_of(messages)) if messages else None


def _day(label: Label) -> int:
    return int(label.labelled_s // DAY_S)


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
