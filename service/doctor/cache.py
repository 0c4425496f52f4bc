"""The answer cache: where it keeps answers, in which languages similar asks share them, and who verifies that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.config import Configuration, Deployment
from service.config.cache import SemanticSettings
from service.doctor.findings import Finding, Status

MB = 1e6
_SUBJECT = "cache"


def cache(configuration: Configuration) -> list[Finding]:
    """Everything about the cache of a configuration. Changes nothing."""
    settings = configuration.cache
    if not settings.enabled:
        return [Finding(_SUBJECT, "answers", Status.NOTE, "switched off (cache.enabled)")]
    url = settings.redis_url or configuration.state.redis_url
    found = [_room(configuration)] if url is None else _redis(configuration, url.get_secret_value())
    if settings.semantic.embedding is None:
        text = "off, only equal asks share answers (cache.semantic.embedding)"
        found.append(Finding(_SUBJECT, "similar asks", Status.NOTE, text))
    else:
        found += _languages(settings.semantic)
    return found + _judge(configuration)


def _room(configuration: Configuration) -> Finding:
    settings = configuration.cache
    text = f"in each process, at most {settings.max_bytes / MB:.0f} MB"
    if settings.semantic.embedding is not None:
        text += f", and {settings.semantic.max_vectors:,} asks that are compared"
    return Finding(_SUBJECT, "answers", Status.OK, text)


def _redis(configuration: Configuration, url: str) -> list[Finding]:
    """Version, vector sets, and whether its memory holds what the cache may keep."""
    import redis

    settings = configuration.cache
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True)
    try:
        version = str(client.info("server")["redis_version"])
        memory: Mapping[str, Any] = client.info("memory")
        told: object = client.execute_command("COMMAND", "INFO", "VADD")  # type: ignore[no-untyped-call]
        entries = int(client.zcard(f"{configuration.state.prefix[:58]}:cache:v1-index"))
    except redis.RedisError as error:
        text = f"does not answer ({type(error).__name__}): each process keeps answers of its own"
        if settings.redis_url is None:  # that of the shared state, which is a finding already
            return [Finding(_SUBJECT, "redis", Status.NOTE, text)]
        return [Finding(_SUBJECT, "redis", Status.FAILED, text, "start it, check cache.redis_url and its password")]
    finally:
        client.close()
    text = f"Redis {version}, {entries:,} answers kept, at most {settings.max_bytes / MB:.0f} MB of them"
    found = [Finding(_SUBJECT, "redis", Status.OK, text), _memory(memory, settings.max_bytes)]
    has_vectors = any(told.values()) if isinstance(told, dict) else isinstance(told, list) and any(told)
    if settings.semantic.embedding is not None:
        found.append(
            Finding(_SUBJECT, "vector sets", Status.OK, "known to this Redis")
            if has_vectors
            else Finding(
                _SUBJECT, "vector sets", Status.FAILED, "not known to this Redis: only equal asks share answers",
                "take Redis 8 or newer, or leave cache.semantic.embedding out",
            )
        )  # fmt: skip
    return found


def _memory(memory: Mapping[str, Any], most: int) -> Finding:
    limit, used = int(memory.get("maxmemory", 0)), int(memory.get("used_memory", 0))
    policy = str(memory.get("maxmemory_policy", "unknown"))
    if not limit:
        return Finding(_SUBJECT, "redis memory", Status.OK, f"{used / MB:.0f} MB in use, no limit of its own")
    text = f"{used / MB:.0f} of {limit / MB:.0f} MB in use, policy {policy}"
    if limit < most:
        fix = "lower cache.max_bytes below its maxmemory: then the cache evicts by use, and writes are never refused"
        return Finding(_SUBJECT, "redis memory", Status.WARNING, f"{text}; cache.max_bytes is more", fix)
    return Finding(_SUBJECT, "redis memory", Status.OK, text)


def _languages(semantic: SemanticSettings) -> list[Finding]:
    """Where similar asks share answers, and why elsewhere not."""
    from service.cache.evidence import SHIPPED, read, threshold, why_off

    assert semantic.embedding is not None
    model = semantic.embedding.model
    try:
        evidence = read(model, *([Path(semantic.evidence)] if semantic.evidence else []), SHIPPED)
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "write one with autotier cache evaluate -c CONFIG --write FILE"
        return [Finding(_SUBJECT, "similar asks", Status.FAILED, f"no file of evidence: {error}", fix)]
    if not evidence:
        fix = "run autotier cache evaluate -c CONFIG --write FILE, and name it in cache.semantic.evidence"
        return [Finding(_SUBJECT, "similar asks", Status.WARNING, f"off: nothing is measured for {model}", fix)]
    on, off = [], []
    for language, one in sorted(evidence.items()):
        why = why_off(one, semantic.error)
        if why is None:
            on.append(f"{language} from {threshold(one, semantic.error):.2f}")
        else:
            off.append(f"{language}: {why}")
    if on:
        found = [Finding(_SUBJECT, "similar asks", Status.OK, f"{model}, on in {', '.join(on)}")]
    else:
        fix = "take another embedding model, or leave cache.semantic.embedding out"
        found = [Finding(_SUBJECT, "similar asks", Status.WARNING, f"{model}, on in no language", fix)]
    return found + ([Finding(_SUBJECT, "languages off", Status.NOTE, "; ".join(off))] if off else [])


def _judge(configuration: Configuration) -> list[Finding]:
    """Who verifies hits, how far that is to be trusted, and what came of it."""
    from service.cache.assemble import error_of_judge, judge_of

    judge, verify = judge_of(configuration), configuration.cache.verify
    if judge is None or verify is None:
        text = "none: no hit is verified, and similar asks keep to what the measured pairs allow"
        return [Finding(_SUBJECT, "judge", Status.NOTE, text)]
    kept = _Kept(configuration)
    error = error_of_judge(configuration, kept)
    text = (
        f"{judge.id} ({judge.model}), {verify.share:.0%} of near and semantic hits, {verify.budget_per_day:g} USD a day"
    )
    if error is None:
        found = [Finding(_SUBJECT, "judge", Status.WARNING, f"{text}; its own error was never measured",
                         "run autotier cache judge -c CONFIG")]  # fmt: skip
    else:
        text += f"; missed {error.missed} of {error.different} different answers, at most {error.missed_bound():.1%}"
        found = [Finding(_SUBJECT, "judge", Status.OK, text)]
    leaves = not configuration.is_local(judge)
    if leaves and any(configuration.is_local(d) for _, d in configuration.deployments()):
        words = f"{judge.id} is outside: hits that a host in the house may have answered are not verified"
        found.append(Finding(_SUBJECT, "judge in the house", Status.NOTE, words))
    return [*found, _evidence(configuration, judge, kept)]


class _Kept:
    """What the store of decisions keeps about the cache; nothing where it is not there yet."""

    def __init__(self, configuration: Configuration) -> None:
        self._url = configuration.store.url

    def setting(self, key: str) -> str | None:
        from service.decisions.store import DecisionStore
        from service.errors import StoreError

        try:
            store = DecisionStore.open(self._url, read_only=True)
        except StoreError:
            return None  # a finding of its own says so
        try:
            return store.setting(key)
        finally:
            store.close()


def _evidence(configuration: Configuration, judge: Deployment, kept: _Kept) -> Finding:
    from service.cache.assemble import evidence_name, setting_of_evidence

    url = configuration.cache.redis_url or configuration.state.redis_url
    if url is None:
        text = kept.setting(setting_of_evidence(configuration, judge))
        counts: dict[str, int] = json.loads(text) if text else {}
    else:
        name = f"{configuration.state.prefix[:58]}:cache:v1-verified:{evidence_name(configuration, judge)}"
        counts = _counts(url.get_secret_value(), name)
    wrong = sum(number for field, number in counts.items() if field.endswith("|wrong"))
    tried = sum(counts.values())
    text = f"{tried:,} verified hits, {wrong:,} of them wrong" if tried else "no hit verified yet"
    return Finding(_SUBJECT, "evidence", Status.OK if tried else Status.NOTE, text)


def _counts(url: str, name: str) -> dict[str, int]:
    """Counts in a Redis; none where it does not answer, which another finding says."""
    import redis

    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True)
    try:
        found: Any = client.hgetall(name)
        return {field: int(float(number)) for field, number in found.items()}
    except redis.RedisError:
        return {}
    finally:
        client.close()
