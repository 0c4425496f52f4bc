"""What a store says when it cannot be used; real files, real locks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from service.decisions import database
from service.decisions.records import DecisionRecord
from service.decisions.rows import Batch
from service.decisions.store import DecisionStore
from service.errors import StoreError, StoreProblem

Factory = Callable[..., DecisionRecord]


def problem_of_opening(url: str) -> StoreError:
    """The error of opening a store."""
    with pytest.raises(StoreError) as refused:
        DecisionStore.open(url)
    return refused.value


def test_a_path_below_a_file_cannot_be_opened(tmp_path: Path) -> None:
    """The error names the file and what to check, in one line."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "records.db"

    error = problem_of_opening(f"sqlite:///{path}")

    assert error.problem is StoreProblem.UNOPENABLE
    assert str(path) in str(error)
    assert "folder" in error.fix
    assert "\n" not in str(error)


def test_a_file_that_is_no_database_is_corrupt(sqlite_path: Path) -> None:
    """Garbage is told from a lock or a full disk, and is left as it was found."""
    garbage = b"this is not a database, whatever its name says. " * 100
    sqlite_path.write_bytes(garbage)

    error = problem_of_opening(f"sqlite:///{sqlite_path}")

    assert error.problem is StoreProblem.CORRUPT
    assert str(sqlite_path) in str(error)
    assert sqlite_path.read_bytes() == garbage


def test_a_locked_store_says_so(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that holds the write lock longer than we wait gives a typed error, and nothing stays broken."""
    monkeypatch.setattr(database, "BUSY_MS", 50)
    DecisionStore.open(f"sqlite:///{sqlite_path}").close()
    other = sqlite3.connect(sqlite_path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    error = problem_of_opening(f"sqlite:///{sqlite_path}")
    other.execute("ROLLBACK")
    other.close()

    assert error.problem is StoreProblem.LOCKED
    DecisionStore.open(f"sqlite:///{sqlite_path}").close()


def test_readers_and_a_writer_do_not_wait_for_each_other(
    sqlite_store: DecisionStore, sqlite_path: Path, decision: Factory
) -> None:
    """With the WAL a listing works while another process is in the middle of a write."""
    sqlite_store.write(Batch.of([decision()]))
    other = sqlite3.connect(sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM decisions")

    seen = sqlite_store.recent()

    other.execute("ROLLBACK")
    other.close()
    assert len(seen) == 1


def test_nothing_of_a_refused_batch_is_written(sqlite_store: DecisionStore, decision: Factory) -> None:
    """A row that the database refuses is told from a store that does not work, and takes its batch with it."""
    good, bad = decision(), decision(outcome=None)

    with pytest.raises(StoreError) as refused:
        sqlite_store.write(Batch.of([good, bad]))

    assert refused.value.problem is StoreProblem.INVALID_ROW
    assert sqlite_store.recent() == []


def test_errors_never_quote_a_prompt(sqlite_store: DecisionStore, decision: Factory) -> None:
    """What goes to the log names the column, not the row's content."""
    word = "unmistakeable-secret-word"

    with pytest.raises(StoreError) as refused:
        sqlite_store.write(Batch.of([decision(outcome=None, messages=[{"role": "user", "content": word}])]))

    assert "outcome" in str(refused.value)
    assert word not in str(refused.value)
    assert word not in str(refused.value.__cause__)


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///:memory:", "mysql://user:hunter2@host/db", "no url at all"]
)
def test_a_url_that_is_no_store_is_refused(url: str) -> None:
    """The error says what to write; it never repeats a password."""
    error = problem_of_opening(url)

    assert "sqlite:///PATH" in error.fix
    assert "hunter2" not in str(error)


def test_a_database_that_does_not_answer_is_unreachable_and_its_password_hidden() -> None:
    """A PostgreSQL that is not there is told in one line, with its address and without its password."""
    pytest.importorskip("psycopg", reason="no psycopg here")

    error = problem_of_opening("postgresql://user:hunter2@127.0.0.1:1/records")

    assert error.problem is StoreProblem.UNREACHABLE
    assert "127.0.0.1:1" in str(error)
    assert "hunter2" not in str(error)
