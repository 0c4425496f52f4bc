"""What an Ollama host says about itself: models loaded (``/api/ps``) and there (``/api/tags``), with their sizes.

Source: Ollama's API documentation, "List Running Models" and "List Local Models"; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import orjson

from service.upstream.served_as import is_same_model


class StatusUnavailable(Exception):
    """The host dropped the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What a host had loaded.

    Attributes:
        asked_s: When, in seconds of the clock.
        loaded: Bytes by model's name; None where the host does not say (not Ollama's ``/api/ps``, a proxy in between).
    """

    asked_s: float
    loaded: Mapping[str, int] | None

    def has_loaded(self, model: str) -> bool | None:
        """Whether ``model`` is loaded; None where unknown."""
        if self.loaded is None:
            return None
        return any(is_same_model(model, name) for name in self.loaded)


class StatusClient:
    """Asks Ollama hosts over connections of its own. Sets no limit in time: the caller does."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def loaded(self, base: str, key: str | None = None) -> dict[str, int] | None:
        """Bytes of the loaded models by name, or None where the answer is not Ollama's.

        Raises:
            StatusUnavailable: No HTTP answer came.
        """
        return await self._sizes(f"{base}/api/ps", key)

    async def available(self, base: str, key: str | None = None) -> dict[str, int] | None:
        """Bytes on disk of the models that are there by name, or None where the answer is not Ollama's.

        Raises:
            StatusUnavailable: No HTTP answer came.
        """
        return await self._sizes(f"{base}/api/tags", key)

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _sizes(self, url: str, key: str | None) -> dict[str, int] | None:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), trust_env=True)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    return None
                body = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            path = url.rpartition("/api/")[2]
            raise StatusUnavailable(f"/api/{path}: {type(error).__name__}: {error}"[:300]) from None
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        models = parsed.get("models") if isinstance(parsed, dict) else None
        if not isinstance(models, list):
            return None
        return {str(m.get("model") or m.get("name")): int(m.get("size") or 0) for m in models if isinstance(m, dict)}
