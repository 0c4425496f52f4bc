"""Plays a cell against a running house and writes down what everybody saw."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.cells import CHAINS, SCALE, Cell
from tests.house import House

SHORT = "What is a closure?"
LONG = "Sum this up: " + "the quick brown fox jumps over the lazy dog " * 180
PAST_CACHE = {"x-autotier-cache": "bypass"}
GIVE_UP_S = 12.0 * SCALE
"""A client that waits longer than every limit of the suite: what it still waits for then has no limit."""

HOST_OF = {deployment: host for chain in CHAINS.values() for deployment, host in chain}


@dataclass(slots=True)
class Reply:
    """What the client got.

    Attributes:
        status: HTTP status; 0 where no answer came at all.
        text: Of the answer.
        done: The stream ended with ``[DONE]``, or the body was whole.
        error: The error object, of the body or of the last event.
        first_token_s: Since the request; None without a token.
        continued_by: Deployments that went on in the middle.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    done: bool = False
    error: dict[str, Any] | None = None
    first_token_s: float | None = None
    total_s: float = 0.0
    continued_by: list[str] = field(default_factory=list)

    @property
    def decision_id(self) -> str:
        """Of the request."""
        return self.headers.get("x-autotier-decision", "")


@dataclass(slots=True)
class Seen:
    """One played cell.

    Attributes:
        record: The decision's record.
        chats: Generations that each host was asked for, by name.
        again: The record of a second request that came at once, for 429.
        told: What log and metrics say of the operator's faults.
    """

    cell: Cell
    reply: Reply
    record: dict[str, Any]
    chats: dict[str, int]
    again: dict[str, Any] | None = None
    told: str = ""

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Of the record."""
        attempts: list[dict[str, Any]] = self.record["attempts"]
        return attempts

    @property
    def faulty(self) -> dict[str, Any] | None:
        """The attempt at the deployment with the fault, or None where the chain never came to it."""
        return next((a for a in self.attempts if a["deployment_id"] == self.cell.deployment), None)


def ask(house: House, body: dict[str, Any]) -> Reply:
    """One chat request, read to its end. Past the cache: answers are to come from hosts."""
    reply, started = Reply(), time.monotonic()
    with httpx.Client(trust_env=False, timeout=GIVE_UP_S) as http:
        try:
            with http.stream("POST", f"{house.base}/v1/chat/completions", json=body, headers=PAST_CACHE) as answer:
                reply.status, reply.headers = answer.status_code, dict(answer.headers)
                if body.get("stream") and answer.status_code == 200:
                    for line in answer.iter_lines():
                        _event(reply, line, started)
                else:
                    _body(reply, json.loads(answer.read()))
        except httpx.TransportError as error:
            reply.error = {"code": type(error).__name__, "message": "the connection broke or nothing came"}
    reply.total_s = time.monotonic() - started
    return reply


def _event(reply: Reply, line: str, started: float) -> None:
    if not line.startswith("data: "):
        return
    if line == "data: [DONE]":
        reply.done = True
        return
    event = json.loads(line[6:])
    if "error" in event:
        reply.error = event["error"]
        return
    if "continued_by" in event.get("autotier", {}):
        reply.continued_by.append(event["autotier"]["continued_by"])
    for choice in event["choices"]:
        text = choice["delta"].get("content") or ""
        if text and reply.first_token_s is None:
            reply.first_token_s = time.monotonic() - started
        reply.text += text


def _body(reply: Reply, body: dict[str, Any]) -> None:
    if "error" in body:
        reply.error = body["error"]
    else:
        reply.done, reply.text = True, body["choices"][0]["message"]["content"] or ""


def play(house: House, cell: Cell) -> Seen:
    """Sets the faults, asks, and collects; the house is put back before."""
    house.reset()
    for host in cell.hosts_off:
        house.hosts[host].set_fault("down")
    house.hosts[cell.host].set_fault(cell.case.fault)
    time.sleep(cell.case.settles_s)
    text = LONG if cell.case.long else SHORT
    body = {"model": cell.tier, "stream": cell.stream, "messages": [{"role": "user", "content": text}]}
    reply = ask(house, body)
    record = _record(house, reply)
    if record["first_token_ms"] is not None and reply.first_token_s is None and reply.status == 200:
        reply.first_token_s = _first_token_s(record)
    seen = Seen(cell, reply, record, chats(house))
    if cell.name == "429":
        seen.again = _record(house, ask(house, body))
    if cell.name == "401":
        seen.told = house.log() + house.get("/metrics").text
    return seen


def _record(house: House, reply: Reply) -> dict[str, Any]:
    """The record, or an empty one where the client did not even learn its id."""
    if not reply.decision_id:
        return {"attempts": [], "outcome": "unknown", "first_token_ms": None, "deployment_id": None}
    return house.decision(reply.decision_id)


def _first_token_s(record: dict[str, Any]) -> float:
    """Of a whole answer: what was spent before the attempt that served, and its first token."""
    served = record["attempts"][-1]
    before = sum(a["total_ms"] for a in record["attempts"][:-1])
    return float(before + (served["first_token_ms"] or 0.0)) / 1000


def chats(house: House) -> dict[str, int]:
    """Generations that arrived at each host since the reset."""
    paths = ("/api/chat", "/v1/chat/completions")
    return {name: sum(len(host.log().on(path)) for path in paths) for name, host in house.hosts.items()}
