"""Deleting by age and by caller, in portions, so that nobody waits long for the write lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, delete, select

from service.decisions.schema import attempts, conversations, decisions, feedback

PORTION = 500


def delete_decisions(writing: Engine, condition: ColumnElement[bool]) -> int:
    """Deletes the decisions that meet ``condition``, with their attempts and everything said about them.

    Args:
        writing: Engine whose transactions take the write lock.
        condition: On ``decisions``.

    Returns:
        How many decisions.
    """
    return _in_portions(writing, lambda: select(decisions.c.id).where(condition), _with_dependents)


def delete_rows(writing: Engine, table: Table, key: ColumnElement[Any], condition: ColumnElement[bool]) -> int:
    """Deletes rows of ``table`` that meet ``condition``; ``key`` tells rows, or groups of them, apart."""

    def remove(connection: Connection, keys: list[Any]) -> None:
        connection.execute(delete(table).where(key.in_(keys), condition))

    return _in_portions(writing, lambda: select(key).where(condition).distinct(), remove)


def delete_before(writing: Engine, before_s: float) -> int:
    """Deletes everything older than ``before_s`` (Unix seconds); returns how many decisions."""
    deleted = delete_decisions(writing, decisions.c.created_s < before_s)
    # Feedback whose decision died with its batch has no decision to go with.
    orphaned = feedback.c.decision_id.not_in(select(decisions.c.id))
    delete_rows(writing, feedback, feedback.c.decision_id, (feedback.c.created_s < before_s) & orphaned)
    delete_rows(writing, conversations, conversations.c.key, conversations.c.updated_s < before_s)
    return deleted


def delete_by(writing: Engine, caller: str) -> int:
    """Deletes everything of one caller, what they said about others' decisions too; returns how many decisions."""
    deleted = delete_decisions(writing, decisions.c.caller == caller)
    delete_rows(writing, feedback, feedback.c.decision_id, feedback.c.caller == caller)
    delete_rows(writing, conversations, conversations.c.key, conversations.c.caller == caller)
    return deleted


def _with_dependents(connection: Connection, ids: list[str]) -> None:
    for table in (attempts, feedback):
        connection.execute(delete(table).where(table.c.decision_id.in_(ids)))
    connection.execute(delete(decisions).where(decisions.c.id.in_(ids)))


def _in_portions(
    writing: Engine, query: Callable[[], Select[Any]], remove: Callable[[Connection, list[Any]], None]
) -> int:
    total = 0
    while True:
        with writing.begin() as connection:
            keys = list(connection.execute(query().limit(PORTION)).scalars())
            if keys:
                remove(connection, keys)
        total += len(keys)
        if len(keys) < PORTION:
            return total
