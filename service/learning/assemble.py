"""The learning parts of one running configuration, put together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import classifier
from classifier import ArtifactError, Classifier
from classifier.artifact import Artifact, metadata_of
from service.config import Configuration
from service.decisions.store import DecisionStore
from service.errors import ConfigurationError
from service.learning.following import Follower
from service.learning.shadow import Shadow
from service.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Learner:
    """What works behind the answers.

    Attributes:
        follower: Works through the log.
        shadow: Asks a challenger, or None.
    """

    follower: Follower
    shadow: Shadow | None

    @classmethod
    def open(
        cls,
        configuration: Configuration,
        source: str,
        store: DecisionStore,
        matrices: Mapping[str, Sequence[Sequence[float]]],
        champion: Artifact,
        before: Learner | None,
    ) -> Learner:
        """Builds the parts; nothing runs yet. It blocks: a challenger takes a second to load.

        Args:
            configuration: The running configuration.
            source: Its file, for messages.
            store: Of decisions.
            matrices: Cost matrices of the running chain.
            champion: The artifact that decides.
            before: The parts before a reload.

        Raises:
            ConfigurationError: The challenger cannot be used.
        """
        challenger = _challenger(configuration, source, before)
        shadow = None if challenger is None else Shadow(challenger, matrices, store)
        return cls(Follower(store, configuration.learning, time.time, champion), shadow)

    async def start(self) -> None:
        """Starts task and thread."""
        await self.follower.start()
        if self.shadow is not None:
            self.shadow.start()

    async def close(self) -> None:
        """Ends both, and writes what they have."""
        await self.follower.close()
        if self.shadow is not None:
            await asyncio.to_thread(self.shadow.close)

    def watched(self, metrics: Metrics) -> None:
        """Shows their numbers."""
        metrics.watch("learning", self.follower.snapshot)
        shadow = self.shadow
        metrics.watch("shadow", shadow.snapshot if shadow is not None else dict)


def _challenger(configuration: Configuration, source: str, before: Learner | None) -> Classifier | None:
    """The challenger; the one before where it has not changed: a second stage loaded anew takes 25 MB for good."""
    settings = configuration.classifier
    if settings.shadow is None:
        return None
    running = before.shadow.challenger if before is not None and before.shadow is not None else None
    try:
        same = running is not None and str(running.artifact.path) == settings.shadow
        if running is not None and same and metadata_of(running.artifact.path) == running.artifact.metadata:
            return running
        return classifier.load(settings.shadow, stages=settings.stages)
    except ArtifactError as error:
        raise ConfigurationError(
            source, "classifier.shadow", str(error), "name a folder that autotier train wrote, or leave it out"
        ) from error
