"""Real stores, SQLite and PostgreSQL, and the records that go into them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.decisions.records import AttemptRecord, DecisionRecord
from service.decisions.store import DecisionStore
from tests.servers import empty_database, postgresql_server

NOW_S = 1_800_000_000.0

DecisionFactory = Callable[..., DecisionRecord]


def attempt(order: int = 0, **changed: Any) -> AttemptRecord:
    """An attempt that was answered."""
    values: dict[str, Any] = {
        "order": order,
        "deployment_id": f"deployment-{order}",
        "outcome": "answered",
        "way": "lean",
        "status": 200,
        "detail": "",
        "connect_ms": 1.5,
        "first_token_ms": 20.25,
        "total_ms": 300.0,
        "prompt_tokens_counted": 11,
        "prompt_tokens": 12,
        "completion_tokens": 13,
        "cost_usd": 0.25,
        "served_model": "model",
        "warning": None,
    }
    return AttemptRecord(**{**values, **changed})


@pytest.fixture
def decision() -> DecisionFactory:
    """Makes decisions: each call another id, one second later."""
    numbers = itertools.count(1)

    def make(**changed: Any) -> DecisionRecord:
        number = next(numbers)
        values: dict[str, Any] = {
            "id": f"dec_{number:032x}",
            "created_s": NOW_S + number,
            "caller": "anna",
            "surface": "chat",
            "model_asked": "auto",
            "stream": False,
            "tier": "coding",
            "reason": "classifier",
            "confidence": 0.75,
            "displaced": None,
            "artifact": "first",
            "deployment_id": "deployment-0",
            "outcome": "answered",
            "status": 200,
            "first_token_ms": 20.25,
            "total_ms": 300.5,
            "prompt_tokens": 12,
            "completion_tokens": 13,
            "cost_usd": 0.25,
            "conversation": None,
            "finish_reason": "stop",
            "decision": {"detail": "", "probabilities": {"coding": 0.75}},
            "attempts": (attempt(),),
        }
        return DecisionRecord(**{**values, **changed})

    return make


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a real PostgreSQL server."""
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a store that does not exist yet (SQLite), or of an empty database (PostgreSQL)."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'folder' / 'records.db'}"
        return
    with empty_database(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def store(store_url: str) -> Iterator[DecisionStore]:
    """An open store, SQLite and then PostgreSQL."""
    opened = DecisionStore.open(store_url, clock=lambda: NOW_S)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """Where a SQLite store goes."""
    return tmp_path / "records.db"


@pytest.fixture
def sqlite_store(sqlite_path: Path) -> Iterator[DecisionStore]:
    """An open SQLite store."""
    opened = DecisionStore.open(f"sqlite:///{sqlite_path}", clock=lambda: NOW_S)
    yield opened
    opened.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits until something that another thread brings about has come about."""

    async def wait(true: Callable[[], bool]) -> None:
        for _ in range(1000):
            if true():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never came about")

    return wait
