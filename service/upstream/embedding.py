"""Embeddings at a host that speaks Ollama's or OpenAI's protocol, over the lean way's connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from aiohttp import ClientSession
from numpy.typing import NDArray

from service.config import Configuration
from service.config.cache import EmbeddingSettings
from service.upstream.lean_session import Target, open_session, ssl_context, target

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
        address = host.address.rstrip("/")
        self._url = address + _PATHS[settings.provider]
        self._listing = f"{address}/api/tags" if settings.provider == "ollama" else None
        self._session: ClientSession | None = None
        self._target: Target | None = None

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The vector of a text.

        Raises:
            EmbeddingFailed: Another status than 200, or a body without a vector.
            aiohttp.ClientError, OSError: No connection.
        """
        vector: NDArray[np.float32] = (await self._vectors(text, 1))[0]
        return vector

    async def embed_all(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors of some texts, in one request.

        Raises:
            EmbeddingFailed, aiohttp.ClientError, OSError: As `embed`.
        """
        return await self._vectors(list(texts), len(texts))

    async def digest(self) -> str:
        """Digest of the model's weights; "" where the host's protocol tells none, or it does not have the model.

        Raises:
            EmbeddingFailed, aiohttp.ClientError, OSError: As `embed`.
        """
        if self._listing is None:
            return ""
        session, to = self._opened()
        async with session.get(
            self._listing, headers=to.headers, proxy=to.proxy, allow_redirects=False
        ) as answer:  # fmt: skip
            if answer.status != 200:
                raise EmbeddingFailed(f"HTTP {answer.status} from {to.url.host}")
            data = await answer.read()
        full = self.model if ":" in self.model else f"{self.model}:latest"
        try:
            return next((str(one["digest"]) for one in orjson.loads(data)["models"] if one["name"] == full), "")
        except (ValueError, KeyError, TypeError):
            raise EmbeddingFailed(f"no list of models in the answer of {to.url.host}") from None

    async def _vectors(self, texts: str | list[str], number: int) -> NDArray[np.float32]:
        session, to = self._opened()
        body = orjson.dumps({"model": self.model, "input": texts})
        async with session.post(to.url, data=body, headers=to.headers, proxy=to.proxy, allow_redirects=False) as answer:
            if answer.status != 200:
                raise EmbeddingFailed(f"HTTP {answer.status} from {to.url.host}")
            data = await answer.read()
        try:
            vectors = np.asarray(_numbers(orjson.loads(data)), dtype=np.float32)
        except (ValueError, KeyError, IndexError, TypeError):
            raise EmbeddingFailed(f"no vector in the answer of {to.url.host}") from None
        if vectors.ndim != 2 or vectors.shape[0] != number or not vectors.shape[1] or not np.isfinite(vectors).all():
            raise EmbeddingFailed(f"no vector in the answer of {to.url.host}")
        return vectors

    def _opened(self) -> tuple[ClientSession, Target]:
        if self._session is None or self._target is None:
            self._session, self._target = open_session(ssl_context()), target(self._url, self._key)
        return self._session, self._target

    async def close(self) -> None:
        """Closes connections."""
        if self._session is not None:
            await self._session.close()


def _numbers(value: Any) -> list[Any]:
    """One list of numbers for each text, in Ollama's or OpenAI's form."""
    if "embeddings" in value:
        return list(value["embeddings"])
    return [one["embedding"] for one in value["data"]]
