"""Queries over a store's connection. They raise what the database raises; ``DecisionStore`` translates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, Select, func, select

from classifier import Tier
from service.decisions.records import DecisionFilter, DecisionRecord, FeedbackRecord, HoldRecord
from service.decisions.rows import PROMPT_COLUMNS, decision_of, feedback_of
from service.decisions.schema import attempts, conversations, decisions, feedback

PAGE = 200


def one_decision(connection: Connection, decision_id: str) -> DecisionRecord | None:
    """The whole record of a decision, or None."""
    row = connection.execute(select(decisions).where(decisions.c.id == decision_id)).mappings().first()
    return None if row is None else _with_attempts(connection, [row])[0]


def newest(connection: Connection, wanted: DecisionFilter) -> list[DecisionRecord]:
    """The newest decisions first, without prompts: they may be large and nobody lists them."""
    columns = [column for column in decisions.c if column.name not in PROMPT_COLUMNS]
    query = select(*columns).order_by(decisions.c.created_s.desc(), decisions.c.id.desc()).limit(wanted.limit)
    if wanted.since_s is not None:
        query = query.where(decisions.c.created_s >= wanted.since_s)
    for name in ("caller", "tier", "reason", "outcome"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(decisions.c[name] == value)
    return _with_attempts(connection, connection.execute(query).mappings().all())


def cost_by_caller(connection: Connection, since_s: float) -> dict[str, float]:
    """US dollars of each caller's requests from a time on; callers without any are left out."""
    spent = func.sum(decisions.c.cost_usd)
    query = select(decisions.c.caller, spent).where(decisions.c.created_s >= since_s).group_by(decisions.c.caller)
    return {caller: float(usd) for caller, usd in connection.execute(query.having(spent > 0))}


def page_of_decisions(connection: Connection, after: str) -> list[DecisionRecord]:
    """The next whole decisions by id, which is by time."""
    query = select(decisions).where(decisions.c.id > after).order_by(decisions.c.id).limit(PAGE)
    return _with_attempts(connection, connection.execute(query).mappings().all())


def page_of_cache_keys(
    connection: Connection, after: str, *, caller: str | None, before_s: float | None
) -> tuple[str | None, list[str]]:
    """The last id of the next decisions of a caller, or older than a time, and the keys of their answers in the cache.

    Returns:
        (None, []) where there are no more.
    """
    query = select(decisions.c.id, decisions.c.decision).where(decisions.c.id > after)
    if caller is not None:
        query = query.where(decisions.c.caller == caller)
    if before_s is not None:
        query = query.where(decisions.c.created_s < before_s)
    rows = connection.execute(query.order_by(decisions.c.id).limit(PAGE)).all()
    used = [orjson.loads(row.decision).get("cache") for row in rows if row.decision]
    keys = [one["key"] for one in used if isinstance(one, dict) and isinstance(one.get("key"), str)]
    return (rows[-1].id, keys) if rows else (None, [])


def _with_attempts(connection: Connection, rows: Sequence[RowMapping]) -> list[DecisionRecord]:
    made: dict[str, list[RowMapping]] = defaultdict(list)
    for ids in _chunks([row["id"] for row in rows]):
        query = select(attempts).where(attempts.c.decision_id.in_(ids)).order_by(attempts.c.order)
        for one in connection.execute(query).mappings():
            made[one["decision_id"]].append(one)
    return [decision_of(row, made[row["id"]]) for row in rows]


def statements_on(connection: Connection, decision_id: str, *, lock: bool = False) -> list[FeedbackRecord]:
    """Everything that was said about a decision, oldest first.

    Args:
        connection: Any; in a write transaction where ``lock`` is set.
        decision_id: The decision.
        lock: Keep others from adding until the transaction ends (SQLite's write transaction does that anyway).
    """
    if lock:
        connection.execute(select(decisions.c.id).where(decisions.c.id == decision_id).with_for_update())
    return [feedback_of(row) for row in connection.execute(_statements([decision_id])).mappings()]


def statements_by_decision(connection: Connection, ids: Sequence[str]) -> dict[str, list[FeedbackRecord]]:
    """The same for several decisions."""
    said: dict[str, list[FeedbackRecord]] = defaultdict(list)
    for chunk in _chunks(ids):
        for row in connection.execute(_statements(chunk)).mappings():
            said[row["decision_id"]].append(feedback_of(row))
    return said


def _statements(ids: Sequence[str]) -> Select[Any]:
    return select(feedback).where(feedback.c.decision_id.in_(ids)).order_by(feedback.c.decision_id, feedback.c.number)


def one_hold(connection: Connection, key: str) -> HoldRecord | None:
    """What a conversation was last served with, and whether the caller rejected it."""
    solved = (
        select(feedback.c.solved)
        .where(
            feedback.c.decision_id == conversations.c.decision_id,
            feedback.c.solved.is_not(None),
            # Concluded labels may be wrong; only what somebody said moves the next answer up.
            feedback.c.source == "caller",
        )
        .order_by(feedback.c.number.desc())
        .limit(1)
        .correlate(conversations)
        .scalar_subquery()
    )
    query = select(conversations.c.tier, conversations.c.decision_id, solved.label("solved"))
    row = connection.execute(query.where(conversations.c.key == key)).first()
    if row is None or row.tier not in set(Tier):
        return None
    return HoldRecord(Tier(row.tier), row.decision_id, row.solved is not None and not row.solved)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Ids in portions that any database takes as parameters."""
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]
