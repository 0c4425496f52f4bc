"""The log in pages, in the order of its time, for what works through it behind the requests; and who does so.

One process at a time works: it holds a lease, a row of ``settings``, in which it also notes how far it has come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import orjson
from sqlalchemy import Connection, RowMapping, and_, func, or_, select

from service.decisions import reading
from service.decisions.schema import attempts, decisions, feedback, settings
from service.decisions.statements import SAID_BY, Insert

PAGE = 200
KEY = "learning"
_COLUMNS = (
    "id", "created_s", "caller", "model_asked", "tier", "reason", "displaced", "outcome", "finish_reason", "decision",
    "features",
)  # fmt: skip

_MONEY = (
    "id", "created_s", "caller", "tier", "outcome", "prompt_tokens", "completion_tokens", "cost_usd", "decision",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the log was worked through, and by whom.

    Attributes:
        at_s: Time of the last decision that was seen, Unix seconds.
        at_id: Its id.
        holder: Who works, "" for nobody.
        until_s: When the lease ends.
        concluded: Conclusions so far, by source.
    """

    at_s: float = 0.0
    at_id: str = ""
    holder: str = ""
    until_s: float = 0.0
    concluded: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> Self:
        """What is noted; a note of another version counts as none."""
        try:
            return cls(**json.loads(text)) if text is not None else cls()
        except (TypeError, ValueError):
            return cls()


def progress_of(connection: Connection, *, lock: bool = False) -> Progress:
    """The note; locked until the transaction ends where that is asked for (SQLite's write transaction does so)."""
    query = select(settings.c.value).where(settings.c.key == KEY)
    return Progress.read(connection.execute(query.with_for_update() if lock else query).scalar())


def claim(connection: Connection, insert: Insert, holder: str, now_s: float, until_s: float) -> Progress | None:
    """Takes or prolongs the lease; None where somebody else holds it.

    Args:
        connection: In a write transaction.
        insert: Of the dialect.
        holder: Who asks.
        now_s: Unix seconds.
        until_s: When the lease is to end.
    """
    # A row that is there can be locked: two replicas that start at once take turns.
    connection.execute(insert(settings).values(key=KEY, value="{}").on_conflict_do_nothing())
    found = progress_of(connection, lock=True)
    if found.holder not in ("", holder) and found.until_s > now_s:
        return None
    taken = replace(found, holder=holder, until_s=until_s)
    _write(connection, taken)
    return taken


def advance(connection: Connection, holder: str, after: Progress) -> bool:
    """Notes how far the holder has come; False where the lease went to somebody else meanwhile."""
    if progress_of(connection, lock=True).holder != holder:
        return False
    _write(connection, after)
    return True


def give_up(connection: Connection, holder: str) -> None:
    """Ends the lease of ``holder``, if it is his."""
    found = progress_of(connection, lock=True)
    if found.holder == holder:
        _write(connection, replace(found, holder="", until_s=0.0))


def _write(connection: Connection, progress: Progress) -> None:
    text = json.dumps(asdict(progress))
    connection.execute(settings.update().where(settings.c.key == KEY).values(value=text))


def page_after(connection: Connection, at_s: float, at_id: str, until_s: float) -> list[dict[str, Any]]:
    """The next decisions after one of them, up to a time, without prompts.

    Returns:
        Rows of ``decisions`` with ``decision`` and ``features`` parsed, and ``empty``: a deployment gave an empty
        answer.
    """
    later = or_(decisions.c.created_s > at_s, and_(decisions.c.created_s == at_s, decisions.c.id > at_id))
    query = (
        select(*(decisions.c[name] for name in _COLUMNS))
        .where(later, decisions.c.created_s <= until_s)
        .order_by(decisions.c.created_s, decisions.c.id)
        .limit(PAGE)
    )
    rows = [parsed(row) for row in connection.execute(query).mappings()]
    ids = [row["id"] for row in rows]
    found = select(attempts.c.decision_id).where(attempts.c.decision_id.in_(ids), attempts.c.outcome == "empty")
    empty = set(connection.execute(found).scalars()) if ids else set()
    return [{**row, "empty": row["id"] in empty} for row in rows]


def newest_features(connection: Connection, since_s: float, before_id: str, limit: int) -> list[dict[str, Any]]:
    """The newest decisions with features before one of them (``~`` for the newest), newest first."""
    query = (
        select(*(decisions.c[name] for name in _COLUMNS))
        .where(decisions.c.created_s >= since_s, decisions.c.id < before_id, decisions.c.features.is_not(None))
        .order_by(decisions.c.id.desc())
        .limit(limit)
    )
    return [parsed(row) for row in connection.execute(query).mappings()]


def money_page(connection: Connection, after: str, since_s: float) -> list[dict[str, Any]]:
    """The next decisions by id, which is by time, with what accounts need: no prompts, no features, no attempts."""
    query = select(*(decisions.c[name] for name in _MONEY)).where(decisions.c.id > after)
    query = query.where(decisions.c.created_s >= since_s).order_by(decisions.c.id).limit(PAGE)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    said = reading.statements_by_decision(connection, [row["id"] for row in rows])
    for row in rows:
        row["decision"] = orjson.loads(row["decision"])
        row["feedback"] = [{"source": one.source, "comment": one.comment} for one in said.get(row["id"], [])]
    return rows


def parsed(row: RowMapping) -> dict[str, Any]:
    """A row with its JSON parsed."""
    return {
        **row,
        "decision": orjson.loads(row["decision"]) if row["decision"] else {},
        "features": orjson.loads(row["features"]) if row["features"] else None,
    }


def contradicted_since(connection: Connection, since_s: float) -> int:
    """Decisions for which somebody named two different tiers, the last word since then."""
    query = (
        select(feedback.c.decision_id)
        .where(feedback.c.source == SAID_BY, feedback.c.correct_tier.is_not(None))
        .group_by(feedback.c.decision_id)
        .having(func.count(func.distinct(feedback.c.correct_tier)) > 1, func.max(feedback.c.created_s) >= since_s)
    )
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def weight_by_caller(connection: Connection, since_s: float) -> dict[str, float]:
    """Weight of all statements with a tier since then, by who made them."""
    weight = func.sum(feedback.c.weight)
    query = select(feedback.c.caller, weight).where(
        feedback.c.created_s >= since_s, feedback.c.correct_tier.is_not(None)
    )
    return {caller: float(total) for caller, total in connection.execute(query.group_by(feedback.c.caller))}
