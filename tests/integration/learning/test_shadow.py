"""A challenger in the shadow: counted, listed, never in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

import classifier
from classifier import Classification, Classifier, PromptView, Tier, view_of
from classifier.judged import with_judge
from service.decisions.shadowing import newest_disagreements, shadow_summary
from service.decisions.store import DecisionStore
from service.learning import shadow as module
from service.learning.shadow import Shadow
from service.routing.decision import Reason, RouteDecision
from tests.integration.decisions.conftest import NOW_S

ASK = "Prove that the square root of two is irrational"


class Contrary(Classifier):
    """A challenger that always says reasoning, when it is let."""

    def __init__(self) -> None:
        super().__init__(classifier.load(stages=1).artifact)
        self.go = threading.Event()
        self.go.set()

    def classify_view(self, view: PromptView, **options: Any) -> Classification:
        self.go.wait(10)
        if "broken" in view.ask:
            raise RuntimeError("a defect")
        spoken = super().classify_view(view, **options)
        return replace(spoken, tier=Tier.REASONING, confidence=0.9, artifact="contrary-1")


@pytest.fixture(scope="module")
def champion() -> Classifier:
    """The shipped first stage."""
    return classifier.load(stages=1)


Decide = Callable[[str], RouteDecision]


@pytest.fixture
def decide(champion: Classifier) -> Decide:
    """Decides a prompt as the service does."""

    def made(text: str) -> RouteDecision:
        view = view_of(text)
        spoken = champion.classify_view(view)
        return RouteDecision(spoken.tier, Reason.CLASSIFIER, spoken.confidence, (), classification=spoken, view=view)

    return made


def until(true: Callable[[], bool]) -> None:
    """Waits for the thread."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_disagreements_are_listed_and_agreements_counted(store: DecisionStore, decide: Decide) -> None:
    """By challenger and champion, with both tiers and probabilities; two processes add up."""
    for process in range(2):
        shadow = Shadow(Contrary(), {}, store)
        shadow.start()
        for number, text in enumerate((ASK, "What is a mutex?")):
            shadow.offer(f"dec_{process}{number}", NOW_S + number, decide(text), "default")
        until(lambda one=shadow: one.compared == 2)
        shadow.close()

    (found,) = store.read(partial(shadow_summary, since_s=NOW_S - 86_400))
    listed = store.read(partial(newest_disagreements, since_s=0, limit=9))
    assert found["artifact"] == "contrary-1"
    assert found["compared"] == 4
    assert found["disagreed"] == len(listed) >= 2
    assert {one.shadow_tier for one in listed} == {"reasoning"}
    assert {one.shadow_probability for one in listed} == {0.9}


def test_a_judges_word_is_not_held_against_the_challenger(sqlite_store: DecisionStore, decide: Decide) -> None:
    """Champion and challenger are compared by what both said alone."""
    decision = decide(ASK)
    assert decision.classification is not None
    assert decision.classification.tier is Tier.REASONING
    lowered = with_judge(decision.classification, Tier.LIGHTWEIGHT, 0.99, ((0, 1, 1),) * 3)
    shadow = Shadow(Contrary(), {}, sqlite_store)
    shadow.start()

    shadow.offer("dec_1", NOW_S, replace(decision, tier=lowered.tier, classification=lowered), "default")
    until(lambda: shadow.compared == 1)
    shadow.close()

    assert shadow.disagreed == 0


def test_what_does_not_fit_is_dropped_and_counted(
    sqlite_store: DecisionStore, decide: Decide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenger that hangs costs comparisons, and no time of the one who offers."""
    monkeypatch.setattr(module, "MOST_WAITING", 4)
    slow = Contrary()
    slow.go.clear()
    shadow = Shadow(slow, {}, sqlite_store)
    shadow.start()
    decision = decide(ASK)

    for number in range(20):
        shadow.offer(f"dec_{number}", NOW_S, decision, "default")

    assert shadow.dropped >= 15
    slow.go.set()
    shadow.close()
    assert shadow.compared + shadow.dropped == 20


def test_a_challenger_that_fails_is_counted(sqlite_store: DecisionStore, decide: Decide) -> None:
    """The next request is compared all the same."""
    shadow = Shadow(Contrary(), {}, sqlite_store)
    shadow.start()

    shadow.offer("dec_1", NOW_S, decide("a broken thing"), "default")
    shadow.offer("dec_2", NOW_S, decide(ASK), "default")

    until(lambda: shadow.compared == 1)
    shadow.close()
    assert shadow.snapshot()["failed_total"] == 1


def test_nothing_to_judge_is_passed_over(sqlite_store: DecisionStore, decide: Decide) -> None:
    """No classification, or no signal."""
    shadow = Shadow(Contrary(), {}, sqlite_store)

    shadow.offer("dec_1", NOW_S, RouteDecision(Tier.CODING, Reason.DEGRADED, None, ()), "default")
    shadow.offer("dec_2", NOW_S, decide("..."), "default")

    assert shadow.snapshot()["waiting"] == 0
