"""What every ledger of verified hits keeps to: in the process, in the store of decisions, in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from service.cache.ledger import Ledger, MemoryLedger, RedisLedger, StoredLedger
from service.config.model import State
from service.decisions.store import DecisionStore
from service.state.link import RedisLink
from tests.servers import RedisServer


@pytest.fixture(params=["memory", "store", "redis"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    """An empty ledger."""
    if request.param == "memory":
        yield MemoryLedger()
        return
    if request.param == "store":
        store = DecisionStore.open(f"sqlite:///{tmp_path / 'd.sqlite3'}")
        yield StoredLedger(partial(store.setting, "verified"), partial(store.put_setting, "verified"))
        store.close()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    server.wipe()
    link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 2000}), "one")
    await link.start()
    yield RedisLedger(link, "model:judge")
    await link.close()


async def test_counts_add_up_over_all_who_count(ledger: Ledger) -> None:
    """Each gets the sum, and nothing is counted twice by looking."""
    assert await ledger.add({}, {}) == {}
    assert await ledger.add({}, {"a|1|same": 2, "a|2|wrong": 1}) == {"a|1|same": 2, "a|2|wrong": 1}
    assert await ledger.add({}, {"a|1|same": 3}) == {"a|1|same": 5, "a|2|wrong": 1}

    assert await ledger.add({"a|1|same": 5, "a|2|wrong": 1}, {}) == {"a|1|same": 5, "a|2|wrong": 1}


async def test_a_redis_that_was_flushed_gets_back_what_replicas_know() -> None:
    """The most that any of them has seen, not the sum."""
    with RedisServer() as server:
        link = RedisLink(State.model_validate({"redis_url": server.url, "timeout_ms": 2000}), "one")
        await link.start()
        ledger = RedisLedger(link, "m")
        await ledger.add({}, {"a|1|same": 7})
        server.wipe()

        await ledger.add({"a|1|same": 5}, {"a|1|same": 1})
        found = await ledger.add({"a|1|same": 7}, {})

        assert found == {"a|1|same": 7}
        await link.close()


async def test_a_store_keeps_them_over_a_restart(tmp_path: Path) -> None:
    """Beside the decisions."""
    url = f"sqlite:///{tmp_path / 'd.sqlite3'}"
    store = DecisionStore.open(url)
    await StoredLedger(partial(store.setting, "k"), partial(store.put_setting, "k")).add({}, {"a|1|same": 7})
    store.close()

    again = DecisionStore.open(url)
    found = await StoredLedger(partial(again.setting, "k"), partial(again.put_setting, "k")).add({}, {})

    assert found == {"a|1|same": 7}
    again.close()
