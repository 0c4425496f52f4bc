"""What the cache costs: hits in the process and in a Redis, the loop's lag during 1,000 lookups, what a hung Redis
adds, memory of 100,000 entries.

``python -m tests.bench.cache [--entries 100000] [--compared 10000]`` prints a table; nothing here asserts a time.
litellm's exact caches are measured beside it in the same process, with the same answers; its semantic cache needs a
Redis with the search module, which no package brings: its rule is measured by ``autotier cache evaluate``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from contextvars import Context

import numpy as np
import psutil

from service.cache.answers import AnswerCache
from service.cache.entry import Answers, Entry
from service.cache.guard import difference, marks_of
from service.cache.key import Question, key_of
from service.cache.memory import MemoryAnswers
from service.cache.redis import RedisAnswers
from service.cache.vectors import MemoryVectors, RedisVectors, Vectors
from service.config.cache import CacheSettings
from service.config.model import State
from service.state.link import RedisLink
from tests.servers import RedisServer

ANSWER = "A closure is a function together with the variables that it was made with. " * 20
WIDTH = 384


def question(number: int) -> Question:
    """One of many questions."""
    return Question("caller:a", "lightweight", ("m",), [{"role": "user", "content": f"What is closure {number}?"}], {})


def entry(exact: str, number: int) -> Entry:
    """An answer of 1.5 KB."""
    message = {"role": "assistant", "content": f"{number} {ANSWER}"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Entry(exact, "s" * 32, "mini", "dec_0", time.time(), 900.0, 0.0, choices, (12, 300))


def request(work: Awaitable[object]) -> asyncio.Task[None]:
    """Runs ``work`` as a request runs: what earlier ones waited for the Redis is not on its account."""

    async def run() -> None:
        await work

    return asyncio.create_task(run(), context=Context())


async def timed(work: Callable[[int], Awaitable[object]], times: int) -> list[float]:
    """Milliseconds of each call, each a request of its own with its own budget for the Redis."""
    taken = []
    for number in range(times):
        started = time.perf_counter()
        await request(work(number))
        taken.append((time.perf_counter() - started) * 1000)
    return taken


async def lag(work: Callable[[int], Awaitable[object]], times: int, at_once: int = 20) -> list[float]:
    """How late a task that sleeps a millisecond is woken, in milliseconds, while so many calls run, some at once."""
    late: list[float] = []
    over = False

    async def watch() -> None:
        while not over:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(max(time.perf_counter() - began - 0.001, 0.0) * 1000)

    async def some(first: int) -> None:
        for number in range(first, times, at_once):
            await request(work(number))

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(some(first) for first in range(at_once)))
    over = True
    await watching
    return late


async def litellm_rows(redis_port: int, entries: int = 150) -> None:
    """litellm's exact caches with the same answers: 150 of them, because its cache in the process keeps 200."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    from litellm.caching import Cache
    from litellm.types.utils import ModelResponse

    caches = {
        "litellm, in the process": Cache(type="local"),
        "litellm, Redis 8": Cache(type="redis", host="127.0.0.1", port=str(redis_port), password=""),
    }
    for name, cache in caches.items():

        def asked(number: int) -> dict[str, object]:
            return {"model": "m", "messages": [{"role": "user", "content": f"What is closure {number % entries}?"}]}

        for number in range(entries):
            choices = [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]
            await cache.async_add_cache(ModelResponse(model="m", choices=choices).model_dump_json(), **asked(number))
        if hasattr(cache.cache, "flush_cache_buffer"):
            await cache.cache.flush_cache_buffer()
        missed = 0

        async def hit(number: int, cache: Cache = cache) -> None:
            nonlocal missed
            missed += await cache.async_get_cache(**asked(number)) is None

        line(f"{name}: exact hit among {entries}", await timed(hit, 1000), f"{missed} of 1,000 missed")


async def hung(server: RedisServer) -> None:
    """What a request waits for a Redis that hangs: the first ones, and those behind the open breaker."""
    link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 50}), "hung")
    await link.start()
    answers = RedisAnswers(link, MemoryAnswers(1000, 1), max_bytes=2**31, ttl_s=3600)

    async def lookup(number: int) -> None:
        await answers.get(f"{number:032d}")

    await timed(lookup, 3)
    server.freeze()
    await asyncio.sleep(0.05)
    first = await timed(lookup, 3)
    after = await timed(lookup, 200)
    server.thaw()
    print(f"| hung Redis, limit 50 ms: the first three lookups | {max(first):.1f} at most | | |", flush=True)
    line("hung Redis: lookups behind the open breaker", after)
    await link.close()


def line(name: str, taken: list[float], more: str = "") -> None:
    """One row."""
    ranked = sorted(taken)
    p99 = ranked[int(len(ranked) * 0.99)]
    print(f"| {name} | {statistics.median(taken):.3f} | {p99:.3f} | {more} |", flush=True)


async def measure(name: str, answers: Answers, vectors: Vectors, entries: int, compared: int) -> None:
    """Rows of one store."""
    cache = AnswerCache(answers, CacheSettings(max_bytes=2**31))
    before = psutil.Process(os.getpid()).memory_info().rss
    for number in range(entries):
        key = key_of(question(number))
        await cache.keep(key, entry(key.exact, number))
    grown = (psutil.Process(os.getpid()).memory_info().rss - before) / 2**20

    async def hit(number: int) -> None:
        assert await cache.find(key_of(question(number % entries))) is not None

    line(f"{name}: exact hit among {entries:,}", await timed(hit, 2000), f"process grew by {grown:.0f} MB")

    random = np.random.default_rng(1)
    matrix = random.standard_normal((compared, WIDTH)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    for number in range(compared):
        await vectors.add("s" * 32, f"{number:032d}", matrix[number])
    marks = marks_of("How do I undo my last commit in Git?", "en")

    async def similar(number: int) -> None:
        for _ in await vectors.nearest("s" * 32, matrix[number % compared], 5):
            difference(marks, marks_of("I committed too early, what takes that back in Git?", "en"))

    line(f"{name}: similar ask among {compared:,}, guard on 5", await timed(similar, 300))
    line(f"{name}: lag of the loop during 1,000 exact hits, 20 at once", await lag(hit, 1000), "of a sleep of 1 ms")
    line(
        f"{name}: lag of the loop during 1,000 similar asks, 20 at once", await lag(similar, 1000), "of a sleep of 1 ms"
    )


async def main(entries: int, compared: int) -> None:
    """The table."""
    print("| what | p50 ms | p99 ms | |\n| --- | --- | --- | --- |")
    await measure("in the process", MemoryAnswers(2**31, 3600), MemoryVectors(compared), entries, compared)
    with RedisServer() as server:
        link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 5000}), "bench")
        await link.start()
        answers = RedisAnswers(link, MemoryAnswers(1000, 1), max_bytes=2**31, ttl_s=3600)
        await measure("Redis 8", answers, RedisVectors(link, "m", compared), entries, compared)
        used = int(server.client.info("memory")["used_memory"]) / 2**20
        print(f"| Redis 8: its memory | {used:.0f} MB | | |")
        await link.close()
        await litellm_rows(int(server.url.rsplit(":", 1)[1].split("/")[0]))
        await hung(server)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--compared", type=int, default=10_000)
    given = parser.parse_args()
    asyncio.run(main(given.entries, given.compared))
