"""Which way a deployment's requests take upstream."""

from __future__ import annotations

from collections.abc import Iterable

from service.config import Deployment
from service.upstream.interface import Way

LEAN_PROVIDERS = frozenset({"openai", "ollama", "ollama_chat"})
"""Protocols that the lean way speaks itself; every other provider is litellm's."""


class Ways:
    """Picks the way of each deployment.

    Args:
        router: litellm's Router behind our interface, or None where no deployment needs it.
        lean: The lean way, or None where the configuration says ``upstream.way: router``.
    """

    def __init__(self, *, router: Way | None, lean: Way | None = None) -> None:
        self._router = router
        self._lean = lean

    def of(self, deployment: Deployment) -> Way:
        """The way of ``deployment``.

        Raises:
            LookupError: No way was made for its provider; the composition is wrong.
        """
        if self._lean is not None and deployment.provider in LEAN_PROVIDERS:
            return self._lean
        if self._router is None:
            raise LookupError(f"{deployment.id}: no way upstream for provider {deployment.provider!r}")
        return self._router

    async def prepare(self, deployment: Deployment) -> None:
        """Waits until the way of ``deployment`` can send (litellm takes seconds to import)."""
        prepare = getattr(self.of(deployment), "prepare", None)
        if prepare is not None:
            await prepare()

    def is_ready(self, deployment: Deployment) -> bool:
        """Whether the way of ``deployment`` would send at once."""
        return bool(getattr(self.of(deployment), "is_ready", True))

    def start(self) -> None:
        """Begins to prepare what takes long, in the background. Needs a running loop."""
        for way in self._all():
            start = getattr(way, "start", None)
            if start is not None:
                start()

    async def close(self) -> None:
        """Closes pooled connections of every way."""
        for way in self._all():
            await way.close()

    def _all(self) -> Iterable[Way]:
        return (way for way in (self._lean, self._router) if way is not None)
