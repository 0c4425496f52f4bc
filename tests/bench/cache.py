"""What the cache costs: hits in the process and in a Redis, the loop's longest stall, memory of 100,000 entries.

``python -m tests.bench.cache [--entries 100000] [--redis]`` prints a table; nothing here asserts a time. litellm's own
cache is measured beside it where it is installed, in the same process and with the same answers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

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


async def timed(work: Callable[[int], Awaitable[object]], times: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for number in range(times):
        started = time.perf_counter()
        await work(number)
        taken.append((time.perf_counter() - started) * 1000)
    return taken


async def stall(work: Awaitable[object]) -> float:
    """Longest time in milliseconds for which the loop stood still during ``work``."""
    longest, over = 0.0, False

    async def watch() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not over:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    watching = asyncio.create_task(watch())
    await work
    over = True
    await watching
    return longest * 1000


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
    longest = await stall(timed(similar, 50))
    print(f"| {name}: loop's longest stall during similar asks | {longest:.3f} | | |", flush=True)


async def main(entries: int, compared: int) -> None:
    """The table."""
    print("| what | p50 ms | p99 ms | |\n| --- | --- | --- | --- |")
    await measure("in the process", MemoryAnswers(2**31, 3600), MemoryVectors(compared), entries, compared)
    with RedisServer() as server:
        link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 5000}), "bench")
        await link.start()
        answers = RedisAnswers(link, MemoryAnswers(1000, 1), max_bytes=2**31, ttl_s=3600)
        await measure("Redis 8", answers, RedisVectors(link, "m", compared), entries, compared)
        used = server.client.info("memory")["used_memory"] / 2**20
        print(f"| Redis 8: its memory | {used:.0f} MB | | |")
        await link.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--compared", type=int, default=10_000)
    given = parser.parse_args()
    asyncio.run(main(given.entries, given.compared))
