"""Reloads within one process: what a reload has replaced goes."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

from service.bootstrap import Service
from service.config.load import load_configuration
from tests.bench.workloads import write_service_configuration

NOBODY = "http://127.0.0.1:9"


async def test_parts_that_a_reload_has_replaced_are_freed(tmp_path: Path) -> None:
    """They lead to each other in circles, which nothing else collects for hours: a megabyte each time."""
    file = write_service_configuration(tmp_path, {"openai": NOBODY}, "auto")
    service = Service(load_configuration(file), str(file), "127.0.0.1", lambda: load_configuration(file))
    await service.open()
    gc.disable()  # what a round of its own would find by chance does not count
    try:
        replaced = []
        for _ in range(3):
            assert service._now is not None
            replaced.append(weakref.ref(service._now.experiments))
            await service.reload()
            await asyncio.gather(*service._retiring)
            await asyncio.sleep(0)  # the callback behind it

        assert [one() for one in replaced] == [None] * 3
    finally:
        gc.enable()
        await service.close()
