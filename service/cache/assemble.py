"""The cache of a configuration, put together. Only ``service.bootstrap`` and ``autotier cache`` call this."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass

from service.cache.answers import AnswerCache
from service.cache.entry import Answers
from service.cache.memory import MemoryAnswers
from service.cache.redis import RedisAnswers
from service.config import Configuration
from service.config.model import State
from service.state.link import RedisLink


@dataclass(frozen=True, slots=True)
class OpenCache:
    """A cache and what has to be closed with it.

    Attributes:
        cache: None where it is switched off.
        link: Its Redis, or None.
    """

    cache: AnswerCache | None
    link: RedisLink | None = None

    async def start(self) -> None:
        """Asks the Redis once, briefly, and goes on in the background."""
        if self.link is not None:
            await self.link.start()

    async def close(self) -> None:
        """Closes connections."""
        if self.link is not None:
            await self.link.close()


def assemble(configuration: Configuration) -> OpenCache:
    """The cache of ``configuration``; nothing is connected before `OpenCache.start`."""
    settings = configuration.cache
    if not settings.enabled:
        return OpenCache(None)
    answers: Answers = MemoryAnswers(settings.max_bytes, settings.ttl_s)
    url = settings.redis_url or configuration.state.redis_url
    if url is None:
        return OpenCache(AnswerCache(answers, settings))
    state = State(redis_url=url, prefix=f"{configuration.state.prefix[:58]}:cache", timeout_ms=settings.timeout_ms)
    link = RedisLink(state, f"cache-{os.getpid()}-{secrets.token_hex(4)}")
    answers = RedisAnswers(link, answers, max_bytes=settings.max_bytes, ttl_s=settings.ttl_s)
    return OpenCache(AnswerCache(answers, settings), link)
