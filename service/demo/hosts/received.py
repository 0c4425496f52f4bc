"""The log of a simulated host: what arrived, what became of it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import orjson

MAX_REQUESTS = 2000
MAX_BYTES = 32 * 1024 * 1024
"""The log forgets its oldest requests beyond either."""

_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization"})


@dataclass(slots=True, eq=False)
class Entry:
    """One request.

    Attributes:
        number: Counts from 1 since the start or the last reset.
        method: HTTP method.
        path: Path without the query.
        headers: Lower-cased names; of those that carry secrets there is no value.
        authorization_present: Whether there was an Authorization header.
        raw: The body.
        fault: Name of the fault that it met, ``none`` otherwise.
        status: HTTP status, None while there is none.
        received_at: Unix time of the head's arrival.
        first_byte_at: Unix time at which the answer began; None if it did not.
        finished_at: Unix time of the end; None while it runs.
        disconnected: Whether the client left before the end.
        tokens: Tokens that were sent.
        load_s: Seconds that it waited for a model to load.
        queued_s: Seconds that it waited for a slot.
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    authorization_present: bool
    received_at: float
    raw: bytes = b""
    fault: str = "none"
    status: int | None = None
    first_byte_at: float | None = None
    finished_at: float | None = None
    disconnected: bool = False
    tokens: int = 0
    load_s: float = 0.0
    queued_s: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Give the form of ``/_control/log``; the body is parsed where it is JSON, else its text."""
        body: object = None
        if self.raw:
            try:
                body = orjson.loads(self.raw)
            except orjson.JSONDecodeError:
                body = self.raw.decode("utf-8", "replace")
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "authorization_present": self.authorization_present,
            "body": body,
            "fault": self.fault,
            "status": self.status,
            "received_at": self.received_at,
            "first_byte_at": self.first_byte_at,
            "finished_at": self.finished_at,
            "disconnected": self.disconnected,
            "tokens": self.tokens,
            "load_s": self.load_s,
            "queued_s": self.queued_s,
        }


class Log:
    """The newest requests, bounded in number and bytes."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self.total = 0

    def open(self, method: str, path: str, headers: list[tuple[str, str]]) -> Entry:
        """Begin an entry for a request whose head has arrived."""
        self.total += 1
        lowered = {name.lower(): value for name, value in headers}
        present = "authorization" in lowered
        if not _SECRET_HEADERS.isdisjoint(lowered):
            lowered = {name: value for name, value in lowered.items() if name not in _SECRET_HEADERS}
        entry = Entry(self.total, method, path, lowered, present, time.time())
        self._entries.append(entry)
        if len(self._entries) > MAX_REQUESTS:
            self._forget()
        return entry

    def body(self, entry: Entry, raw: bytes) -> None:
        """Keep the body of a request."""
        entry.raw = raw
        self._bytes += len(raw)
        while self._bytes > MAX_BYTES and len(self._entries) > 1:
            self._forget()

    def reset(self) -> None:
        """Forget everything and count from 1 again."""
        self._entries.clear()
        self._bytes = self.total = 0

    def to_json(self) -> list[dict[str, object]]:
        """Give all entries, oldest first."""
        return [entry.to_json() for entry in self._entries]

    def _forget(self) -> None:
        """Drop the oldest entry."""
        self._bytes -= len(self._entries.popleft().raw)
