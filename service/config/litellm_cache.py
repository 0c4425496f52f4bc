"""LiteLLM's cache settings as ours, with a word on what differs.

Its cache is not built on (measured with 1.109.1): the first exact hit raises on a plain install and escalates to the
next tier, the key misses caller, thinking and context, cut and sampled answers are replayed, and its semantic cache
compares two texts by one threshold that no near miss keeps to.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from service.config.litellm_notes import NOTHING, Section
from service.config.references import PREFIX

_OURS = (
    "ours keys by caller, tier, prompt, tools and sampling, keeps whole answers only, and makes one call for equal ones"
)
_THRESHOLD = (
    "no threshold tells a near miss from the same question: ours comes from measured pairs (cache.semantic.error)"
)
_REASONS = {
    "supported_call_types": "chat answers are what is kept",
    "mode": "x-autotier-cache: bypass leaves it out for one request",
    "namespace": "state.prefix is the first part of every key",
    "similarity_threshold": _THRESHOLD,
}


def cache_of(section: Section) -> dict[str, Any]:
    """Our section ``cache`` from ``litellm_settings.cache`` and ``cache_params``; empty where the file has neither.

    Raises:
        ConfigurationError: A value of the wrong type.
    """
    on = section.flag("cache")
    made: dict[str, Any] = {}
    if on is False:
        section.note("cache", "cache.enabled: false", "answers are not kept")
        made["enabled"] = False
    elif on:
        section.note("cache", "cache.enabled: true", _OURS)
    if not isinstance(section.value.get("cache_params"), dict):
        return made
    params = section.section("cache_params")
    ttl = params.number("ttl")
    if ttl:
        made["ttl_s"] = int(ttl) if ttl == int(ttl) else ttl
        params.note("ttl", f"cache.ttl_s: {ttl:g}", "seconds, as there")
    _redis(params, made)
    _semantic(params)
    params.rest(_REASONS, "not a setting of ours")
    return made


def _redis(params: Section, made: dict[str, Any]) -> None:
    kind = params.text("type") or "local"
    if not kind.startswith("redis"):
        params.note("type", "cache in the process", "other places than a Redis are not used")
        return
    params.note("type", "a Redis" if kind == "redis" else "a Redis and, once embedding is set, similar asks", _OURS)
    host, password = params.text("host"), params.text("password")
    port = params.number("port", whole=True) or 6379
    plain = host is not None and not host.startswith(PREFIX)
    if plain and password is None:
        made["redis_url"] = f"redis://{quote(str(host), safe='.-')}:{port:.0f}/0"
        params.note("host", f"cache.redis_url: {made['redis_url']}", "one address, shared by all replicas")
    else:
        why = (
            "an address is one value here: export REDIS_URL=redis://[:PASSWORD@]HOST:PORT/0 "
            "and write redis_url: os.environ/REDIS_URL"
        )
        params.note("host", NOTHING, why)
        params.note("password", NOTHING, "it belongs into the address; keys in clear are not written")
    params.note("port", "part of cache.redis_url", "one address")


def _semantic(params: Section) -> None:
    why = "name a host with an embedding model under cache.semantic.embedding, and measure it: autotier cache evaluate"
    for name in ("semantic_cache", "redis_semantic_cache_embedding_model", "embedding_model"):
        params.note(name, NOTHING, why)
