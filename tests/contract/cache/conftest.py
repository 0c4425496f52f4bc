"""The same tests over both stores: in the process, and in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from service.cache.entry import Answers
from service.cache.memory import MemoryAnswers
from service.cache.redis import RedisAnswers
from service.config.model import State
from service.state.link import RedisLink
from tests.servers import RedisServer

Make = Callable[..., Answers]


@pytest.fixture(scope="package")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes a store; keyword arguments are the bounds."""
    if request.param == "memory":
        yield lambda max_bytes=1_000_000, ttl_s=60.0: MemoryAnswers(max_bytes, ttl_s)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    server.wipe()
    link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 2000}), "one")

    def made(max_bytes: int = 1_000_000, ttl_s: float = 60.0) -> Answers:
        return RedisAnswers(link, MemoryAnswers(max_bytes, ttl_s), max_bytes=max_bytes, ttl_s=ttl_s)

    await link.start()
    yield made
    await link.close()
