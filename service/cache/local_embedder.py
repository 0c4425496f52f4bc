"""The local model as an `Embedder`: loaded at the first use, in a thread of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from service.cache.local_model import NAME, LocalModel


class LocalEmbedder:
    """Implements `service.cache.semantic.Embedder` on this machine's CPU."""

    model = NAME
    is_local = True

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="autotier-embedding")
        self._loaded: LocalModel | None = None

    async def embed(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._embed, text)

    async def close(self) -> None:
        """Ends the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def warm(self) -> None:
        """Loads the model beside the loop, so that no request waits for it."""
        self._threads.submit(self._embed, "warm up")

    def _embed(self, text: str) -> NDArray[np.float32]:
        if self._loaded is None:
            self._loaded = LocalModel()
        vector: NDArray[np.float32] = self._loaded.embed([text])[0]
        return vector
