"""Embeddings of one text at a host that speaks Ollama's or OpenAI's protocol, over the lean way's connections."""

from __future__ import annotations

import numpy as np
import orjson
from aiohttp import ClientSession
from numpy.typing import NDArray

from service.config import Configuration
from service.config.cache import EmbeddingSettings
from service.upstream.lean_session import Target, open_session, target

_PATHS = {"ollama": "/api/embed", "openai": "/embeddings"}


class EmbeddingFailed(Exception):
    """The host gave no vector."""


class HostEmbedder:
    """Implements ``service.cache.semantic.Embedder``. Limits in time and rests after failures are its caller's.

    Args:
        configuration: Its hosts.
        settings: Host and model.
    """

    def __init__(self, configuration: Configuration, settings: EmbeddingSettings) -> None:
        assert settings.host is not None
        host = configuration.hosts[settings.host]
        self.model = settings.model
        self.is_local = host.local
        self._key = host.key.get_secret_value() if host.key else None
        self._url = host.address.rstrip("/") + _PATHS[settings.provider]
        self._session: ClientSession | None = None
        self._target: Target | None = None

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The vector of a text.

        Raises:
            EmbeddingFailed: Another status than 200, or a body without a vector.
            aiohttp.ClientError, OSError: No connection.
        """
        if self._session is None or self._target is None:
            self._session, self._target = open_session(), target(self._url, self._key)
        to = self._target
        body = orjson.dumps({"model": self.model, "input": text})
        async with self._session.post(
            to.url, data=body, headers=to.headers, proxy=to.proxy, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                raise EmbeddingFailed(f"HTTP {answer.status} from {to.url.host}")
            data = await answer.read()
        try:
            value = orjson.loads(data)
            numbers = value["embeddings"][0] if "embeddings" in value else value["data"][0]["embedding"]
            vector = np.asarray(numbers, dtype=np.float32)
        except (ValueError, KeyError, IndexError, TypeError):
            raise EmbeddingFailed(f"no vector in the answer of {to.url.host}") from None
        if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
            raise EmbeddingFailed(f"no vector in the answer of {to.url.host}")
        return vector

    async def close(self) -> None:
        """Closes connections."""
        if self._session is not None:
            await self._session.close()
