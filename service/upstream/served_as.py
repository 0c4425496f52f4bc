"""Whether the model name that a host answers with is the model that was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4})$")
"""Dates as providers append them: ``-2025-04-14`` (OpenAI), ``-20250414`` (Anthropic), ``-0613``, ``-2411`` (older)."""


def is_same_model(asked: str, served: str, served_as: Iterable[str] = ()) -> bool:
    """Whether ``served`` counts as ``asked``.

    It does if it is equal, a dated snapshot of it, the same with the default tag ``:latest``, the same with a
    provider's prefix on either side, or listed. Letter case does not count: Ollama folds it. A larger or smaller
    sibling (``gpt-4.1-mini``) or another tag (``qwen3:14b``) never does, and neither does a snapshot of another day.

    Args:
        asked: The name in the configuration.
        served: The name by the host.
        served_as: Other names that count, from the configuration.
    """
    return _is_same(asked, served, tuple(served_as))


@lru_cache(maxsize=256)
def _is_same(asked: str, served: str, served_as: tuple[str, ...]) -> bool:
    given = _plain(served)
    if any(_equal(_plain(name), given) for name in (asked, *served_as)):
        return True
    wanted = _plain(asked).removesuffix("-latest")
    without_date = _SNAPSHOT.sub("", given)
    return without_date != given and _equal(wanted, without_date)


def _plain(name: str) -> str:
    return name.strip().casefold().removesuffix(":latest")


def _equal(one: str, other: str) -> bool:
    return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")
