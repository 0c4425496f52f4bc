"""What the lean way costs in CPU, beside a raw aiohttp pass-through to the same host.

    python -m tests.bench.lean_way [--requests 1000] [--protocol openai|ollama] [--uvloop]

Prints CPU of this process per request (short: one token; long: 64 events, in one burst and paced) and per event. The
host is a process of its own. With ``--uvloop`` on the loop that the service takes where it is installed. Timings are
printed, never asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import orjson

from service.config import Deployment
from service.demo.hosts import HostSpec, SimulatedHost
from service.upstream.interface import Call
from service.upstream.lean_way import LeanWay

MODELS = {"openai": "gpt-4.1", "ollama": "llama3.2:3b"}
EVENTS = 64


def call_for(protocol: str, address: str, tokens: int) -> Call:
    """A short question for ``tokens`` tokens of answer."""
    deployment = Deployment(id="bench", host="bench", provider=protocol, model=MODELS[protocol], context=8192)
    messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "What is a tier?"}]
    return Call(deployment, address, None, {"messages": messages, "max_tokens": tokens, "temperature": 0.2})


def lean(way: LeanWay, call: Call) -> Callable[[], Awaitable[int]]:
    """One request over the lean way; gives the number of chunks."""

    async def once() -> int:
        count = 0
        async for batch in way.stream(call):
            count += len(batch)
        return count

    return once


def raw(session: aiohttp.ClientSession, url: str, body: bytes) -> Callable[[], Awaitable[int]]:
    """One request whose answer is read and not looked at; gives the number of reads."""

    async def pieces() -> AsyncIterator[bytes]:
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
            async for data in response.content.iter_any():
                yield data

    async def once() -> int:
        count = 0
        async for _ in pieces():
            count += 1
        return count

    return once


async def cpu_us(once: Callable[[], Awaitable[int]], requests: int) -> float:
    """CPU of this process per request, in microseconds; the best of three rounds."""
    best = float("inf")
    for _ in range(20):
        await once()
    for _ in range(3):
        started = time.process_time()
        for _ in range(requests):
            await once()
        best = min(best, (time.process_time() - started) / requests * 1e6)
    return best


async def measure(protocol: str, requests: int, token_ms: float) -> None:
    """Prints one table for one protocol and pace."""
    spec = HostSpec(
        kind="openai" if protocol == "openai" else "ollama",
        models=(MODELS[protocol],),
        loaded=(MODELS[protocol],) if protocol == "ollama" else (),
        token_ms=token_ms,
        first_token_ms=0,
        answer_tokens=EVENTS,
    )
    way = LeanWay()
    async with SimulatedHost(spec) as host, aiohttp.ClientSession() as session:
        address = host.openai_base if protocol == "openai" else host.address
        url = f"{address}/chat/completions" if protocol == "openai" else f"{address}/api/chat"
        print(f"{protocol}, {token_ms} ms between tokens")
        for tokens in (1, EVENTS):
            call = call_for(protocol, address, tokens)
            fields = {**call.body, "model": MODELS[protocol], "stream": True, "options": {"num_predict": tokens}}
            through = await cpu_us(raw(session, url, orjson.dumps(fields)), requests)
            ours = await cpu_us(lean(way, call), requests)
            per_event = (ours - through) / tokens
            print(
                f"  {tokens:3} events: lean {ours:7.0f} us, raw {through:7.0f} us, ratio {ours / through:4.2f}, "
                f"{ours / tokens:6.1f} us an event, {per_event:6.1f} us above raw"
            )
        await way.close()


def main() -> None:
    """Runs both protocols, in one burst and paced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--protocol", choices=tuple(MODELS), default=None)
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    run = asyncio.run
    if options.uvloop:
        import uvloop

        run = uvloop.run
    for protocol in [options.protocol] if options.protocol else MODELS:
        run(measure(protocol, options.requests, 0))
        run(measure(protocol, max(options.requests // 10, 10), 1))


if __name__ == "__main__":
    main()
