"""The one look at a request's text, within its time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from classifier import Classification, Classifier, PromptView, Tier
from service.config import Configuration
from service.routing.conversation import ConversationKeys
from service.routing.look import Looker
from service.routing.request import CallerIdentity, ChatRequest, chat_request
from tests.fakes import FixedClassifier


class Slow(FixedClassifier):
    """A classifier that takes its time."""

    def __init__(self, champion: Classifier, stages: int) -> None:
        super().__init__(Tier.REASONING)
        self.stages = stages
        self.artifact = champion.artifact

    def classify_view(self, view: PromptView, *, matrix: Any = None) -> Classification:
        """As the fixed one's, after a fifth of a second."""
        time.sleep(0.2)
        return super().classify_view(view, matrix=matrix)


def request(text: str) -> ChatRequest:
    """A request of one message."""
    return chat_request({"model": "auto", "messages": [{"role": "user", "content": text}]}, {}, CallerIdentity())


def looker(slow: Slow, configuration: Configuration) -> Looker:
    """A look with a limit of 20 ms."""
    hasty = configuration.classifier.model_copy(update={"time_limit_ms": 20})
    return Looker(
        slow,  # type: ignore[arg-type]  # a fake with the real one's surface
        {},
        configuration.model_copy(update={"classifier": hasty}),
        ConversationKeys(bytes(16)),
    )


async def test_a_late_second_stage_leaves_the_first_stages_word(
    champion: Classifier, configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    """The request is classified by the first stage, counted and logged."""
    hasty = looker(Slow(champion, stages=2), configuration)

    look = await hasty.look(request("What is a closure in JavaScript?"))

    assert look.classification is not None
    assert (look.classification.stage, look.classification.artifact) == (1, champion.artifact.id)
    assert (hasty.hurried, hasty.degraded) == (1, 0)
    assert "second stage" in caplog.text


async def test_a_late_first_stage_is_degraded(champion: Classifier, configuration: Configuration) -> None:
    """Nothing is left to decide with: no classification, and the failure is named."""
    hasty = looker(Slow(champion, stages=1), configuration)

    look = await hasty.look(request("word " * 600))

    assert look.classification is None
    assert "out of time" in look.failure
    assert (hasty.hurried, hasty.degraded) == (0, 1)
