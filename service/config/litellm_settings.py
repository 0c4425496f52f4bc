"""LiteLLM's settings sections: what we take over, and why the rest is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classifier import TIERS, Tier
from service.config.litellm_cache import cache_of
from service.config.litellm_deployment import NEVER_SILENT, RETRIES, TIMES
from service.config.litellm_notes import NOTHING, Section, wrong

_CACHE = "answers are kept as the section cache says"
_CONTEXT = (
    "needs no setting: prompts are measured before they are sent, and go up a tier only where none of the tier fits"
)
_ORDER = "a tier's chain is its deployments in their order"
_FAILS = (
    "a deployment rests after one failure; litellm counts inside a window as long as the cooldown, "
    "so a host that only times out never reached it"
)
_PREFLIGHT = "each host is asked for a connection before a call (limits.connect_ms)"
_RECORDS = "decisions are kept in the store (store.url)"
_LOGS = "logs, /metrics and `autotier log` take its place"
_REDIS = "the state of the chain is kept in the process"
_REASONS = {
    "num_retries": RETRIES,
    "max_retries": RETRIES,
    "retry_after": RETRIES,
    "retry_policy": RETRIES,
    "max_fallbacks": "the whole chain is reached",
    "allowed_fails": _FAILS,
    "allowed_fails_policy": _FAILS,
    "request_timeout": TIMES,
    "timeout": TIMES,
    "stream_timeout": TIMES,
    "drop_params": NEVER_SILENT,
    "modify_params": NEVER_SILENT,
    "caching_groups": _CACHE,
    "cache_responses": _CACHE,
    "context_window_fallbacks": _CONTEXT,
    "enable_pre_call_checks": _CONTEXT,
    "content_policy_fallbacks": "a refusal is an answer; it does not go on to another model",
    "default_fallbacks": "written per tier (tiers.*.fallbacks)",
    "routing_strategy": _ORDER,
    "routing_strategy_args": _ORDER,
    "model_group_alias": "models are named auto, lightweight, coding, reasoning",
    "enable_health_check_routing": _PREFLIGHT,
    "background_health_checks": _PREFLIGHT,
    "health_check_interval": _PREFLIGHT,
    "database_url": _RECORDS,
    "store_model_in_db": _RECORDS,
    "redis_host": _REDIS,
    "redis_port": _REDIS,
    "redis_password": _REDIS,
    "redis_url": _REDIS,
    "disable_cooldowns": "limits.cooldown_s: 0 switches the rest off",
    "success_callback": _LOGS,
    "failure_callback": _LOGS,
    "callbacks": _LOGS,
    "set_verbose": _LOGS,
    "json_logs": _LOGS,
    "telemetry": "nothing is sent to anybody",
}


@dataclass(slots=True)
class Settings:
    """What the settings sections gave.

    Attributes:
        master_key: Key or reference of the one caller, or None.
        limits: Keys of our ``limits``.
        fallbacks: Tiers after each tier.
        cache: Keys of our ``cache``.
    """

    master_key: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    fallbacks: dict[Tier, list[str]] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)


def settings_of(top: Section, groups: Mapping[str, Tier]) -> Settings:
    """Reads ``litellm_settings``, ``router_settings`` and ``general_settings``; later ones win, as in LiteLLM.

    Raises:
        ConfigurationError: A value of the wrong type.
    """
    settings = Settings()
    for name in ("litellm_settings", "router_settings", "general_settings"):
        section = top.section(name)
        key = section.text("master_key")
        if key:
            settings.master_key = key
            section.note("master_key", "callers: master", "a caller with all rights; give each client one of its own")
        cooldown = section.number("cooldown_time")
        if cooldown is not None:
            settings.limits["cooldown_s"] = int(cooldown) if cooldown == int(cooldown) else cooldown
            section.note(
                "cooldown_time",
                f"limits.cooldown_s: {cooldown:g}",
                f"{_FAILS}; 15 is enough, since a dead host costs 0.3 s",
            )
        _fallbacks(section, groups, settings.fallbacks)
        if name == "litellm_settings":
            settings.cache = cache_of(section)
        section.rest(_REASONS, "not a setting of ours")
    return settings


def _fallbacks(section: Section, groups: Mapping[str, Tier], found: dict[Tier, list[str]]) -> None:
    """Reads ``fallbacks``: a list of one mapping per group."""
    value = section.take("fallbacks")
    if value is None:
        return
    path = (*section.path, "fallbacks")
    entries = value if isinstance(value, list) else [value]
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise wrong(
                section.notes.document, (*path, number), "is not a mapping", "write `- lightweight-tier: [coding-tier]`"
            )
        for group, targets in entry.items():
            place = (*path, number, group)
            named = targets if isinstance(targets, list) else [targets]
            tier = groups.get(group)
            if tier is None:
                section.notes.add(place, named, NOTHING, f"{group} is no tier")
                continue
            up = [
                t
                for t in TIERS
                if any(groups.get(str(one)) is t for one in named) and TIERS.index(t) > TIERS.index(tier)
            ]
            left_out = [str(one) for one in named if groups.get(str(one)) not in up]
            found[tier] = [t.value for t in up]
            section.notes.add(
                place,
                named,
                f"tiers.{tier}.fallbacks: [{', '.join(found[tier])}]",
                "the chain goes on there when it is used up",
            )
            if left_out:
                section.notes.add(place, left_out, NOTHING, "a chain goes on in a higher tier only")
