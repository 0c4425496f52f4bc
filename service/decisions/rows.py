"""Records to rows and back. Total on what a hostile client or host can put into a record."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import RowMapping

from service.decisions.records import AttemptRecord, ConversationRecord, DecisionRecord, FeedbackRecord

JSON_COLUMNS = ("decision", "messages", "features", "error", "dropped_fields")
PROMPT_COLUMNS = ("messages", "features")
_PLAIN = tuple(f.name for f in fields(DecisionRecord) if f.name not in (*JSON_COLUMNS, "attempts"))
_ATTEMPT = tuple(f.name for f in fields(AttemptRecord))
_plain_of, _attempt_of = attrgetter(*_PLAIN), attrgetter(*_ATTEMPT)
_BIGGEST = 2**63 - 1

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision ready to be written.

    Attributes:
        record: What it was made from; read back while the row waits.
        values: Row of ``decisions``.
        attempts: Rows of ``attempts``.
        size: Bytes of its JSON, to bound what waits.
    """

    record: DecisionRecord
    values: Row
    attempts: tuple[Row, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes."""

    decisions: Sequence[DecisionRow] = ()
    holds: Sequence[ConversationRecord] = ()

    @classmethod
    def of(cls, decisions: Iterable[DecisionRecord] = (), holds: Iterable[ConversationRecord] = ()) -> Batch:
        """A batch of records."""
        return cls(tuple(decision_row(one) for one in decisions), tuple(holds))


def decision_row(record: DecisionRecord) -> DecisionRow:
    """The rows of a decision and its attempts."""
    values: Row = dict(zip(_PLAIN, map(storable, _plain_of(record)), strict=True))
    size = 0
    for name in JSON_COLUMNS:
        value = getattr(record, name)
        values[name] = None if value is None else to_json(value)
        size += len(values[name] or "")
    attempts = tuple(
        {"decision_id": values["id"], **dict(zip(_ATTEMPT, map(storable, _attempt_of(one)), strict=True))}
        for one in record.attempts
    )
    return DecisionRow(record, values, attempts, size + 1024 + 512 * len(attempts))


def decision_of(row: RowMapping, attempts: Iterable[RowMapping]) -> DecisionRecord:
    """A decision read back. Columns that were not selected are None, or empty."""
    plain = {name: row[name] for name in _PLAIN}
    parsed: Row = {name: orjson.loads(row[name]) if row.get(name) else None for name in JSON_COLUMNS}
    parsed["decision"] = parsed["decision"] or {}
    parsed["dropped_fields"] = parsed["dropped_fields"] or {}
    made = tuple(AttemptRecord(**{name: one[name] for name in _ATTEMPT}) for one in attempts)
    return DecisionRecord(**plain, **parsed, attempts=made)


def feedback_row(record: FeedbackRecord) -> Row:
    """Row of ``feedback`` without its number."""
    return {name: storable(value) for name, value in asdict(record).items()}


def feedback_of(row: RowMapping) -> FeedbackRecord:
    """A statement read back."""
    return FeedbackRecord(**{f.name: row[f.name] for f in fields(FeedbackRecord)})


SAID = ("correct_tier", "solved", "rating", "comment")


def merged(statements: Iterable[FeedbackRecord]) -> list[FeedbackRecord]:
    """What holds now: one record per caller and source, in which the latest word on each point counts.

    Args:
        statements: Oldest first.
    """
    now: dict[tuple[str, str], FeedbackRecord] = {}
    for one in statements:
        before = now.get((one.caller, one.source), one)
        kept = {name: getattr(before, name) for name in SAID if getattr(one, name) is None}
        now[one.caller, one.source] = replace(one, **kept)
    return list(now.values())


def storable(value: Any) -> Any:
    """A value that both databases take: no NUL, no lone surrogate, no NaN, no integer beyond 64 bits."""
    kind = type(value)  # what nearly all values are comes first
    if value is None or kind is bool or (kind is str and value.isascii() and "\x00" not in value):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0
    if isinstance(value, str):
        text = str.__str__(value)
        if text.isascii() and "\x00" not in text:
            return text
        return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int):
        return max(-_BIGGEST, min(_BIGGEST, value))
    return value


def to_json(value: Any) -> str:
    """JSON text; what orjson refuses (integers beyond 64 bits, lone surrogates) goes the slow way, escaped."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return json.dumps(_finite(value), default=str, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def _finite(value: Any) -> Any:
    """A value that orjson reads back: no NaN, integers beyond 64 bits as text."""
    if isinstance(value, Mapping):
        return {str(name): _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -_BIGGEST <= value <= _BIGGEST:
        return str(value)
    return value
