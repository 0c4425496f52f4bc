"""Models in memory: loads, swaps, slots. Time is real but tiny."""

from __future__ import annotations

import asyncio

import pytest

from service.demo.hosts.memory import HostFull, Memory
from service.demo.hosts.spec import HostSpec

LIGHT, CODER = "qwen3:8b", "qwen3-coder:30b"


def macbook(**changes: object) -> Memory:
    """Give a host of 24 GB with the two models that do not fit together."""
    fields: dict[str, object] = {"memory_gb": 24.0, "load_s": 0.01, "models": (LIGHT, CODER), **changes}
    return Memory(HostSpec(**fields))  # type: ignore[arg-type]


async def use(
    memory: Memory, model: str, context: int = 8192, keep_alive_s: float | None = None, hold_s: float = 0.0
) -> bool:
    """Use a model once; say whether it had to be loaded."""
    async with memory.lease(model, context, keep_alive_s) as lease:
        await asyncio.sleep(hold_s)
        return lease.loaded


def names(memory: Memory) -> list[str]:
    """Give the models in memory."""
    return [one.model for one in memory.resident()]


async def test_a_model_is_loaded_once() -> None:
    """The second use finds it."""
    memory = macbook()

    assert [await use(memory, LIGHT), await use(memory, LIGHT)] == [True, False]
    assert (memory.loads, memory.swaps) == (1, 0)


async def test_two_models_that_do_not_fit_together_swap() -> None:
    """19 GB and 6 GB on 24 GB: each use of the other one is a swap."""
    memory = macbook(loaded=(CODER,))

    for model in (LIGHT, CODER, LIGHT):
        await use(memory, model)

    assert (memory.loads, memory.swaps, names(memory)) == (3, 3, [LIGHT])


async def test_two_models_that_fit_stay_both() -> None:
    """With 32 GB nothing is evicted."""
    memory = macbook(memory_gb=32.0, loaded=(CODER,))

    await use(memory, LIGHT)

    assert (memory.swaps, sorted(names(memory))) == (0, [CODER, LIGHT])


async def test_another_context_reloads_the_model() -> None:
    """As at Ollama, num_ctx is part of how a model is loaded."""
    memory = macbook()
    await use(memory, LIGHT, context=4096)

    assert await use(memory, LIGHT, context=8192) is True
    assert (memory.loads, memory.reloads, memory.swaps) == (2, 1, 0)


async def test_a_model_loaded_at_the_start_takes_the_first_context() -> None:
    """No reload where the host was set up without a context; one where it was set up with another."""
    assert await use(macbook(loaded=(LIGHT,)), LIGHT, context=8192) is False
    assert await use(macbook(loaded=(f"{LIGHT}@4096",)), LIGHT, context=8192) is True


async def test_an_eviction_waits_for_the_running_generation() -> None:
    """The coder's answer ends before the light model is loaded."""
    memory = macbook(loaded=(CODER,))
    order: list[str] = []

    async def one(model: str, hold_s: float) -> None:
        await use(memory, model, hold_s=hold_s)
        order.append(model)

    running = asyncio.create_task(one(CODER, 0.1))
    await asyncio.sleep(0.01)
    await asyncio.gather(running, one(LIGHT, 0.0))

    assert order == [CODER, LIGHT]


async def test_a_single_slot_makes_others_wait() -> None:
    """The second request on a model starts after the first."""
    memory = macbook(loaded=(LIGHT,))
    running = 0
    most = 0

    async def one() -> None:
        nonlocal running, most
        async with memory.lease(LIGHT, 8192, None):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(one(), one(), one())

    assert most == 1


async def test_more_slots_let_more_run() -> None:
    """--parallel 2 runs two at a time."""
    memory = macbook(loaded=(LIGHT,), parallel=2)
    inside = 0
    both = asyncio.Event()

    async def one() -> None:
        nonlocal inside
        async with memory.lease(LIGHT, 8192, None):
            inside += 1
            if inside == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 1)

    await asyncio.gather(one(), one())

    assert both.is_set()


async def test_a_model_larger_than_the_memory_is_refused() -> None:
    """In Ollama's words."""
    with pytest.raises(HostFull, match="requires more system memory"):
        await use(macbook(memory_gb=16.0), CODER)


async def test_a_full_queue_is_refused() -> None:
    """One slot and a queue of one: the third request is turned away."""
    memory = macbook(loaded=(LIGHT,), queue=1)
    waiting = [asyncio.create_task(use(memory, LIGHT, hold_s=0.05)) for _ in range(2)]
    await asyncio.sleep(0.01)

    with pytest.raises(HostFull, match="server busy"):
        await use(memory, LIGHT)
    await asyncio.gather(*waiting)


async def test_keep_alive_unloads() -> None:
    """0 at once, a short time later, and without it the model stays."""
    memory = macbook()

    await use(memory, LIGHT, keep_alive_s=0)
    at_once = names(memory)
    await use(memory, LIGHT, keep_alive_s=0.02)
    before = names(memory)
    await asyncio.sleep(0.03)

    assert (at_once, before, names(memory)) == ([], [LIGHT], [])


async def test_a_client_that_leaves_during_a_load_frees_the_model() -> None:
    """The load goes on, and the next request neither hangs nor loads again."""
    memory = macbook(load_s=0.05)
    leaving = asyncio.create_task(use(memory, LIGHT))
    await asyncio.sleep(0.01)

    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)

    assert await asyncio.wait_for(use(memory, LIGHT), 1) is False
    assert await asyncio.wait_for(use(memory, CODER), 1) is True
