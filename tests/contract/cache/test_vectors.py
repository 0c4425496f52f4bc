"""What every store of vectors keeps to; a Redis without vector sets says so and finds nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from service.cache.vectors import MemoryVectors, RedisVectors, Vectors
from service.config.model import State
from service.state.link import RedisLink
from tests.servers import RedisServer

Make = Callable[[int], Vectors]
ONE, TWO = "1" * 32, "2" * 32


def unit(*numbers: float) -> NDArray[np.float32]:
    """A vector of 8 numbers and length 1."""
    vector = np.zeros(8, dtype=np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.float32(np.linalg.norm(vector))


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes a store for so many vectors."""
    if request.param == "memory":
        yield MemoryVectors
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    server.wipe()
    link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 2000}), "one")
    await link.start()
    yield lambda most: RedisVectors(link, "model", most)
    await link.close()


async def test_the_nearest_of_a_scope_come_first(make: Make) -> None:
    """With their cosines; another scope's are never seen, however near."""
    vectors = make(100)
    await vectors.add(ONE, "a" * 32, unit(1, 0))
    await vectors.add(ONE, "b" * 32, unit(1, 1))
    await vectors.add(ONE, "c" * 32, unit(0, 1))
    await vectors.add(TWO, "d" * 32, unit(1, 0.01))

    found = await vectors.nearest(ONE, unit(1, 0.1), 2)

    assert [place for place, _ in found] == ["a" * 32, "b" * 32]
    assert found[0][1] == pytest.approx(0.995, abs=0.01)
    assert found[1][1] == pytest.approx(0.774, abs=0.01)
    assert [place for place, _ in await vectors.nearest(TWO, unit(1, 0), 5)] == ["d" * 32]
    assert await vectors.nearest("3" * 32, unit(1, 0), 5) == []


async def test_what_is_removed_is_not_found(make: Make) -> None:
    """One, then all; what is added again replaces."""
    vectors = make(100)
    await vectors.add(ONE, "a" * 32, unit(1, 0))
    await vectors.add(ONE, "b" * 32, unit(0, 1))
    await vectors.add(ONE, "b" * 32, unit(1, 0))
    await vectors.remove("a" * 32)

    assert [place for place, _ in await vectors.nearest(ONE, unit(1, 0), 5)] == ["b" * 32]

    await vectors.clear()
    assert await vectors.nearest(ONE, unit(1, 0), 5) == []


async def test_there_are_never_more_than_allowed(make: Make) -> None:
    """Beyond the bound others go."""
    vectors = make(10)
    for number in range(30):
        await vectors.add(ONE, f"{number:032d}", unit(1, number))

    assert len(await vectors.nearest(ONE, unit(1, 5), 30)) == 10


async def test_a_large_scope_is_searched_beside_the_loop() -> None:
    """While it changes."""
    vectors = MemoryVectors(5_000)
    random = np.random.default_rng(7)
    for number in range(3_000):
        await vectors.add(ONE, f"{number:032d}", random.standard_normal(8).astype(np.float32))
    await vectors.add(ONE, "a" * 32, unit(1) * 100)

    found, _ = await asyncio.gather(vectors.nearest(ONE, unit(1), 1), vectors.remove(f"{5:032d}"))

    assert found[0][0] == "a" * 32


async def test_a_redis_without_vector_sets_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is found, nothing raised, one line in the log."""
    with RedisServer() as server:
        server.client.execute_command("ACL", "SETUSER", "default", "-vadd", "-vsim")  # as if they were not there
        link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 2000}), "one")
        await link.start()
        vectors = RedisVectors(link, "model", 10)

        await vectors.add(ONE, "a" * 32, unit(1))
        assert await vectors.nearest(ONE, unit(1), 1) == []

        await link.close()
    assert vectors.problem is not None
    assert len([r for r in caplog.records if "vector sets" in r.message]) == 1
