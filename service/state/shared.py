"""All that replicas share, put together over one Redis."""

from __future__ import annotations

import os
import secrets
import socket

from service.config import Configuration
from service.routing.conversation import ConversationStore
from service.state.conversations import SharedConversations
from service.state.holds import SharedHolds
from service.state.limits import SharedLimits
from service.state.link import RedisLink
from service.state.recent import SharedRecent


class SharedState:
    """The parts over one Redis. Make one with ``open``; needs a running loop from ``start`` on.

    Attributes:
        link: The Redis.
        holds: For ``service.upstream.health.Health``.
        limits: For ``service.limits.limits.Allowances``.
    """

    def __init__(self, link: RedisLink) -> None:
        self.link = link
        self.holds = SharedHolds(link)
        self.limits = SharedLimits(link)
        link.add(self.holds)
        link.add(self.limits)

    @classmethod
    def open(cls, configuration: Configuration) -> SharedState | None:
        """Over the configured Redis; None where none is configured. Connects with ``start``."""
        if configuration.state.redis_url is None:
            return None
        return cls(RedisLink(configuration.state, new_replica()))

    def recent(self, window_s: float) -> SharedRecent:
        """For ``service.routing.flow.Flow``."""
        return SharedRecent(self.link, window_s)

    def conversations(self, store: ConversationStore) -> SharedConversations:
        """Holds in the Redis and in ``store``."""
        return SharedConversations(self.link, store)

    async def start(self) -> None:
        """Connects; a Redis that is down is said, not raised."""
        await self.link.start()

    async def close(self) -> None:
        """Writes what waits and disconnects."""
        await self.link.close()

    def snapshot(self) -> dict[str, float]:
        """Numbers for metrics (`RedisLink.snapshot`)."""
        return self.link.snapshot()

    @property
    def processes(self) -> int:
        """Processes that share it, this one included, as of the last pulse."""
        return self.link.replicas

    @property
    def problem(self) -> str | None:
        """Why this process is on its own now, or None."""
        return self.link.problem


def new_replica() -> str:
    """Name of this process among all that share a Redis."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
