"""How a store comes to the present schema."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, select, text

from service.decisions.database import WRITES, engine_of, locate
from service.decisions.migrations import MIGRATIONS
from service.decisions.records import DecisionRecord
from service.decisions.rows import Batch
from service.decisions.schema import metadata, migrations
from service.decisions.store import DecisionStore
from service.errors import StoreError, StoreProblem

Factory = Callable[..., DecisionRecord]


@contextmanager
def engine(url: str) -> Iterator[Engine]:
    """An engine beside the store's own."""
    opened = engine_of(locate(url))
    yield opened
    opened.dispose()


def test_migrations_make_what_the_schema_says(store: DecisionStore, store_url: str) -> None:
    """Tables, columns, nullability and indexes of the migrated store equal those of ``schema.py``."""
    with engine(store_url) as looking:
        found = inspect(looking)

        assert set(found.get_table_names()) == set(metadata.tables)
        for table in metadata.tables.values():
            columns = {one["name"]: one["nullable"] for one in found.get_columns(table.name)}
            assert columns == {c.name: bool(c.nullable) for c in table.columns}
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
            indexes = {str(one["name"]): one["column_names"] for one in found.get_indexes(table.name)}
            assert indexes == {str(one.name): [c.name for c in one.columns] for one in table.indexes}


def test_each_migration_is_applied_once_and_noted(store_url: str) -> None:
    """Two replicas that open a new store at once, and a later start, leave each step noted once with its time."""
    with ThreadPoolExecutor(2) as threads:
        for opened in threads.map(lambda _: DecisionStore.open(store_url, clock=lambda: 7.0), range(2)):
            opened.close()
    DecisionStore.open(store_url, clock=lambda: 9.0).close()

    with engine(store_url) as looking, looking.connect() as connection:
        noted = connection.execute(select(migrations)).all()

    assert [tuple(row) for row in noted] == [(step.__name__, 7.0) for step in MIGRATIONS]


def test_a_store_of_a_newer_version_is_refused(store_url: str) -> None:
    """A step that this version does not know means: upgrade, do not guess."""
    DecisionStore.open(store_url).close()
    with engine(store_url) as changing, changing.execution_options(**WRITES).begin() as connection:
        connection.execute(text("INSERT INTO migrations VALUES ('m999_later', 1.0)"))

    with pytest.raises(StoreError, match=r"m999_later.*upgrade") as refused:
        DecisionStore.open(store_url)

    assert refused.value.problem is StoreProblem.NEWER


def test_a_failing_migration_leaves_nothing_behind(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are applied in one transaction, tables too: a store is migrated or as it was."""

    def m002_broken(connection: object) -> None:
        connection.execute(text("CREATE TABLE half (a TEXT)"))  # type: ignore[attr-defined]
        connection.execute(text("CREATE TABLE half (a TEXT)"))  # type: ignore[attr-defined]

    with monkeypatch.context() as patched:
        patched.setattr("service.decisions.migrations.MIGRATIONS", (*MIGRATIONS, m002_broken))
        with pytest.raises(StoreError):
            DecisionStore.open(store_url)

    with engine(store_url) as looking:
        assert inspect(looking).get_table_names() == []


def test_sqlite_file_and_folder_belong_to_their_owner_only(tmp_path: Path, decision: Factory) -> None:
    """Records may hold prompts: nobody else may read the file, its WAL or its folder."""
    path = tmp_path / "made" / "records.db"
    store = DecisionStore.open(f"sqlite:///{path}")
    store.write(Batch.of([decision()]))

    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (path.parent, *path.parent.iterdir())}

    store.close()
    assert modes["made"] == 0o700
    assert {mode for name, mode in modes.items() if name != "made"} == {0o600}
    assert "records.db-wal" in modes


def test_deleted_prompts_are_gone_from_the_files(
    sqlite_store: DecisionStore, sqlite_path: Path, decision: Factory
) -> None:
    """Deleting a caller overwrites the text, in the file and in its WAL."""
    word = "unmistakeable-secret-word"
    sqlite_store.write(Batch.of([decision(messages=[{"role": "user", "content": word * 500}])]))

    sqlite_store.delete_caller("anna")

    files = [one for one in sqlite_path.parent.iterdir() if one.is_file()]
    assert files
    assert not [one.name for one in files if word.encode() in one.read_bytes()]
