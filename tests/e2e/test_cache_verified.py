"""Hits verified by a running service, with a judge that is one of its deployments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from service.cache.local_model import installed
from service.cli.cache import command
from service.decisions.records import DecisionFilter, DecisionRecord
from service.decisions.store import DecisionStore
from tests.e2e.test_cache import KEYS, SAME, ask, met, with_cache
from tests.house import House
from tests.servers import RedisServer

ADMIN = {"headers": {"authorization": f"Bearer {KEYS['anna']}"}}


def numbers(house: House) -> dict[str, float]:
    """What the cache counts."""
    found: dict[str, float] = house.get("/v1/admin/cache", **ADMIN).json()["numbers"]
    return found


def verdicts(house: House, name: str, least: float = 1.0) -> float:
    """A count, once it has come so far."""
    deadline = time.monotonic() + 20
    while numbers(house)[name] < least:
        assert time.monotonic() < deadline, (numbers(house), house.log()[-2000:])
        time.sleep(0.05)
    return numbers(house)[name]


@pytest.fixture(scope="module", params=["store", "redis"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house that verifies every near and semantic hit, evidence kept in the store or in a Redis."""
    if not installed():
        pytest.skip("the extra cache-local is not installed")
    settings: dict[str, Any] = {
        "semantic": {"embedding": {"deadline_ms": 10_000}},
        "verify": {"judge": "coding-local", "share": 1.0},
        "timeout_ms": 1000,
    }
    if request.param == "store":
        with House(change=with_cache(**settings)) as house:
            yield house
        return
    with RedisServer() as server, House(change=with_cache(redis_url=server.url, **settings)) as house:
        yield house


def test_the_judge_is_measured_and_its_error_is_known_after_a_reload(house: House) -> None:
    """Before, only its bad words count, and everybody is told; then its error is in the numbers."""
    house.reset()
    assert "was never measured" in house.log()
    assert "never measured" in _run("stats", "--base", house.base, "--key", KEYS["anna"])

    said = _run("judge", "-c", str(house.file))

    assert "198 pairs" in said
    assert "kept; a running service takes it in" in said
    assert house.post("/v1/admin/reload", **ADMIN).status_code == 200
    shown = house.get("/v1/admin/cache", **ADMIN).json()["verification"]
    assert shown["judge"] == "coding-local"
    assert shown["judge_error"]["different"] == 99
    assert "missed 0 of 99" in _run("stats", "--base", house.base, "--key", KEYS["anna"])


def test_a_right_hit_is_verified_behind_its_answer(house: House) -> None:
    """The simulated judge compares words, and the same host gives the same words again."""
    house.reset()
    before = numbers(house)
    ask(house, SAME[0])
    hit = ask(house, SAME[1])
    assert hit.headers["x-autotier-cache"] == "hit-semantic"

    assert verdicts(house, "verify_same_total", before["verify_same_total"] + 1) == before["verify_same_total"] + 1

    after = house.get("/v1/admin/cache", **ADMIN).json()
    (scope,) = [s for s in after["verification"]["scopes"] if s["scope"] == "group:family/lightweight/en"]
    assert scope["wrong"] == 0
    assert 0 < scope["bound"] <= 0.05
    metrics = house.get("/metrics", **ADMIN).text
    assert "autotier_cache_false_hit_bound" in metrics
    assert "autotier_cache_saved_seconds" in metrics
    record = _verification(house)
    assert record.surface == "verify"
    assert record.decision["cache"]["status"] == "verify:same"
    assert len(record.attempts) == 2


def test_a_wrong_hit_is_found_and_taken_back(house: House) -> None:
    """Another host answers now with other words: the judge says so, and the next ask goes upstream."""
    house.reset()
    text = ("What does the static keyword mean in a Java class?", "Java: please explain the word static to me")
    near = (f"{text[0]}  Tell me", f"{text[0]} Tell me")
    ask(house, near[0])
    house.hosts["mini"].set_fault("down")
    before = numbers(house)
    hit = ask(house, near[1])
    assert hit.headers["x-autotier-cache"] == "hit-near"

    verdicts(house, "verify_wrong_total", before["verify_wrong_total"] + 1)

    house.reset()
    assert ask(house, near[1]).headers["x-autotier-cache"] == "miss"
    assert numbers(house)["false_hits"] >= 1


def test_what_is_nearly_similar_enough_goes_upstream_and_is_judged(house: House) -> None:
    """It is a miss for its client; behind it the judge holds its fresh answer against the kept one."""
    house.reset()
    before = numbers(house)
    ask(house, SAME[0], caller="carl")

    answer = ask(house, "Git should forget what I have just recorded, what do I type?", caller="carl")

    assert answer.headers["x-autotier-cache"] == "miss"
    assert verdicts(house, "verify_explored_total", before["verify_explored_total"] + 1) >= 1
    assert met(house) == 3  # two answers and one question to the judge


def test_evidence_outlives_the_service(house: House) -> None:
    """After a restart the counts are there again."""
    house.reset()
    before = numbers(house)
    ask(house, "How tall is  the Matterhorn?")
    assert ask(house, "How tall is the Matterhorn?").headers["x-autotier-cache"] == "hit-near"
    tried = verdicts(house, "verified_hits", before["verified_hits"] + 1)
    time.sleep(0.3)  # the ledger is written behind the verdict

    house.stop()
    house.start()

    assert verdicts(house, "verified_hits", tried) >= tried


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return str(result.output)


def _verification(house: House) -> DecisionRecord:
    """The newest record of a verification."""
    store = DecisionStore.open(f"sqlite:///{house.folder / 'demo.sqlite3'}", read_only=True)
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            found = store.recent(DecisionFilter(caller="cache/verify", limit=1))
            if found:
                return found[0]
            time.sleep(0.05)
    finally:
        store.close()
    raise AssertionError("no verification was recorded")


def test_a_judge_must_be_a_deployment() -> None:
    """A name that nobody has is a mistake in the file."""
    change: Callable[[dict[str, Any]], None] = with_cache(verify={"judge": "nobody"})
    with pytest.raises(RuntimeError, match=r"cache\.verify\.judge: no deployment is 'nobody'"), House(change=change):
        raise AssertionError("it started")
