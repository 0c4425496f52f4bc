"""What an Ollama host says about itself: models loaded (``/api/ps``) and there (``/api/tags``), with their sizes.

Source: Ollama's API documentation, "List Running Models" and "List Local Models"; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
from yarl import URL

from service.upstream.lean_session import open_session, proxy_for, ssl_context
from service.upstream.served_as import is_same_model


class StatusUnavailable(Exception):
    """The host dropped the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What a host had loaded.

    Attributes:
        asked_s: When, in seconds of the clock.
        loaded: Bytes by model's name; None where the host does not say (not Ollama's ``/api/ps``, a proxy in between).
        leaves_s: Seconds from then on after which an unused model leaves the memory, by its name, where the host says.
    """

    asked_s: float
    loaded: Mapping[str, int] | None
    leaves_s: Mapping[str, float] = field(default_factory=dict)

    def has_loaded(self, model: str) -> bool | None:
        """Whether ``model`` is loaded; None where unknown."""
        if self.loaded is None:
            return None
        return any(is_same_model(model, name) for name in self.loaded)

    def stays_s(self, model: str) -> float | None:
        """Seconds for which a loaded ``model`` stays unless it is used; None where unknown or not loaded."""
        return next((left for name, left in self.leaves_s.items() if is_same_model(model, name)), None)


class StatusClient:
    """Asks Ollama hosts over connections of its own, with the proxies and certificates of the lean way's requests.

    Sets no limit in time: the caller does.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def status(self, base: str, key: str | None = None, *, asked_s: float = 0.0) -> HostStatus:
        """What the host has loaded.

        Raises:
            StatusUnavailable: No HTTP answer came.
        """
        models = await self._models(base, "/api/ps", key)
        if models is None:
            return HostStatus(asked_s, None)
        left = ((_name(m), _left_s(m.get("expires_at"))) for m in models)
        return HostStatus(asked_s, _sizes(models), {name: s for name, s in left if s is not None})

    async def available(self, base: str, key: str | None = None) -> dict[str, int] | None:
        """Bytes on disk of the models that are there by name, or None where the answer is not Ollama's.

        Raises:
            StatusUnavailable: No HTTP answer came.
        """
        models = await self._models(base, "/api/tags", key)
        return None if models is None else _sizes(models)

    async def warm(self, base: str, model: str, *, context: int, keep_alive: int | str | None, key: str | None) -> None:
        """Loads ``model``, or has it stay: a generation without a prompt (Ollama, docs/faq, "preload a model").

        Args:
            context: Tokens; with another number than requests send, Ollama would load the model again for them.
            keep_alive: As requests send it.

        Raises:
            StatusUnavailable: The host did not do it; the message says why.
        """
        body: dict[str, Any] = {"model": model, "stream": False, "options": {"num_ctx": context}}
        if keep_alive is not None:
            body["keep_alive"] = keep_alive
        url = URL(f"{base}/api/generate")
        try:
            async with self._opened().post(
                url, data=orjson.dumps(body), headers=_headers(key), proxy=proxy_for(url), allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise StatusUnavailable(f"/api/generate: HTTP {response.status}")
                await response.read()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise StatusUnavailable(f"/api/generate: {type(error).__name__}: {error}"[:300]) from None

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            try:
                self._session = open_session(ssl_context())
            except OSError as error:
                raise StatusUnavailable(f"certificates named in the environment: {error}") from None
        return self._session

    async def _models(self, base: str, path: str, key: str | None) -> list[dict[str, Any]] | None:
        url = URL(base + path)
        try:
            async with self._opened().get(
                url, headers=_headers(key), proxy=proxy_for(url), allow_redirects=False
            ) as response:  # fmt: skip
                if response.status != 200:
                    return None
                body = await response.read()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise StatusUnavailable(f"{path}: {type(error).__name__}: {error}"[:300]) from None
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        models = parsed.get("models") if isinstance(parsed, dict) else None
        if not isinstance(models, list):
            return None
        return [m for m in models if isinstance(m, dict)]


def _headers(key: str | None) -> dict[str, str]:
    return {"User-Agent": "autotier", **({"Authorization": f"Bearer {key}"} if key else {})}


def _name(model: Mapping[str, Any]) -> str:
    return str(model.get("model") or model.get("name"))


def _sizes(models: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {_name(m): int(m.get("size") or 0) for m in models}


def _left_s(moment: object) -> float | None:
    """Seconds until an ISO time. The host's clock may be off: a model kept for ever still stays long."""
    try:
        when = datetime.fromisoformat(str(moment))
    except ValueError:
        return None
    return (when - datetime.now(UTC)).total_seconds() if when.tzinfo is not None else None
