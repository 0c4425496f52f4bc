"""The store of decisions: SQLite (WAL) in a home, PostgreSQL for a fleet. It blocks: see ``Recorder``."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import partial
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Dialect, Engine, UpdateBase, func, select
from sqlalchemy.dialects import postgresql, sqlite

from service.decisions import pruning, reading
from service.decisions.database import WRITES, Location, engine_of, locate, make_file, store_error, store_errors
from service.decisions.many_rows import ManyRows
from service.decisions.migrations import NewerStore, migrate, pending_of
from service.decisions.records import ConversationRecord, DecisionFilter, DecisionRecord, FeedbackRecord, HoldRecord
from service.decisions.rows import Batch, DecisionRow, merged, storable
from service.decisions.schema import attempts, conversations, decisions, runs, settings
from service.decisions.statements import Insert, put_conclusions, put_statement
from service.errors import StoreError, StoreProblem

log = logging.getLogger("autotier.store")

Clock = Callable[[], float]
Putting = Callable[[Connection, Sequence[Mapping[str, Any]]], int]
_HOLD = tuple(one.name for one in fields(ConversationRecord))
_KEY_OF_HASHES = "conversation_secret"

T = TypeVar("T")


class DecisionStore:
    """Decisions, attempts, feedback and conversation holds. Make one with ``open``; safe for threads.

    Attributes:
        location: Where it is.
        shared: Other processes may write to it too (PostgreSQL).
    """

    def __init__(self, location: Location, *, clock: Clock, read_only: bool) -> None:
        self.location = location
        self.shared = location.path is None
        self._clock = clock
        self._read_only = read_only
        self._insert = postgresql.insert if self.shared else sqlite.insert
        # Written out once, for the driver itself: rows are plain values by names (`decision_row`), and SQLAlchemy would
        # walk through all of them again for each batch.
        adding = (self._insert(table).on_conflict_do_nothing() for table in (decisions, attempts))
        self._put_decision, self._put_attempt, self._put_hold, self._put_count = map(
            self._putting, (*adding, self._holding(), self._counting())
        )
        engine = partial(engine_of, location, create=not read_only, query_only=read_only)
        self._engine = engine()
        self._writes = self._engine.execution_options(**WRITES)
        # PostgreSQL's commit is durable as it is, so one engine does.
        self._durable = self._writes if self.shared else engine(durable=True).execution_options(**WRITES)
        self._file_id: tuple[int, int] | None = None
        self._suspect = False

    @classmethod
    def open(cls, url: str, *, clock: Clock = time.time, read_only: bool = False, create: bool = True) -> Self:
        """Opens a store and brings it to the present schema.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
            clock: Unix seconds.
            read_only: Change nothing: the store must be there, with the present schema.
            create: Make a SQLite file that is not there; False for commands, which would change an empty one beside
                the service's and say that all went well.

        Raises:
            StoreError: It cannot be used; the message names place and fix.
        """
        location = locate(url)
        if (read_only or not create) and location.path is not None and not location.path.exists():
            raise store_error(StoreProblem.MISSING, location, "there is no such store yet")
        store = cls(location, clock=clock, read_only=read_only)
        try:
            store._check() if read_only else store._prepare()
        except StoreError:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Gives back all connections. The last one of a SQLite store folds its WAL into the file."""
        self._engine.dispose()
        self._durable.dispose()

    def write(self, batch: Batch, *, run_id: str | None = None) -> None:
        """Writes a batch in one transaction. What is there already (a retry) is left as it is.

        Args:
            batch: Decisions and holds; of two holds of one key the later counts.
            run_id: The run whose count of written decisions grows with it.

        Raises:
            StoreError: Nothing of the batch was written; ``INVALID_ROW`` if a row is at fault.
        """
        with self._writing(self._writes) as connection:
            added = self._put_decisions(connection, batch.decisions)
            if batch.holds:
                holds = {one.key: one for one in sorted(batch.holds, key=lambda one: one.updated_s)}
                # Sorted, because two replicas that lock rows in different orders deadlock.
                rows = [{name: getattr(holds[key], name) for name in _HOLD} for key in sorted(holds)]
                self._put_hold(connection, rows)
            if run_id is not None:
                self._count(connection, run_id, added)

    def add_feedback(
        self, record: FeedbackRecord, decision: DecisionRow | None = None, *, run_id: str | None = None
    ) -> bool:
        """Keeps a statement; it is on disk when this returns.

        A statement that changes nothing of what holds (``merged``) is not stored again.

        Args:
            record: What was said.
            decision: The decision if it may still wait for its batch: written along, so that none loses the other.
            run_id: As in ``write``.

        Returns:
            Whether it said something new.

        Raises:
            StoreError: It is not kept.
        """
        with self._writing(self._durable) as connection:
            if decision is not None:
                added = self._put_decisions(connection, [decision])
                if run_id is not None:
                    self._count(connection, run_id, added)
            return put_statement(connection, self._insert, record)

    def conclude(self, records: Sequence[FeedbackRecord]) -> list[FeedbackRecord]:
        """Keeps concluded statements in one transaction; returns those that said something new."""
        with self._writing(self._writes) as connection:
            return put_conclusions(connection, self._insert, records)

    def feedback_of(self, decision_id: str) -> list[FeedbackRecord]:
        """What holds now about a decision: one record per caller and source."""
        return merged(self.feedback_history(decision_id))

    def feedback_history(self, decision_id: str) -> list[FeedbackRecord]:
        """Every statement about a decision, oldest first."""
        with self._reading() as connection:
            return reading.statements_on(connection, storable(decision_id))

    def get(self, decision_id: str) -> DecisionRecord | None:
        """The whole record of a decision, or None."""
        with self._reading() as connection:
            return reading.one_decision(connection, storable(decision_id))

    def recent(self, wanted: DecisionFilter | None = None) -> list[DecisionRecord]:
        """The newest decisions first, with attempts, without prompts."""
        with self._reading() as connection:
            return reading.newest(connection, wanted or DecisionFilter())

    def spent(self, since_s: float) -> dict[str, float]:
        """US dollars by caller from a time (Unix seconds) on; callers who spent nothing are left out."""
        with self._reading() as connection:
            return reading.cost_by_caller(connection, since_s)

    def hold(self, key: str) -> HoldRecord | None:
        """The hold of a conversation, or None."""
        with self._reading() as connection:
            return reading.one_hold(connection, key)

    def export(self) -> Iterator[dict[str, Any]]:
        """Rows for JSON lines: each decision by time, its attempts, ``feedback`` (what holds) beside it."""
        after = ""
        while True:
            with self._reading() as connection:
                page = reading.page_of_decisions(connection, after)
                said = reading.statements_by_decision(connection, [one.id for one in page])
            for one in page:
                yield {**asdict(one), "feedback": [asdict(label) for label in merged(said.get(one.id, []))]}
            if len(page) < reading.PAGE:
                return
            after = page[-1].id

    def cache_keys(self, *, caller: str | None = None, before_s: float | None = None) -> Iterator[list[str]]:
        """Where the cache keeps the answers to decisions of a caller, or older than a time, in pages; read lazily."""
        after = ""
        while True:
            with self._reading() as connection:
                last, keys = reading.page_of_cache_keys(connection, after, caller=caller, before_s=before_s)
            if last is None:
                return
            after = last
            yield keys

    def delete_before(self, before_s: float) -> pruning.Deleted:
        """Deletes everything older than a time (Unix seconds); returns how much."""
        with store_errors(self.location):
            deleted = pruning.delete_before(self._writes, before_s)
        self._forget_log()
        return deleted

    def delete_caller(self, name: str) -> pruning.Deleted:
        """Deletes everything of a caller; returns how much."""
        with store_errors(self.location):
            deleted = pruning.delete_by(self._writes, name)
        self._forget_log()
        return deleted

    def read(self, query: Callable[[Connection], T]) -> T:
        """Runs a query of another module, in one transaction.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._reading() as connection:
            return query(connection)

    def change(self, work: Callable[[Connection, Insert], T]) -> T:
        """Runs a change of another module, in one transaction; it gets the dialect's insert.

        Raises:
            StoreError: Nothing was changed.
        """
        with self._writing(self._writes) as connection:
            return work(connection, self._insert)

    def setting(self, key: str) -> str | None:
        """A value that the service keeps about itself, or None."""
        with self._reading() as connection:
            found = connection.execute(select(settings.c.value).where(settings.c.key == key)).scalar()
        return None if found is None else str(found)

    def put_setting(self, key: str, value: str) -> None:
        """Keeps a value; the later one counts. On disk when this returns."""
        with self._writing(self._durable) as connection:
            put = self._insert(settings).values(key=key, value=value)
            changed = {"value": put.excluded.value}
            connection.execute(put.on_conflict_do_update(index_elements=[settings.c.key], set_=changed))

    def secret(self) -> bytes:
        """32 random bytes, made once per store: the key of conversation hashes, so that holds survive a restart."""
        with self._writing(self._durable) as connection:
            made = self._insert(settings).values(key=_KEY_OF_HASHES, value=secrets.token_hex(32))
            connection.execute(made.on_conflict_do_nothing())
            found = connection.execute(select(settings.c.value).where(settings.c.key == _KEY_OF_HASHES)).scalar_one()
        return bytes.fromhex(found)

    def begin_run(self, run_id: str) -> None:
        """Notes that a process starts to write."""
        with self._writing(self._writes) as connection:
            self._count(connection, run_id, 0)

    def end_run(self, run_id: str, *, accepted: int, dropped: int) -> int:
        """Notes how a run ended, its own or a killed one's.

        Args:
            run_id: The run.
            accepted: Decisions that it was given.
            dropped: Those of them that it gave up, loudly, while it ran.

        Returns:
            Decisions that it lost without a word.
        """
        with self._writing(self._durable) as connection:
            written = connection.execute(select(runs.c.written).where(runs.c.id == run_id)).scalar()
            lost = max(0, accepted - dropped - (written or 0))
            ended = {"dropped": dropped, "ended_s": self._clock(), "lost": lost}
            connection.execute(runs.update().where(runs.c.id == run_id).values(**ended))
        return lost

    def lost(self) -> int:
        """Decisions that killed runs lost, over the life of the store."""
        with self._reading() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(runs.c.lost), 0))).scalar_one())

    def _put_decisions(self, connection: Connection, rows: Sequence[DecisionRow]) -> int:
        """Adds decisions with their attempts; returns how many were not there yet."""
        if not rows:
            return 0
        added = self._put_decision(connection, [row.values for row in rows])
        made = [attempt for row in rows for attempt in row.attempts]
        if made:
            self._put_attempt(connection, made)
        return added

    def _holding(self) -> UpdateBase:
        """The statement that keeps a hold, unless a later one is there."""
        put = self._insert(conversations)
        newer = put.excluded
        return put.on_conflict_do_update(
            index_elements=[conversations.c.key],
            set_={name: newer[name] for name in ("caller", "tier", "decision_id", "updated_s")},
            where=newer.updated_s >= conversations.c.updated_s,
        )

    def _counting(self) -> UpdateBase:
        """The statement that begins a run's count of written decisions, or adds to it."""
        put = self._insert(runs)
        grown = {"written": runs.c.written + put.excluded.written}
        return put.on_conflict_do_update(index_elements=[runs.c.id], set_=grown)

    def _count(self, connection: Connection, run_id: str, written: int) -> None:
        run = {"id": run_id, "started_s": self._clock(), "written": written}
        self._put_count(connection, [{**run, "dropped": 0, "ended_s": None, "lost": None}])

    def _putting(self, statement: UpdateBase) -> Putting:
        """Inserts rows by a statement and says how many were new or changed."""
        written = self._written_out(statement)
        if not self.shared:
            return ManyRows(written).put
        counting = {"preserve_rowcount": True}
        return lambda connection, rows: (
            connection.exec_driver_sql(written, list(rows), execution_options=counting).rowcount
        )

    def _written_out(self, statement: UpdateBase) -> str:
        """A statement as the driver takes it, its parameters by name."""
        style = "pyformat" if self.shared else "named"
        made: Callable[..., Dialect] = postgresql.dialect if self.shared else sqlite.dialect
        dialect = made(paramstyle=style)
        return str(statement.compile(dialect=dialect))

    @contextmanager
    def _writing(self, engine: Engine) -> Iterator[Connection]:
        if self._suspect or self._was_replaced():
            self._reopen()
        try:
            with store_errors(self.location), engine.begin() as connection:
                yield connection
        except StoreError as error:
            # A row at fault says nothing about the store; anything else makes the next write look at it anew.
            self._suspect = error.problem is not StoreProblem.INVALID_ROW
            raise

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with store_errors(self.location), self._engine.begin() as connection:
            yield connection

    def _prepare(self) -> None:
        make_file(self.location)
        with store_errors(self.location), self._writes.begin() as connection:
            try:
                applied = migrate(connection, self._clock())
            except NewerStore as error:
                raise store_error(StoreProblem.NEWER, self.location, f"unknown migration {error}") from error
        if applied:
            log.info("%s: applied %s", self.location.shown, ", ".join(applied))
        self._file_id = self._present_file_id()

    def _check(self) -> None:
        with self._reading() as connection:
            try:
                lacking = pending_of(connection)
            except NewerStore as error:
                raise store_error(StoreProblem.NEWER, self.location, f"unknown migration {error}") from error
        if lacking:
            raise store_error(StoreProblem.MISSING, self.location, "it was made by an older version")

    def _reopen(self) -> None:
        """Starts over after a failure, or when the file under the open connections is no longer the one by its name."""
        replaced = self._was_replaced()
        self.close()
        if not self._read_only:
            self._prepare()
        self._suspect = False
        if replaced:
            log.error(
                "%s was replaced or removed while in use; writing to the file that is there now", self.location.shown
            )

    def _was_replaced(self) -> bool:
        return self._file_id is not None and self._present_file_id() != self._file_id

    def _present_file_id(self) -> tuple[int, int] | None:
        if self.location.path is None:
            return None
        try:
            found = self.location.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _forget_log(self) -> None:
        """Empties the WAL, in which deleted rows stand until it is reused."""
        if not self.shared:
            with store_errors(self.location), self._engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                assert raw is not None
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
