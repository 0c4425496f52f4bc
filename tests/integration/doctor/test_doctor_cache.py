"""What ``autotier doctor`` says of the cache: its Redis, languages, judge and evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from service.cache.judge import JudgeError
from service.config.load import load
from service.config.seed import seed_document
from service.decisions.store import DecisionStore
from service.doctor.cache import cache
from service.doctor.endpoints import ToldEnvironment
from service.doctor.findings import Finding, Status
from tests.house import free_port
from tests.servers import RedisServer


def examined(folder: Path, **settings: Any) -> dict[str, Finding]:
    """Findings by what was looked at."""
    document = seed_document()
    document["cache"] = settings
    document["store"] = {"url": f"sqlite:///{folder / 'd.sqlite3'}"}
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    found = cache(load(file, ToldEnvironment({})).configuration)
    assert all(one.fix for one in found if one.status in (Status.FAILED, Status.WARNING))
    return {one.check: one for one in found}


def test_the_shipped_cache_is_in_order(tmp_path: Path) -> None:
    """In the process, equal asks only, nobody verifies: said, and nothing is wrong."""
    found = examined(tmp_path)

    assert "268 MB" in found["answers"].text
    assert found["similar asks"].status is Status.NOTE
    assert found["judge"].text.startswith("none")


def test_each_language_says_why_it_is_off(tmp_path: Path) -> None:
    """The embedding does not know it, or no similarity serves enough."""
    found = examined(tmp_path, semantic={"embedding": {}})

    assert found["similar asks"].text == "all-MiniLM-L6-v2, on in en from 0.63"
    assert "de: the embedding does not know it (AUC 0.944" in found["languages off"].text
    assert "es: no similarity at which" in found["languages off"].text


def test_an_embedding_that_nobody_measured_is_a_warning(tmp_path: Path) -> None:
    """With the command that measures it."""
    found = examined(tmp_path, semantic={"embedding": {"host": "mini", "model": "nomic-embed-text"}})

    assert found["similar asks"].status is Status.WARNING
    assert "autotier cache evaluate" in str(found["similar asks"].fix)


def test_the_judge_its_error_and_the_evidence(tmp_path: Path) -> None:
    """First never measured, then with what it missed and what was verified."""
    verify = {"judge": "coding-local"}
    found = examined(tmp_path, verify=verify)
    assert found["judge"].status is Status.WARNING
    assert "autotier cache judge" in str(found["judge"].fix)
    assert found["evidence"].text == "no hit verified yet"

    store = DecisionStore.open(f"sqlite:///{tmp_path / 'd.sqlite3'}")
    error = JudgeError("coding-local:qwen3-coder:30b", 99, 2, 99, 1)
    store.put_setting("cache-judge:coding-local:qwen3-coder:30b", error.written())
    store.put_setting(
        "cache-verified:none:coding-local:qwen3-coder:30b",
        json.dumps({"caller:a/coding/near|59|same": 40, "caller:a/coding/near|59|wrong": 2}),
    )
    store.close()
    found = examined(tmp_path, verify=verify)

    assert "missed 2 of 99 different answers" in found["judge"].text
    assert found["evidence"].text == "42 verified hits, 2 of them wrong"
    assert found["judge"].status is Status.OK


def test_a_judge_outside_says_what_it_does_not_see(tmp_path: Path) -> None:
    """What a host in the house may answer is not verified by it."""
    found = examined(tmp_path, verify={"judge": "reasoning-cloud"})

    assert "are not verified" in found["judge in the house"].text


def test_its_redis_is_looked_at(tmp_path: Path) -> None:
    """Version, vector sets, memory smaller than the cache's, and one that is not there."""
    with RedisServer("--maxmemory", "100mb") as server:
        found = examined(tmp_path, redis_url=server.url, semantic={"embedding": {}})
        assert found["redis"].text.startswith("Redis 8.")
        assert found["vector sets"].status is Status.OK
        assert found["redis memory"].status is Status.WARNING
        assert "lower cache.max_bytes" in str(found["redis memory"].fix)

    found = examined(tmp_path, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert found["redis"].status is Status.FAILED
