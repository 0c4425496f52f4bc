"""Adding what was said or concluded about a decision, inside a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from service.decisions import reading
from service.decisions.records import FeedbackRecord
from service.decisions.rows import SAID, feedback_row, merged
from service.decisions.schema import decisions, feedback

SAID_BY = "caller"
"""Source of what somebody said; every other one was concluded."""

Insert = Callable[[Table], Any]
"""The dialect's insert."""


def put_statement(connection: Connection, insert: Insert, record: FeedbackRecord) -> bool:
    """Adds a statement unless it changes nothing of what holds (``merged``).

    Args:
        connection: In a write transaction.
        insert: Of the dialect.
        record: What was said.

    Returns:
        Whether it said something new.
    """
    before = reading.statements_on(connection, record.decision_id, lock=True)
    row = feedback_row(record)
    if _known(before, FeedbackRecord(**row)):
        return False
    connection.execute(insert(feedback).values(number=len(before), **row))
    return True


def put_conclusions(connection: Connection, insert: Insert, records: Sequence[FeedbackRecord]) -> list[FeedbackRecord]:
    """Adds concluded statements; those about decisions that were deleted meanwhile are left out.

    Returns:
        Those that said something new.
    """
    # Sorted, because two replicas that lock rows in different orders deadlock.
    ordered = sorted(records, key=lambda one: (one.decision_id, one.source))
    ids = [one.decision_id for one in ordered]
    there: set[str] = set()
    for start in range(0, len(ids), reading.PAGE):
        query = select(decisions.c.id).where(decisions.c.id.in_(ids[start : start + reading.PAGE]))
        there |= set(connection.execute(query).scalars())
    return [one for one in ordered if one.decision_id in there and put_statement(connection, insert, one)]


def _known(before: list[FeedbackRecord], said: FeedbackRecord) -> bool:
    """Whether ``said`` changes nothing of what holds."""
    now = next((one for one in merged(before) if (one.caller, one.source) == (said.caller, said.source)), None)
    return now is not None and all(getattr(said, name) in (None, getattr(now, name)) for name in SAID)
