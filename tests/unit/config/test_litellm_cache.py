"""LiteLLM's cache settings become ours, or are said aloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config.load import Loaded, load
from service.config.seed import shipped
from tests.unit.config.writing import ENV


def imported(folder: Path, **settings: Any) -> Loaded:
    """The shipped LiteLLM file with other cache settings."""
    document = yaml.safe_load(shipped("litellm-two-macs.yaml").read_text(encoding="utf-8"))
    for name in ("cache", "cache_params"):
        document["litellm_settings"].pop(name, None)
    document["litellm_settings"].update(settings)
    file = folder / "litellm.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return load(file, ENV)


def said(loaded: Loaded, key: str) -> str:
    """The note about a key of cache_params."""
    return str(next(note for note in loaded.notes if note.key == f"litellm_settings.cache_params.{key}"))


def test_a_plain_redis_becomes_one_address(tmp_path: Path) -> None:
    """Host and port in clear are taken over, and so is the time."""
    params = {"type": "redis", "host": "mini.local", "port": 6380, "ttl": 600}

    cache = imported(tmp_path, cache=True, cache_params=params).configuration.cache

    assert cache.redis_url is not None
    assert cache.redis_url.get_secret_value() == "redis://mini.local:6380/0"
    assert cache.ttl_s == 600


def test_a_cache_that_was_off_stays_off(tmp_path: Path) -> None:
    """Ours is on by default; who said false gets none."""
    assert imported(tmp_path, cache=False).configuration.cache.enabled is False
    assert imported(tmp_path).configuration.cache.enabled is True


def test_a_password_is_never_written_into_an_address(tmp_path: Path) -> None:
    """It would stand in clear: the note says how to write it, and does not repeat it."""
    params = {"type": "redis", "host": "mini.local", "password": "secret-word"}

    loaded = imported(tmp_path, cache=True, cache_params=params)

    assert loaded.configuration.cache.redis_url is None
    assert "REDIS_URL" in said(loaded, "host")
    assert all("secret-word" not in str(note) for note in loaded.notes)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("similarity_threshold", 0.8, "no threshold tells"),
        ("redis_semantic_cache_embedding_model", "text-embedding-3-small", "autotier cache evaluate"),
        ("semantic_cache", True, "cache.semantic.embedding"),
        ("supported_call_types", ["acompletion"], "chat answers"),
    ],
)
def test_what_differs_is_said(tmp_path: Path, name: str, value: Any, words: str) -> None:
    """Each setting of its semantic cache with the reason why it is not taken over."""
    loaded = imported(tmp_path, cache=True, cache_params={"type": "redis-semantic", "host": "h.local", name: value})

    assert words in said(loaded, name)
    assert loaded.configuration.cache.semantic.embedding is None
