"""The one look that routing takes at a request's text: view, classification, privacy, keys.

All of it is CPU work without awaiting; ``Looker.look`` takes it off the event loop for prompts above 2,000 characters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import classifier
from classifier import ArtifactError, Classification, Classifier, PromptView, view_of
from classifier.versions import in_use
from service.config.model import Configuration
from service.errors import ConfigurationError
from service.routing.conversation import ConversationKeys
from service.routing.privacy import detect
from service.routing.request import ChatRequest
from service.routing.tokens import texts_of

INLINE_CHARS = 2_000

log = logging.getLogger("autotier.routing")

Matrices = Mapping[str, Sequence[Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a request gives.

    Attributes:
        classification: None where the classifier failed or ran out of time (``failure`` says which).
        private: Kind of the privacy detector's hit, ``asked`` where the client asked for it, or None.
        conversation: Key under which the conversation would be stored, or None.
        same_request: Key that equal requests share.
    """

    view: PromptView
    classification: Classification | None
    failure: str
    private: str | None
    conversation: str | None
    same_request: str


def artifact_in_use(configuration: Configuration) -> Path | None:
    """Folder of the artifact that decides: what was promoted, else what is configured; None is the shipped one.

    Raises:
        ArtifactError: What was promoted is not there.
    """
    settings = configuration.classifier
    return in_use(Path(settings.versions), Path(settings.artifact) if settings.artifact else None)


def load_classifier(configuration: Configuration, source: str) -> Classifier:
    """The configured classifier.

    Raises:
        ConfigurationError: The artifact cannot be used.
    """
    settings = configuration.classifier
    try:
        return classifier.load(artifact_in_use(configuration), stages=settings.stages)
    except ArtifactError as error:
        raise ConfigurationError(
            source, "classifier.artifact", str(error), "name a folder that autotier train wrote, or leave it out"
        ) from error


class Looker:
    """Looks at requests with one classifier, one set of matrices, one privacy floor.

    Attributes:
        degraded: Requests that got no word of the classifier.
        hurried: Requests whose second stage was late.

    Args:
        classifier: From ``classifier.load``.
        matrices: Cost matrices of the running chain by name; what is missing is the artifact's.
        configuration: For detectors and the classifier's time limit.
        keys: Conversation keys.
    """

    def __init__(
        self, classifier: Classifier, matrices: Matrices, configuration: Configuration, keys: ConversationKeys
    ) -> None:
        self.classifier = classifier
        self._first = Classifier(classifier.artifact) if classifier.stages > 1 else classifier
        self._matrices = matrices
        self._privacy = configuration.policy.privacy
        self._limit_s = configuration.classifier.time_limit_ms / 1000
        self._keys = keys
        self.degraded = 0
        self.hurried = 0

    def matrix_of(self, request: ChatRequest) -> Sequence[Sequence[float]]:
        """The cost matrix in force for a request."""
        found = self._matrices.get(request.matrix)
        return found if found is not None else self.classifier.artifact.matrices[request.matrix]

    def snapshot(self) -> dict[str, float]:
        """Requests without the classifier's word, and those whose second stage was late."""
        return {"degraded_total": float(self.degraded), "second_stage_late_total": float(self.hurried)}

    async def look(self, request: ChatRequest) -> Look:
        """The look; long prompts in a thread. Never raises for what only advises."""
        texts = list(texts_of(request.body))
        if sum(map(len, texts)) <= INLINE_CHARS and self.classifier.stages < 2:
            return self._finish(request, *self._see(request, texts))
        view, private, conversation, same = await asyncio.to_thread(self._read, request, texts)
        return self._finish(request, view, private, conversation, same, await self._in_time(request, view))

    def _see(self, request: ChatRequest, texts: list[str]) -> tuple[Any, ...]:
        view, private, conversation, same = self._read(request, texts)
        return view, private, conversation, same, self._classify(request, view)

    def _read(self, request: ChatRequest, texts: list[str]) -> tuple[PromptView, str | None, str | None, str]:
        fields = {k: v for k, v in request.body.items() if k != "messages"}
        return (
            view_of(request.messages, **fields),
            "asked" if request.private else detect(texts, self._privacy),
            self._keys.known(request),
            self._keys.same_request(request),
        )

    async def _in_time(self, request: ChatRequest, view: PromptView) -> tuple[Classification | None, str]:
        """The classifier's word within its limit: where the second stage is late, the first stage's alone."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._classify, request, view), self._limit_s)
        except TimeoutError:
            if self._first is self.classifier:
                return None, "classifier ran out of time"
        self.hurried += 1
        log.warning("the second stage ran out of time: the first stage decides alone")
        return self._classify(request, view, self._first)

    def _classify(
        self, request: ChatRequest, view: PromptView, spoken: Classifier | None = None
    ) -> tuple[Classification | None, str]:
        matrix = self._matrices.get(request.matrix, request.matrix)
        try:
            return (spoken or self.classifier).classify_view(view, matrix=matrix), ""
        except Exception as error:  # the classifier advises: its failure degrades loudly, it ends no request
            log.exception("classifier failed")
            return None, f"classifier failed: {type(error).__name__}"

    def _finish(
        self,
        request: ChatRequest,
        view: PromptView,
        private: str | None,
        conversation: str | None,
        same: str,
        spoken: tuple[Classification | None, str],
    ) -> Look:
        classification, failure = spoken
        if failure:
            self.degraded += 1
            log.warning("request classified as degraded: %s", failure)
        return Look(view, classification, failure, private, conversation, same)
