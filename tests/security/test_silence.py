"""Secrets and prompts stay out of logs, errors, metrics and records, at the most talkative level there is."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from service.demo.hosts import HostSpec
from tests.house import FAST, House

ADMIN, CLOUD, PROMPT, IMAGE = "k-admin-zq81marker", "sk-cloud-zq82marker", "zq83marker", "zq84marker"
TOOL, SCHEMA, CONVERSATION, WRONG = "zq85marker", "zq86marker", "zq87marker", "k-wrong-zq88marker"
MARKERS = (ADMIN, CLOUD, PROMPT, IMAGE, TOOL, SCHEMA, CONVERSATION, WRONG)
FAULTS = {
    "none": "",
    "500": "500",
    "429": "429:retry_after=0",
    "401": "401",
    "cut": "cut:after=2",
    "garbage": "garbage",
}


def cloud(name: str) -> HostSpec:
    """A cloud of the demo with a key that can be told in a log."""
    spec = FAST[name]
    return HostSpec(
        kind="openai", name=name, models=spec.models, first_token_ms=1, token_ms=1, keys=(CLOUD,), answer_tokens=8
    )


@pytest.fixture(scope="module", params=["auto", "router"])
def talkative(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house at level debug, with keys, that has answered and failed in every way."""

    def change(document: dict[str, Any]) -> None:
        document["callers"] = [{"name": "anna", "key": f"sha256:{sha256(ADMIN.encode()).hexdigest()}", "admin": True}]
        document["limits"] = {"cooldown_s": 0.05, "remember_failed_s": 0.05}
        document["store"]["prompts"] = "features" if request.param == "auto" else "none"
        for host in document["hosts"].values():
            if host.get("key"):
                host["key"] = CLOUD

    hosts = {name: cloud(name) for name in ("cloud1", "cloud2")}
    with House(way=request.param, change=change, hosts=hosts, flags=("--log-level", "debug")) as house:
        yield house


def asked(house: House, model: str, **fields: Any) -> httpx.Response:
    """A question full of markers."""
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": f"be brief {PROMPT}"},
            {"role": "user", "content": f"why {PROMPT}?"},
        ],
        **fields,
    }
    return house.post("/v1/chat/completions", body, headers=KEY)


KEY = {"authorization": f"Bearer {ADMIN}", "x-autotier-conversation": CONVERSATION}
TOOLS = [{"type": "function", "function": {"name": "look_up", "description": TOOL, "parameters": {"type": "object"}}}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "description": SCHEMA}}}
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"https://x.invalid/{IMAGE}"}}]}]


def everything(house: House) -> str:
    """Asks, fails and is refused in many ways; gives the bodies of all errors."""
    said = []
    for fault in FAULTS.values():
        for host in house.hosts.values():
            host.set_fault(fault or "none")
        for model in ("lightweight", "reasoning"):
            for stream in (False, True):
                answer = asked(house, model, stream=stream)
                said.append("" if answer.status_code == 200 and fault == "" else answer.text)
    for host in house.hosts.values():
        host.set_fault("none")
    asked(house, "coding", tools=TOOLS)
    asked(house, "coding", response_format=FORMAT)
    said += [
        asked(house, "auto", messages=PICTURE).text,
        asked(house, "auto", mock_response=PROMPT).text,
        asked(house, "auto", max_tokens=PROMPT).text,
        asked(house, "auto", messages=[{"role": PROMPT, "content": PROMPT}]).text,
        house.post("/v1/chat/completions", content=f'{{"x": "{PROMPT}'.encode(), headers=KEY).text,
        house.post("/v1/chat/completions", {}, headers={"authorization": f"Bearer {WRONG}"}).text,
        house.get("/v1/decisions/dec_1", headers={"authorization": f"Bearer {WRONG}"}).text,
    ]
    return "\n".join(said)


def test_nothing_that_is_secret_is_written_anywhere(talkative: House) -> None:
    """Keys of callers and clouds, prompts, tools, schemas, conversation ids: nowhere in what the service leaves."""
    errors = everything(talkative)
    arrived = str([host.log().requests for host in talkative.hosts.values()])
    metrics = talkative.get("/metrics", headers=KEY).text
    talkative.stop()
    log = talkative.log()
    store = b"".join(path.read_bytes() for path in talkative.folder.glob("demo.sqlite3*")).decode("latin-1")
    talkative.start()

    found = [
        (place, marker)
        for place, text in (("log", log), ("errors", errors), ("metrics", metrics), ("store", store))
        for marker in MARKERS
        if marker in text
    ]

    assert found == []
    assert all(marker in arrived for marker in (PROMPT, TOOL, SCHEMA))  # they did travel
    assert len(log) > 1000  # it did speak
    assert "autotier_requests_total" in metrics
    assert b"dec_" in store.encode()
