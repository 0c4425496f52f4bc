"""The artifact's embedding in operation: its host is asked for a vector where the stages leave doubt.

It advises within a deadline. A host that is away, slow, wrong or another than at the training leaves the word of the
stages as it is, and rests: what it says next is found out beside the requests. Every request says what came of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.embedded import asks, with_embedding, without_embedding
from classifier.embedding import EmbeddingTerm
from service.config import Configuration
from service.config.embedding import ClassifierEmbedding
from service.routing.look import Look
from service.routing.request import ChatRequest

log = logging.getLogger("autotier.routing")

T = TypeVar("T")

MOST_AT_ONCE = 16
"""Questions under way: more would only wait for each other at the host."""

LOAD_S = 30.0
"""A vector that comes too late for its request is still waited for so long: the model may have to load."""

CHECK_EVERY_S = 30.0
CHECK_LIMIT_S = 1.0
"""How often the host is asked which model it has, and how long that may take; a start waits no longer either."""


class Left(StrEnum):
    """Why the stages decided alone."""

    LATE = "late"
    AWAY = "away"
    FAILED = "failed"
    RESTING = "resting"
    BUSY = "busy"
    DIMENSIONS = "dimensions"
    OTHER_MODEL = "other_model"
    NOT_ALLOWED = "not_allowed"
    NOT_CONFIGURED = "not_configured"


class Embedder(Protocol):
    """One model at one host (``service.upstream.embedding.HostEmbedder``). Any method raises whatever goes wrong."""

    is_local: bool

    async def embed(self, text: str) -> NDArray[np.float32]: ...

    async def digest(self) -> str: ...

    async def close(self) -> None: ...


class Counts(Protocol):
    """Counts requests by what came of the embedding (``service.metrics.Metrics``)."""

    def embedded(self, result: str) -> None: ...


class Embedded(Protocol):
    """What the flow needs of `EmbeddingAsker`."""

    async def heard(self, request: ChatRequest, look: Look, matrix: Sequence[Sequence[float]]) -> Look:
        """The look with the embedding's word in its classification, or with why it has none. Never raises."""
        ...


class EmbeddingAsker:
    """Asks the host of the artifact's embedding. Event loop only; nothing is asked before `start`.

    Args:
        artifact: Has an embedding.
        embedder: Its model at its host; None: the configuration names none, or another one.
        left: Why, where there is no embedder.
        deadline_s: Longest wait of a request.
        rest_s: Rest of a host that failed.
        counts: Count what came of it.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        artifact: Artifact,
        embedder: Embedder | None,
        left: Left = Left.NOT_CONFIGURED,
        *,
        deadline_s: float = 0.15,
        rest_s: float = 15.0,
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert artifact.embedding is not None
        self._term: EmbeddingTerm = artifact.embedding
        self._bound = artifact.bound
        self._embedder = embedder
        self._never = left if embedder is None else None
        self._deadline_s = deadline_s
        self._rest_s = rest_s
        self._counts = counts
        self._clock = clock
        self._rests_until = 0.0
        self._is_other = False
        self._running: set[asyncio.Task[Any]] = set()
        self._late: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        artifact: Artifact,
        counts: Counts,
        make: Callable[[Configuration, ClassifierEmbedding], Embedder],
    ) -> Self | None:
        """For the artifact in use; None where it has no embedding.

        Args:
            configuration: Its ``classifier.embeddings``.
            artifact: In use.
            counts: Count what comes of it.
            make: Makes an embedder.
        """
        term = artifact.embedding
        if term is None:
            return None
        settings = configuration.classifier.embeddings.get(term.name)
        if settings is None or settings.model != term.model:
            left = Left.NOT_CONFIGURED if settings is None else Left.OTHER_MODEL
            found = "is not there" if settings is None else f"names {settings.model}"
            log.error("%s has %s for its embedding, but classifier.embeddings.%s %s: the stages decide alone",
                      artifact.id, term.model, term.name, found)  # fmt: skip
            return cls(artifact, None, left, counts=counts)
        return cls(
            artifact,
            make(configuration, settings),
            deadline_s=settings.deadline_ms / 1000,
            rest_s=configuration.limits.cooldown_s,
            counts=counts,
        )

    async def start(self) -> None:
        """Looks once which model the host has, briefly, and goes on looking beside the requests."""
        if self._embedder is not None:
            await self._check()
            self._watch = asyncio.create_task(self._watched(), name="autotier-embedding")

    async def close(self) -> None:
        """Ends what is under way, and closes connections."""
        ending = [*self._running, *([self._watch] if self._watch is not None else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._embedder is not None:
            await self._embedder.close()

    async def heard(self, request: ChatRequest, look: Look, matrix: Sequence[Sequence[float]]) -> Look:
        """See `Embedded`."""
        spoken = look.classification
        if spoken is None or request.override is not None or look.view.in_tool_loop:
            return look  # somebody else names the tier
        if not asks(spoken, matrix, self._bound):
            return look
        found = await self._vector(self._term.text(look.view), look.private)
        if isinstance(found, Left):
            self._counts.embedded(found)
            return replace(look, classification=without_embedding(spoken, found))
        after = with_embedding(spoken, self._term, found, matrix)
        self._counts.embedded("agreed" if after.tier is spoken.tier else "changed")
        return replace(look, classification=after)

    async def _vector(self, text: str, private: str | None) -> NDArray[np.float32] | Left:
        embedder = self._embedder
        if embedder is None:
            return self._never or Left.NOT_CONFIGURED
        if private and not embedder.is_local:
            return Left.NOT_ALLOWED
        if self._is_other:
            return Left.OTHER_MODEL
        if self._late or self._clock() < self._rests_until:
            return Left.RESTING
        if len(self._running) >= MOST_AT_ONCE:
            return Left.BUSY
        task = asyncio.create_task(_within(partial(embedder.embed, text), LOAD_S))
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait({task}, timeout=self._deadline_s)
        except asyncio.CancelledError:
            task.cancel()  # the client has gone
            raise
        if not task.done():
            self._late.add(task)  # it may be loading: nobody else is asked until it is known
            log.warning("embedding %s: no vector within %.0f ms", self._term.name, self._deadline_s * 1000)
            return Left.LATE
        return self._word(task)

    def _word(self, task: asyncio.Task[NDArray[np.float32]]) -> NDArray[np.float32] | Left:
        """What a finished question brought."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._rest(str(error)[:200] or type(error).__name__)
            return Left.AWAY if isinstance(error, OSError) else Left.FAILED
        vector = task.result()
        if vector.shape != (self._term.dimensions,):
            self._rest(f"a vector of {vector.size} numbers, trained with {self._term.dimensions}")
            return Left.DIMENSIONS
        if not np.isfinite(vector).all() or not vector.any():
            self._rest("no vector with a direction")
            return Left.FAILED
        return vector

    def _ended(self, task: asyncio.Task[NDArray[np.float32]]) -> None:
        self._running.discard(task)
        if task in self._late:
            self._late.discard(task)
            self._word(task)  # rests where it failed after all
        elif not task.cancelled():
            task.exception()  # asyncio must not complain that nobody asked

    def _rest(self, words: str) -> None:
        if self._clock() >= self._rests_until:
            log.error(
                "embedding %s rests for %.0f s, the stages decide alone: %s", self._term.name, self._rest_s, words
            )
        self._rests_until = self._clock() + self._rest_s

    async def _watched(self) -> None:
        while True:
            await asyncio.sleep(min(CHECK_EVERY_S, self._rest_s) if self._rests_until else CHECK_EVERY_S)
            await self._check()

    async def _check(self) -> None:
        """Which model the host has now; one that answers has rested enough."""
        assert self._embedder is not None
        task = asyncio.create_task(_within(self._embedder.digest, CHECK_LIMIT_S))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._rest(str(error)[:200] or f"no answer within {CHECK_LIMIT_S:g} s")
            return
        digest = task.result()
        is_other = bool(self._term.digest) and digest != self._term.digest
        if is_other and not self._is_other:
            what = "not there any more" if not digest else f"another one ({digest[:12]})"
            log.error("embedding %s: %s at its host is %s than it was trained with (%s): train again",
                      self._term.name, self._term.model, what, self._term.digest[:12])  # fmt: skip
        self._is_other = is_other
        self._rests_until = 0.0


async def _within(ask: Callable[[], Coroutine[Any, Any, T]], limit_s: float) -> T:
    async with asyncio.timeout(limit_s):
        return await ask()
