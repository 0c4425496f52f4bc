"""From a store's URL to engines that behave: pragmas, transactions, and errors that say file and fix."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import StoreError, StoreProblem

BUSY_MS = 5000
WRITES = {"autotier_writes": True}

_FIXES: dict[StoreProblem, str] = {
    StoreProblem.MISSING: "start the service once with this store, or give another with --store",
    StoreProblem.UNOPENABLE: "check that the folder exists, is a folder and may be written",
    StoreProblem.READ_ONLY: "make file and folder writable for the user of the service",
    StoreProblem.FULL: "free space on its disk",
    StoreProblem.LOCKED: "another process holds it: end that process or wait for it",
    StoreProblem.CORRUPT: "move the file away (`sqlite3 FILE .recover` saves what can be read) and start again",
    StoreProblem.NEWER: "a newer autotier made it: upgrade autotier, or give another store",
    StoreProblem.UNREACHABLE: "check that the database runs, its address, user and password",
    StoreProblem.INVALID_ROW: "report it: the record is left out",
    StoreProblem.BUSY: "the store is slow: look at its disk or server",
    StoreProblem.FAILED: "look at the database's own log",
}

# SQLite says what happened in words only (https://www.sqlite.org/rescode.html, the texts of sqlite3_errstr).
_WORDS: tuple[tuple[str, StoreProblem], ...] = (
    ("disk is full", StoreProblem.FULL),
    ("no space left", StoreProblem.FULL),
    ("readonly", StoreProblem.READ_ONLY),
    ("read-only", StoreProblem.READ_ONLY),
    ("unable to open", StoreProblem.UNOPENABLE),
    ("not a database", StoreProblem.CORRUPT),
    ("malformed", StoreProblem.CORRUPT),
    ("locked", StoreProblem.LOCKED),
    ("lock timeout", StoreProblem.LOCKED),
    ("statement timeout", StoreProblem.BUSY),
)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store is.

    Attributes:
        path: The SQLite file, None for PostgreSQL.
        shown: For messages, without a password.
    """

    url: URL
    path: Path | None
    shown: str


def locate(url: str) -> Location:
    """Reads a store's URL.

    Args:
        url: ``sqlite:///PATH`` (``sqlite:////PATH`` from the root; ``~`` is the home folder) or
            ``postgresql://USER:PASSWORD@HOST/NAME``.

    Raises:
        StoreError: It is neither.
    """
    fix = "write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text itself may hold a password: it is not repeated.
        raise StoreError(StoreProblem.UNOPENABLE, "store.url", "not the address of a store", fix) from None
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError(StoreProblem.UNOPENABLE, "store.url", "a SQLite store needs a file", fix)
        path = Path(parsed.database).expanduser()
        return Location(URL.create("sqlite", database=str(path)), path, str(path))
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        wanted = parsed.set(drivername="postgresql+psycopg")
        return Location(wanted, None, wanted.set(drivername="postgresql").render_as_string(hide_password=True))
    raise StoreError(StoreProblem.UNOPENABLE, "store.url", f"no store speaks {parsed.get_backend_name()}", fix)


def engine_of(location: Location, *, durable: bool = False, create: bool = True, query_only: bool = False) -> Engine:
    """An engine on a store; connects when it is first used.

    Args:
        location: Of the store.
        durable: A commit has reached the disk when it returns (SQLite's ``synchronous=FULL``; always so on
            PostgreSQL).
        create: Make the SQLite file where it is missing.
        query_only: Refuse writes on these connections.

    Raises:
        StoreError: The driver is not installed.
    """
    if location.path is None:
        return _postgresql(location, query_only=query_only)
    path, mode = location.path, "rwc" if create else "rw"

    def connect() -> sqlite3.Connection:
        name = f"file:{quote(str(path))}?mode={mode}"
        opened = sqlite3.connect(name, uri=True, timeout=BUSY_MS / 1000, check_same_thread=False, isolation_level=None)
        try:
            _set_pragmas(opened, durable=durable, query_only=query_only)
        except sqlite3.Error:
            opened.close()
            raise
        return opened

    engine = create_engine(location.url, creator=connect, hide_parameters=True, pool_size=4)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # pysqlite would begin on its own, late and without the write lock: a reader that turns writer then fails with
        # SQLITE_BUSY at once, whatever the timeout (https://www.sqlite.org/isolation.html).
        writes = connection.get_execution_options().get("autotier_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _set_pragmas(opened: sqlite3.Connection, *, durable: bool, query_only: bool) -> None:
    opened.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    if query_only:
        opened.execute("PRAGMA query_only=ON")
        return
    opened.execute("PRAGMA journal_mode=WAL")
    opened.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    # Deleted prompts must not stay readable in free pages.
    opened.execute("PRAGMA secure_delete=ON")
    if durable:
        # On macOS an fsync alone does not reach the platter; elsewhere this says nothing.
        opened.execute("PRAGMA fullfsync=ON")


def _postgresql(location: Location, *, query_only: bool) -> Engine:
    read_only = " -c default_transaction_read_only=on" if query_only else ""
    options: dict[str, Any] = {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "application_name": "autotier",
        "options": f"-c lock_timeout={BUSY_MS} -c statement_timeout=30000{read_only}",
    }
    try:
        return create_engine(
            location.url,
            connect_args=options,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=4,
            pool_timeout=BUSY_MS / 1000,
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            StoreProblem.UNOPENABLE,
            location.shown,
            f"the driver {error.name} is not installed",
            "pip install 'psycopg[binary]'",
        ) from error


def make_file(location: Location) -> None:
    """Makes the SQLite file and its folder, for their owner only: records may hold prompts.

    Raises:
        StoreError: They cannot be made.
    """
    if location.path is None:
        return
    try:
        location.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(location.path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        problem = _problem_of(str(error.strerror or error)) or StoreProblem.UNOPENABLE
        raise StoreError(problem, location.shown, str(error.strerror or error), _FIXES[problem]) from error


@contextmanager
def store_errors(location: Location) -> Iterator[None]:
    """Turns what the database raises into a StoreError with place and fix."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError, OverflowError, UnicodeError) as error:
        problem, detail = _told(error)
        raise store_error(problem, location, detail) from error


def store_error(problem: StoreProblem, location: Location, detail: str) -> StoreError:
    """The error of a problem, with its fix."""
    return StoreError(problem, location.shown, detail, _FIXES[problem])


def _told(error: Exception) -> tuple[StoreProblem, str]:
    """Kind and words of a failure. Only the driver's first line: further ones may quote the row."""
    if isinstance(error, PoolTimeout):
        return StoreProblem.BUSY, "no free connection"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    detail = (str(cause).splitlines() or [type(cause).__name__])[0]
    if isinstance(error, (DataError, IntegrityError, OverflowError, UnicodeError)):
        return StoreProblem.INVALID_ROW, detail
    found = _problem_of(detail)
    if found is not None:
        return found, detail
    if isinstance(error, OperationalError) and not isinstance(cause, sqlite3.Error):
        return StoreProblem.UNREACHABLE, detail
    return StoreProblem.FAILED, detail


def _problem_of(detail: str) -> StoreProblem | None:
    lowered = detail.lower()
    return next((problem for words, problem in _WORDS if words in lowered), None)
