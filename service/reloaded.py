"""What a reload has changed, and what it cannot change."""

from __future__ import annotations

from service.config import Configuration

_NEED_RESTART = (
    ("server", "host"),
    ("server", "port"),
    ("server", "header_s"),
    ("store", "flush_ms"),
    ("state", "redis_url"),
    ("state", "prefix"),
    ("state", "timeout_ms"),
)


def difference(before: Configuration, after: Configuration) -> dict[str, list[str]]:
    """Sections that a reload has changed, and keys whose change it does not bring."""
    sections = [name for name in Configuration.model_fields if getattr(before, name) != getattr(after, name)]
    keys = [f"{s}.{k}" for s, k in _NEED_RESTART if getattr(getattr(before, s), k) != getattr(getattr(after, s), k)]
    return {"changed": sections, "needs_restart": keys}
