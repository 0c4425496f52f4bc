"""Rows that go into SQLite many at once."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from service.decisions.many_rows import AT_ONCE, ManyRows

INSERT = "INSERT INTO kept (id, word) VALUES (:id, :word) ON CONFLICT DO NOTHING"


@pytest.mark.parametrize("number", [1, AT_ONCE[1] + 3, 2 * AT_ONCE[0] + AT_ONCE[1] + 1])
def test_every_row_is_written_once_and_only_new_ones_count(number: int) -> None:
    """Whatever their number is cut into; a second time nothing is new."""
    rows = [{"word": f"w{n}", "id": n} for n in range(number)]
    putting = ManyRows(INSERT)

    with create_engine("sqlite://").begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (id INTEGER PRIMARY KEY, word TEXT)")
        first, again = putting.put(connection, rows), putting.put(connection, rows)
        kept = connection.exec_driver_sql("SELECT id, word FROM kept ORDER BY id").all()

    assert (first, again) == (number, 0)
    assert [tuple(row) for row in kept] == [(n, f"w{n}") for n in range(number)]


def test_another_statement_is_refused() -> None:
    """It has to be an insert of one row."""
    with pytest.raises(ValueError, match="DELETE"):
        ManyRows("DELETE FROM kept")
