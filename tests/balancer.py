"""A TCP balancer for tests: connections go round, past back ends that refuse; it can be slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Self

from tests.house import free_port


class Balancer:
    """Forwards connections to back ends in turn, in a thread of its own.

    Args:
        ports: Back ends on loopback.

    Attributes:
        port: Where it listens.
        delay_s: Seconds that each piece from a back end is held back.
        connections: Taken so far.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = free_port()
        self.delay_s = 0.0
        self.connections = 0
        self._ports = list(ports)
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def retarget(self, *ports: int) -> None:
        """Sends new connections to other back ends, as a changed address does."""
        self._ports = list(ports)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._turn += 1
        first = self._turn
        for number in range(len(self._ports)):
            try:
                back = await asyncio.open_connection("127.0.0.1", self._ports[(first + number) % len(self._ports)])
                break
            except OSError:
                continue
        else:
            writer.close()
            return
        back_reader, back_writer = back
        await asyncio.gather(self._pump(reader, back_writer, slow=False), self._pump(back_reader, writer, slow=True))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        try:
            while piece := await reader.read(65_536):
                if slow and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass  # one side has gone: so does the other
        finally:
            writer.close()
