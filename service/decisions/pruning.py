"""Deleting by age and by caller, in portions, so that nobody waits long for the write lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, Engine, Select, Table, delete, select

from service.decisions.schema import attempts, conversations, decisions, feedback, shadow_counts, shadows

PORTION = 500


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many rows went."""

    decisions: int = 0
    attempts: int = 0
    feedback: int = 0
    conversations: int = 0
    shadows: int = 0

    def shown(self) -> list[tuple[str, int]]:
        """Names and numbers for people; decisions always, the others where there are any."""
        named = [("decisions", self.decisions), ("attempts", self.attempts), ("statements", self.feedback)]
        named += [("conversations", self.conversations), ("disagreements of a challenger", self.shadows)]
        return [named[0], *(one for one in named[1:] if one[1])]


def delete_rows(writing: Engine, table: Table, key: ColumnElement[Any], condition: ColumnElement[bool]) -> int:
    """Deletes rows of ``table`` that meet ``condition``; ``key`` tells rows, or groups of them, apart.

    Returns:
        How many rows.
    """
    gone: Counter[str] = Counter()

    def remove(connection: Connection, keys: list[Any]) -> None:
        gone["rows"] += _rows(connection, delete(table).where(key.in_(keys), condition))

    _in_portions(writing, lambda: select(key).where(condition).distinct(), remove)
    return gone["rows"]


def delete_before(writing: Engine, before_s: float) -> Deleted:
    """Deletes everything older than ``before_s`` (Unix seconds)."""
    gone = _delete_decisions(writing, decisions.c.created_s < before_s)
    # Feedback whose decision died with its batch has no decision to go with.
    orphaned = feedback.c.decision_id.not_in(select(decisions.c.id))
    said = delete_rows(writing, feedback, feedback.c.decision_id, (feedback.c.created_s < before_s) & orphaned)
    holds = delete_rows(writing, conversations, conversations.c.key, conversations.c.updated_s < before_s)
    other = delete_rows(writing, shadows, shadows.c.decision_id, shadows.c.created_s < before_s)
    day = datetime.fromtimestamp(before_s, UTC).date().isoformat()
    delete_rows(writing, shadow_counts, shadow_counts.c.day, shadow_counts.c.day < day)
    return _deleted(gone, said, holds, other)


def delete_by(writing: Engine, caller: str) -> Deleted:
    """Deletes everything of one caller, what they said about others' decisions too.

    The counts of a challenger's agreements stay: they name nobody.
    """
    gone = _delete_decisions(writing, decisions.c.caller == caller)
    said = delete_rows(writing, feedback, feedback.c.decision_id, feedback.c.caller == caller)
    holds = delete_rows(writing, conversations, conversations.c.key, conversations.c.caller == caller)
    return _deleted(gone, said, holds, 0)


def _deleted(gone: Counter[str], said: int, holds: int, other: int) -> Deleted:
    return Deleted(gone["decisions"], gone["attempts"], gone["feedback"] + said, holds, gone["shadows"] + other)


def _delete_decisions(writing: Engine, condition: ColumnElement[bool]) -> Counter[str]:
    """Deletes decisions with their attempts and everything said about them; how many rows of each table."""
    gone: Counter[str] = Counter()

    def remove(connection: Connection, ids: list[str]) -> None:
        for table in (attempts, feedback, shadows):
            gone[table.name] += _rows(connection, delete(table).where(table.c.decision_id.in_(ids)))
        gone["decisions"] += _rows(connection, delete(decisions).where(decisions.c.id.in_(ids)))

    _in_portions(writing, lambda: select(decisions.c.id).where(condition), remove)
    return gone


def _rows(connection: Connection, statement: Delete) -> int:
    return connection.execute(statement).rowcount


def _in_portions(
    writing: Engine, query: Callable[[], Select[Any]], remove: Callable[[Connection, list[Any]], None]
) -> None:
    while True:
        with writing.begin() as connection:
            keys = list(connection.execute(query().limit(PORTION)).scalars())
            if keys:
                remove(connection, keys)
        if len(keys) < PORTION:
            return
