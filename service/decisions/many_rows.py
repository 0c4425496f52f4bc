"""Many rows in one statement of SQLite.

The driver gives the interpreter's lock back at each statement that it runs, and under load waits for it again: row by
row, a thread beside a busy event loop writes a few hundred rows a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

AT_ONCE = (50, 10, 3, 1)
"""Rows of one statement. Few sizes, so that the driver finds each statement prepared; SQLite takes 32,766 values."""


class ManyRows:
    """An insert written out for one row, made one for several.

    Args:
        insert: ``INSERT INTO ... VALUES (:name, ...) ...`` with parameters by name.
    """

    def __init__(self, insert: str) -> None:
        found = re.fullmatch(r"(.*? VALUES )\(([^)]*)\)(.*)", insert, re.DOTALL)
        if found is None:
            raise ValueError(f"not an insert of one row: {insert}")
        head, marks, tail = found.groups()
        names = [mark.strip().removeprefix(":") for mark in marks.split(",")]
        self._in_order = itemgetter(*names)
        one = f"({', '.join('?' for _ in names)})"
        self._by_size = {size: head + ", ".join([one] * size) + tail for size in AT_ONCE}

    def put(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Inserts all rows, in their order; returns how many were new or changed."""
        changed, begin = 0, 0
        while begin < len(rows):
            size = next(size for size in AT_ONCE if size <= len(rows) - begin)
            values = tuple(chain.from_iterable(map(self._in_order, rows[begin : begin + size])))
            result = connection.exec_driver_sql(
                self._by_size[size], values, execution_options={"preserve_rowcount": True}
            )
            changed += result.rowcount
            begin += size
        return changed
