"""The embedding models of a configuration, as ``train`` and ``promote`` ask them for vectors."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from service.config import Configuration
from service.errors import AutotierError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier import PromptView
    from classifier.embedding import EmbeddingTerm
    from service.config.embedding import ClassifierEmbedding
    from training.embedding import Wanted
    from training.embedding_vectors import EmbeddingModel
    from training.embedding_words import VectorsOf
    from training.logged_labels import LoggedLabel

T = TypeVar("T")

BATCH_S = 120.0
"""Longest wait for one batch: a model may have to load first."""


class EmbeddingUnusable(AutotierError):
    """An embedding that cannot be trained with: nobody is named so, or the host does not answer."""


class Asked:
    """One embedding model, asked from commands: it waits. Close it.

    Args:
        configuration: Its hosts, with their keys.
        name: Key of ``classifier.embeddings``.

    Raises:
        EmbeddingUnusable: There is no such key.
    """

    def __init__(self, configuration: Configuration, name: str) -> None:
        from service.upstream.embedding import HostEmbedder

        embeddings = configuration.classifier.embeddings
        if name not in embeddings:
            known = ", ".join(embeddings) or "none is written there"
            raise EmbeddingUnusable(
                f"--embedding {name}: no entry of classifier.embeddings; write {name}: {{host: HOST, model: "
                f"nomic-embed-text}} there, or name one of: {known}"
            )
        self.name = name
        self.settings: ClassifierEmbedding = embeddings[name]
        self.is_local = configuration.hosts[self.settings.host].local
        self._embedder = HostEmbedder(configuration, self.settings)
        self._runner = asyncio.Runner()

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors of a batch.

        Raises:
            VectorsMissing: The host gave none.
        """
        return self._said(partial(self._embedder.embed_all, texts))

    def timed(self, texts: Sequence[str]) -> list[float]:
        """Milliseconds of one call for each text.

        Raises:
            VectorsMissing: The host gave no vector.
        """
        found = []
        for text in texts:
            began = time.perf_counter()
            self._said(partial(self._embedder.embed, text))
            found.append((time.perf_counter() - began) * 1_000)
        return found

    def model(self) -> EmbeddingModel:
        """Whose vectors they are; asks the host for the digest.

        Raises:
            VectorsMissing: It does not answer.
        """
        from training.embedding_vectors import EmbeddingModel

        return EmbeddingModel(self.name, self.settings.model, self._said(self._embedder.digest), self.settings.prefix)

    def close(self) -> None:
        """Closes connections."""
        self._runner.run(self._embedder.close())
        self._runner.close()

    def _said(self, ask: Callable[[], Coroutine[object, object, T]]) -> T:
        import aiohttp

        from service.upstream.embedding import EmbeddingFailed
        from training.embedding_vectors import VectorsMissing

        async def within() -> T:
            async with asyncio.timeout(BATCH_S):
                return await ask()

        try:
            return self._runner.run(within())
        except (EmbeddingFailed, aiohttp.ClientError, OSError, TimeoutError) as error:
            words = str(error) or f"no answer within {BATCH_S:.0f} s"
            raise VectorsMissing(
                f"{self.settings.model} at {self.settings.host} gave no vector: {words}; what came so far is kept"
            ) from error


def in_the_house(labels: Iterable[LoggedLabel]) -> Iterator[LoggedLabel]:
    """Labels without the texts of private requests, for a host outside."""
    return (replace(one, view=None) if one.private else one for one in labels)


@contextmanager
def wanted(config: Path | None, name: str, folder: Path, stages: int | None) -> Iterator[tuple[Wanted, bool]]:
    """An embedding for ``train``.

    Args:
        config: Configuration with ``classifier.embeddings``.
        name: Which of them.
        folder: Where vectors are kept.
        stages: Of the classifier.

    Yields:
        The embedding, and whether its host stands in the house.

    Raises:
        EmbeddingUnusable: No such entry, or its host does not answer.
    """
    from service.cli.train import steps
    from training.embedding import Wanted
    from training.embedding_vectors import KeptVectors, VectorsMissing

    asked = Asked(with_keys(config), name)
    try:
        asked.vectors(["warm up"])  # its model may have to load, and a wrong name shows before minutes of fits
        with steps("vectors") as step:
            kept = KeptVectors(asked.model(), folder, asked.vectors, step)
            yield Wanted(kept, asked.settings.deadline_ms, asked.timed, stages), asked.is_local
    except VectorsMissing as error:
        raise EmbeddingUnusable(str(error)) from error
    finally:
        asked.close()


def vectors_of(config: Path | None, folder: Path) -> VectorsOf:
    """Vectors for ``promote``: kept ones, and those of hosts that answer.

    Args:
        config: Configuration with ``classifier.embeddings``.
        folder: Where vectors are kept.
    """
    from training.embedding_vectors import EmbeddingModel, KeptVectors, VectorsMissing

    def vectors(term: EmbeddingTerm, views: Sequence[PromptView]) -> NDArray[np.float32]:
        model, texts = EmbeddingModel.of(term), [term.text(view) for view in views]
        try:
            return KeptVectors(model, folder).of(texts)
        except VectorsMissing:
            pass  # its host is asked
        try:
            asked = Asked(with_keys(config), term.name)
        except EmbeddingUnusable as error:
            raise VectorsMissing(str(error)) from error
        try:
            there = asked.model()
            if (there.model, there.digest) != (model.model, model.digest):
                raise VectorsMissing(f"{asked.settings.host} has another {term.name} than it was trained with")
            return KeptVectors(model, folder, asked.vectors).of(texts)
        finally:
            asked.close()

    return vectors


def with_keys(config: Path | None) -> Configuration:
    """The configuration with the keys that are set; the others are stand-ins, which a host would refuse.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    from service.config.load import load
    from service.config.references import StandIns
    from service.config.seed import seed_configuration

    return load(config, StandIns(os.environ)).configuration if config is not None else seed_configuration()
