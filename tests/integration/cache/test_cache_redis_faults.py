"""Each fault of a real Redis under the cache: a miss at worst, nothing wrong served, back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest

from service.cache.entry import Entry
from service.cache.memory import MemoryAnswers
from service.cache.redis import RedisAnswers
from service.cache.vectors import RedisVectors
from service.config.model import State
from service.state.link import RedisLink
from tests.balancer import Balancer
from tests.servers import RedisServer

A, B, C = ("a" * 32, "b" * 32, "c" * 32)
SCOPE = "s" * 32


class Replica:
    """One process's view of the cache."""

    def __init__(self, url: str, timeout_ms: int) -> None:
        self.link = RedisLink(State.model_validate({"redis_url": url, "timeout_ms": timeout_ms}), "one")
        self.answers = RedisAnswers(self.link, MemoryAnswers(1_000_000, 60), max_bytes=1_000_000, ttl_s=60)
        self.vectors = RedisVectors(self.link, "m", 100)

    async def get(self, key: str) -> str | None:
        """The kept text; each call is a request of its own, with a budget of its own."""
        async with asyncio.timeout(2):
            found = await asyncio.create_task(self.answers.get(key))
        return None if found is None else found.decision_id

    async def put(self, key: str, text: str) -> None:
        """Keeps a text."""
        await self.answers.put(key, Entry(key, SCOPE, "mini", text, 0.0, 1.0, 0.0))

    @property
    def works(self) -> bool:
        """Whether the Redis is used."""
        return self.link.problem is None


Start = Callable[..., Awaitable[Replica]]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis that the test may break."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def replica() -> AsyncIterator[Start]:
    """Starts replicas; they end with the test. A loaded machine must not look like a slow Redis."""
    started: list[Replica] = []

    async def start(url: str, timeout_ms: int = 1000) -> Replica:
        one = Replica(url, timeout_ms)
        await one.link.start()
        started.append(one)
        return one

    yield start
    for one in started:
        await one.link.close()


async def until(true: Callable[[], object], limit_s: float = 15.0) -> None:
    """Waits until something that happens behind has happened."""
    async with asyncio.timeout(limit_s):
        while not true():
            await asyncio.sleep(0.01)


def port(server: RedisServer) -> int:
    """Where it listens."""
    return urlsplit(server.url).port or 0


async def test_a_hung_redis_costs_its_limit_and_then_nothing(server: RedisServer, replica: Start) -> None:
    """After a few requests nobody waits any more; the process keeps answers of its own and forgets them afterwards."""
    one = await replica(server.url, timeout_ms=50)
    await one.put(A, "shared")
    server.freeze()
    for _ in range(4):
        assert await one.get(A) is None
    await until(lambda: not one.works)
    alone = one.link.snapshot()["alone_total"]
    for _ in range(20):
        assert await one.get(A) is None
    assert one.link.snapshot()["alone_total"] == alone + 20

    await one.put(B, "mine")
    assert await one.get(B) == "mine"
    server.thaw()
    await until(lambda: one.works)

    assert await one.get(A) == "shared"
    assert await one.get(B) is None


async def test_a_full_redis_is_left_alone_until_there_is_room(
    server: RedisServer, replica: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """With noeviction a write is refused: said with its reason, answers are kept here, and it is used again later."""
    one = await replica(server.url)
    await one.put(A, "before")
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", "1")

    await one.put(B, "full")
    await until(lambda: not one.works)
    assert await one.get(B) is None or await one.get(B) == "full"
    await one.put(C, "here")
    assert await one.get(C) == "here"
    assert any("maxmemory" in r.getMessage() for r in caplog.records)

    server.client.config_set("maxmemory", "0")
    await until(lambda: one.works)
    await one.put(C, "after")
    assert await one.get(C) == "after"
    assert server.client.get(f"autotier:v1:{C}")


async def test_a_flushed_redis_is_an_empty_cache(server: RedisServer, replica: Start) -> None:
    """Nothing is found, sizes begin anew, and what comes is kept."""
    one = await replica(server.url)
    vector = np.eye(8, dtype=np.float32)[0]
    await one.put(A, "before")
    await one.vectors.add(SCOPE, A, vector)
    server.wipe()

    assert await one.get(A) is None
    assert await one.vectors.nearest(SCOPE, vector, 5) == []
    await one.put(B, "after")
    assert await one.get(B) == "after"
    assert one.works
    assert int(server.client.hget("autotier:v1-sizes", "") or 0) > 0


@pytest.mark.parametrize("at_first", [True, False], ids=["refused at the start", "killed under way"])
async def test_a_redis_that_comes_back_is_used_by_itself(server: RedisServer, replica: Start, at_first: bool) -> None:
    """Nobody pays for finding out, and what was kept alone is forgotten."""
    if at_first:
        server.stop()
    one = await replica(server.url)
    if not at_first:
        await one.put(A, "before")
        server.stop()
    for _ in range(3):
        assert await one.get(A) is None
    await one.put(B, "alone")
    assert await one.get(B) == "alone"

    server.start()
    await until(lambda: one.works)

    assert await one.get(B) is None
    await one.put(A, "again")
    assert await one.get(A) == "again"


async def test_a_failover_goes_on_at_the_new_address(server: RedisServer, replica: Start) -> None:
    """A copy takes over behind the same name: first it only reads, then it is promoted, and nothing is lost."""
    with RedisServer("--replicaof", "127.0.0.1", str(port(server))) as copy, Balancer([port(server)]) as name:
        one = await replica(f"redis://127.0.0.1:{name.port}/0")
        vector = np.eye(8, dtype=np.float32)[0]
        await one.put(A, "kept")
        await one.vectors.add(SCOPE, A, vector)
        await until(lambda: copy.client.get(f"autotier:v1:{A}"))
        name.retarget(port(copy))
        server.stop()
        assert await one.get(B) is None
        await until(lambda: not one.works)
        await one.put(B, "alone")
        assert await one.get(B) == "alone"

        copy.client.execute_command("REPLICAOF", "NO", "ONE")
        await until(lambda: one.works)

        assert await one.get(A) == "kept"
        assert await one.get(B) is None
        assert [place for place, _ in await one.vectors.nearest(SCOPE, vector, 1)] == [A]


async def test_an_answer_taken_back_meanwhile_is_not_served_again(server: RedisServer, replica: Start) -> None:
    """Called wrong while the Redis was away: it is gone before anything is read there again."""
    one, two = await replica(server.url, timeout_ms=300), await replica(server.url)
    await one.put(A, "wrong")
    await one.put(B, "right")
    assert await two.get(A) == "wrong"
    server.freeze()
    await until(lambda: not one.works)

    await one.answers.delete(A)
    server.thaw()
    await until(lambda: one.works)

    assert await one.get(A) is None
    assert await one.get(B) == "right"
    assert await two.get(A) is None
    await one.put(A, "better")
    assert await two.get(A) == "better"


async def test_a_copy_that_lags_does_not_bring_a_wrong_answer_back(server: RedisServer, replica: Start) -> None:
    """After a failover to a server that has lost the deletion, the process deletes it again."""
    with RedisServer() as other, Balancer([port(server)]) as name:
        behind = await replica(other.url)
        await behind.put(A, "wrong")
        one = await replica(f"redis://127.0.0.1:{name.port}/0")
        await one.put(A, "wrong")
        assert await one.answers.delete(A)
        name.retarget(port(other))
        server.stop()

        await until(lambda: not other.client.exists(f"autotier:v1:{A}"))  # with the first look at the new server

        assert await one.get(A) is None
        assert await behind.get(A) is None
