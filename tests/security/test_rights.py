"""Callers with keys: what one may see and do, and what another may not."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.house import House

KEYS = {"root": "k-root-secret", "anna": "k-anna-secret", "bob": "k-bob-secret"}


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    """A house with an admin and two callers; bob may reach lightweight only and names no tier."""

    def change(document: dict[str, Any]) -> None:
        hashed = {name: f"sha256:{sha256(key.encode()).hexdigest()}" for name, key in KEYS.items()}
        document["callers"] = [
            {"name": "root", "key": hashed["root"], "admin": True},
            {"name": "anna", "key": hashed["anna"]},
            {"name": "bob", "key": hashed["bob"], "tiers": ["lightweight"], "override": False},
        ]

    with House(change=change) as house:
        yield house


def ask(house: House, who: str, model: str = "auto", text: str = "What is a mutex?") -> httpx.Response:
    """A question of one caller."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return house.post("/v1/chat/completions", body, headers=bearer(who))


def bearer(who: str) -> dict[str, str]:
    """The caller's header."""
    return {"authorization": f"Bearer {KEYS[who]}"}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer k-anna-secre", "Basic k-anna-secret", "Bearer sha256:00", "bearer ä"]
)
def test_without_a_known_key_nothing_is_answered(running: House, header: str) -> None:
    """401 on every route that tells or does something."""
    headers = [(b"authorization", header.encode("latin-1"))]

    answers = [
        running.post("/v1/chat/completions", {"model": "auto", "messages": []}, headers=headers),
        running.post("/v1/route", {"model": "auto", "messages": []}, headers=headers),
        running.post("/v1/feedback", {"decision_id": "dec_" + "0" * 32, "solved": True}, headers=headers),
        running.post("/v1/admin/reload", headers=headers),
        running.get("/v1/models", headers=headers),
        running.get("/v1/decisions/dec_" + "0" * 32, headers=headers),
        running.get("/metrics", headers=headers),
        running.get("/v1/admin/savings", headers=headers),
        running.get("/v1/admin/cache", headers=headers),
        running.post("/v1/admin/cache/forget", {"keys": []}, headers=headers),
    ]

    assert [a.status_code for a in answers] == [401] * len(answers)


def test_a_hash_is_not_a_key(running: House) -> None:
    """Who has read the configuration cannot ask with what stands there."""
    stolen = f"sha256:{sha256(KEYS['root'].encode()).hexdigest()}"

    answer = running.get("/v1/models", headers={"authorization": f"Bearer {stolen}"})

    assert answer.status_code == 401


def test_a_decision_belongs_to_its_caller(running: House) -> None:
    """Another caller's decision looks like none, also for feedback; an admin sees it."""
    decision = ask(running, "anna").headers["x-autotier-decision"]
    for _ in range(100):
        own = running.get(f"/v1/decisions/{decision}", headers=bearer("anna"))
        if own.status_code == 200:
            break

    others = running.get(f"/v1/decisions/{decision}", headers=bearer("bob"))
    said = running.post("/v1/feedback", {"decision_id": decision, "solved": False}, headers=bearer("bob"))
    admins = running.get(f"/v1/decisions/{decision}", headers=bearer("root"))

    assert (own.status_code, others.status_code, said.status_code, admins.status_code) == (200, 404, 404, 200)


def test_rights_are_never_met_by_a_lower_tier(running: House) -> None:
    """A tier that may not be named or reached is a 403 that names it, and nothing is sent."""
    named = ask(running, "bob", "reasoning")
    needed = ask(running, "bob", text="Analyze the trade-offs between event sourcing and CQRS for an e-commerce system")

    assert (named.status_code, needed.status_code) == (403, 403)
    assert "reasoning" in needed.json()["error"]["message"]
    assert not running.hosts["cloud1"].log().on("/v1/chat/completions")


def test_only_an_admin_takes_answers_out_of_the_cache(running: House) -> None:
    """Not even an empty list of them."""
    refused = running.post("/v1/admin/cache/forget", {"keys": []}, headers=bearer("anna"))
    done = running.post("/v1/admin/cache/forget", {"keys": ["0" * 32]}, headers=bearer("root"))

    assert (refused.status_code, done.status_code) == (403, 200)
    assert done.json()["removed"] == 0  # the cache is off in this house


def test_only_an_admin_reloads(running: House) -> None:
    """The route needs its right."""
    refused = running.post("/v1/admin/reload", headers=bearer("anna"))
    done = running.post("/v1/admin/reload", headers=bearer("root"))

    assert (refused.status_code, done.status_code) == (403, 200)


def test_only_an_admin_sees_what_everybody_spent(running: House) -> None:
    """The accounts name every caller: who has a key without the right gets none of them, whatever the query."""
    asked = ask(running, "anna")

    refused = [running.get(f"/v1/admin/savings{query}", headers=bearer("anna")) for query in ("", "?days=1")]
    seen = running.get("/v1/admin/savings", headers=bearer("root"))

    assert [one.status_code for one in (asked, *refused, seen)] == [200, 403, 403, 200]
    assert [list(one.json()) for one in refused] == [["error"]] * 2
    assert "caller" in seen.json()
