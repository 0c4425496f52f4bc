"""One kept answer, and its form in a store."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import orjson


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer that was given once.

    Attributes:
        exact: Digest of the question as it was asked (`Key.exact`).
        scope: Digest of all but its ask.
        deployment_id: What served it.
        decision_id: The decision that it was given for.
        created_s: Unix seconds.
        took_ms: What a hit saves in time.
        cost_usd: What a hit saves in money.
        choices: OpenAI's ``choices`` of the whole answer.
        usage: Prompt and completion tokens as the host counted them, or None.
        fingerprint: ``system_fingerprint``, or None.
        ask: The newest ask, where similar ones may be served; "" otherwise.
    """

    exact: str
    scope: str
    deployment_id: str
    decision_id: str
    created_s: float
    took_ms: float
    cost_usd: float
    choices: list[dict[str, Any]] = field(default_factory=list)
    usage: tuple[int, int] | None = None
    fingerprint: str | None = None
    ask: str = ""


def dumped(entry: Entry) -> bytes:
    """JSON of an entry."""
    return orjson.dumps(asdict(entry))


def loaded(data: bytes | str) -> Entry | None:
    """The entry, or None where the data is none of ours: a cache may forget, it must not fail."""
    try:
        value = orjson.loads(data)
        if value["usage"] is not None:
            value["usage"] = tuple(value["usage"])
        return Entry(**value)
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None


class Answers(Protocol):
    """Where entries are kept under a key. Implementations never raise: what fails is a miss, and is counted."""

    async def get(self, key: str) -> Entry | None:
        """The entry, unless it is over its time."""
        ...

    async def put(self, key: str, entry: Entry) -> None:
        """Keeps an entry; the one before is replaced."""
        ...

    async def delete(self, key: str) -> bool:
        """Whether there was one."""
        ...

    async def clear(self) -> int:
        """How many there were."""
        ...

    async def take(self, key: str) -> bool:
        """Whether it is this process's turn to ask upstream for ``key``; False: another process is at it."""
        ...

    def give(self, key: str) -> None:
        """The turn is over: the answer is kept, or there is none."""
        ...

    def snapshot(self) -> dict[str, float]:
        """Numbers for metrics."""
        ...
