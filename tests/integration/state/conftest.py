"""Replicas in one process over one real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from service.config.model import State
from service.state.link import RedisLink
from service.state.shared import SharedState
from tests.servers import RedisServer

Replicas = Callable[..., Awaitable[SharedState]]


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    """One redis-server for all tests that leave it running."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(running_redis: RedisServer) -> RedisServer:
    """An empty Redis."""
    running_redis.wipe()
    return running_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop, freeze and fill."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def replica() -> AsyncIterator[Replicas]:
    """Starts replicas by address; they end with the test."""
    started: list[SharedState] = []

    async def start(url: str, name: str = "", **settings: Any) -> SharedState:
        # A loaded machine must not look like a slow Redis, so the limit is wide unless a test is about it.
        values = {"timeout_ms": 5000, **settings, "redis_url": url}
        state = SharedState(RedisLink(State.model_validate(values), name or f"replica{len(started)}"))
        await state.start()
        started.append(state)
        return state

    yield start
    for state in started:
        await state.close()


async def until(true: Callable[[], object], limit_s: float = 10.0) -> None:
    """Waits until something that happens behind has happened."""
    async with asyncio.timeout(limit_s):
        while not true():
            await asyncio.sleep(0.01)
