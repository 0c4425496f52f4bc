"""What every store of answers keeps to."""

from __future__ import annotations

import asyncio

import pytest

from service.cache.entry import Entry
from tests.contract.cache.conftest import Make


def entry(text: str = "Yes.", **changes: object) -> Entry:
    """An answer."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]
    fields = {
        "exact": "e" * 32,
        "scope": "s" * 32,
        "deployment_id": "mini",
        "decision_id": "dec_1",
        "created_s": 1.5,
        "took_ms": 900.25,
        "cost_usd": 0.001,
        "choices": choices,
        "usage": (12, 3),
        **changes,
    }
    return Entry(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["Yes.", "äöü 漢字 \x00 \ud7ff", "x" * 50_000], ids=["plain", "unicode", "long"])
async def test_what_is_kept_comes_back_equal(make: Make, text: str) -> None:
    """Every field of it, in any script and of any length."""
    answers = make()

    await answers.put("a" * 32, entry(text))

    assert await answers.get("a" * 32) == entry(text)
    assert await answers.get("b" * 32) is None


async def test_the_last_one_kept_counts(make: Make) -> None:
    """A second answer under the same key replaces the first, and the bytes are those of one."""
    answers = make()
    await answers.put("a" * 32, entry("one"))

    await answers.put("a" * 32, entry("two"))

    found = await answers.get("a" * 32)
    assert found is not None
    assert found.choices[0]["message"]["content"] == "two"


async def test_an_entry_ends_with_its_time(make: Make) -> None:
    """After its seconds it is a miss."""
    answers = make(ttl_s=1)
    await answers.put("a" * 32, entry())
    assert await answers.get("a" * 32) is not None

    await asyncio.sleep(1.1)

    assert await answers.get("a" * 32) is None


async def test_the_least_recently_used_goes_first(make: Make) -> None:
    """Beyond the bytes that are allowed the oldest use is evicted; what was read lately stays."""
    answers = make(max_bytes=4 * 1_500)
    for name in "abc":
        await answers.put(name * 32, entry(name * 500))
    await answers.get("a" * 32)
    await asyncio.sleep(0.4)  # a touch goes out behind the answer

    for name in "def":
        await answers.put(name * 32, entry(name * 500))

    kept = [name for name in "abcdef" if await answers.get(name * 32) is not None]
    assert "a" in kept
    assert "f" in kept
    assert "b" not in kept
    assert answers.snapshot()["evicted_total"] >= 1


async def test_what_is_larger_than_everything_is_not_kept(make: Make) -> None:
    """And evicts nothing."""
    answers = make(max_bytes=3_000)
    await answers.put("a" * 32, entry())

    await answers.put("b" * 32, entry("x" * 5_000))

    assert await answers.get("a" * 32) is not None
    assert await answers.get("b" * 32) is None


async def test_deleting_and_clearing(make: Make) -> None:
    """What is taken back is gone, and says whether it was there."""
    answers = make()
    for name in "abc":
        await answers.put(name * 32, entry())

    assert await answers.delete("a" * 32)
    assert not await answers.delete("a" * 32)
    assert await answers.clear() == 2

    assert await answers.get("b" * 32) is None
    assert await answers.clear() == 0


async def test_a_turn_is_given_back(make: Make) -> None:
    """Whoever took a turn may take it again after giving it."""
    answers = make()
    assert await answers.take("a" * 32)

    answers.give("a" * 32)
    await asyncio.sleep(0.4)

    assert await answers.take("a" * 32)
