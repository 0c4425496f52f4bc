"""Asks ``/healthz`` every few milliseconds and prints the latencies as JSON: a process of its own, as a user would be.

``python -m tests.bench.probe PORT SECONDS``
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from tests.bench.generator import Connection, request_bytes

EVERY_S = 0.005
PRIORITY = -15
"""Before the generator and the hosts on the same core, where that is allowed: their turns are not the service's lag."""


async def probe(port: int, seconds: float) -> list[float]:
    """Latencies of ``/healthz`` in ms, one request at a time."""
    connection = await Connection.to(port)
    raw = request_bytes("/healthz")
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    found: list[float] = []
    try:
        while loop.time() < end:
            found.append(round((await connection.ask(raw)).total_ms, 3))
            await asyncio.sleep(EVERY_S)
    finally:
        connection.close()
    return found


if __name__ == "__main__":
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except OSError:
        pass  # an ordinary user's run has ordinary turns
    sys.stdout.write(json.dumps(asyncio.run(probe(int(sys.argv[1]), float(sys.argv[2])))))
