"""The running experiment: deals requests to arms, follows the store's word, obeys guardrails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import classifier
from classifier import ArtifactError, Classification, Classifier, Matrix, PromptView, Tier, choose
from service.config import Configuration
from service.config.experiments import ArmSettings, ExperimentSettings
from service.decisions.records import DecisionFilter, DecisionRecord
from service.errors import ConfigurationError, StoreError
from service.experiments.arms import deal, known_experiments
from service.experiments.guardrails import Guard
from service.experiments.state import Running, SettingsStore
from service.routing.assignment import Assignment
from service.routing.conversation import ConversationKeys
from service.routing.request import ChatRequest

log = logging.getLogger("autotier.experiments")

EVERY_S = 2.0
"""Seconds between two looks at the store: how late a start, a stop and a guardrail are."""

CHECK_S = 6.0
"""Seconds between two looks of the guardrails."""

WINDOW_S = 960.0
"""How long after its begin a decision may be written: the cap of an answer and a minute."""

PAGE = 1_000
"""Most decisions of one look, newest first; with more traffic the guardrails see a part of it."""


class RecordStore(SettingsStore, Protocol):
    """The settings and the decisions."""

    def recent(self, wanted: DecisionFilter | None = None) -> list[DecisionRecord]:
        """The newest decisions first."""
        ...


class Experiments:
    """Deals requests to the arms of the experiment that runs, if one does.

    Args:
        configuration: For the configured experiments.
        matrices: Cost matrices of the running chain, for `matrix` arms.
        store: Where the state and the decisions are.
        keys: Hashes conversations.
        now_s: Unix seconds.
    """

    def __init__(
        self,
        configuration: Configuration,
        matrices: Mapping[str, Matrix],
        store: RecordStore,
        keys: ConversationKeys,
        now_s: Callable[[], float],
    ) -> None:
        self._known = known_experiments(configuration.experiments)
        self._classifiers = _classifiers(configuration)
        self._matrices = matrices
        self._store = store
        self._keys = keys
        self._now_s = now_s
        self._running: Running | None = None
        self._guard: Guard | None = None
        self._seen: set[str] = set()
        self._next_check_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self.failures = 0

    async def assign(
        self, request: ChatRequest, view: PromptView, classification: Classification | None
    ) -> Assignment | None:
        """The arm of a request; None where none runs, its arm was stopped, or the client named a tier."""
        experiment = self._active()
        if experiment is None or request.override is not None:
            return None
        unit = self.unit_of(experiment, request)
        dealt = deal(experiment, unit)
        assert self._running is not None
        if dealt.arm.name in self._running.stopped:
            return None
        routed = classification.tier if classification is not None else None
        tier = dealt.tier or await self._judged(dealt.arm, view, classification)
        other = self._classifiers.get(dealt.arm.artifact or "")
        artifact = other.artifact.id if other is not None and tier is not None else None
        return Assignment(
            experiment.name, dealt.arm.name, dealt.target, dealt.propensity, unit, tier, routed, artifact
        )  # fmt: skip

    def unit_of(self, experiment: ExperimentSettings, request: ChatRequest) -> str:
        """The unit: the caller, the conversation's id, or all up to the first thing that its user said.

        The last stays the same over all turns of a conversation, unlike the key of its hold.
        """
        if experiment.unit == "caller":
            return request.caller.name
        return self._keys.unit(request)

    async def start(self) -> None:
        """Reads what runs and goes on doing so behind the requests."""
        await asyncio.to_thread(self.refresh)
        self._task = asyncio.create_task(self._follow(), name="autotier-experiments")

    async def close(self) -> None:
        """Stops following the store."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def refresh(self) -> None:
        """One look at the store: state, new decisions, guardrails. It blocks.

        Without a store that answers the present state goes on, and the failure is logged and counted.
        """
        try:
            self._read()
            self._check()
        except (StoreError, ValueError) as error:
            self.failures += 1
            log.error("the experiment's state cannot be followed, it goes on as it was: %s", error)

    def snapshot(self) -> dict[str, float]:
        """Numbers for the metrics."""
        running = self._running
        active = self._active() is not None
        return {
            "running": float(active),
            "stopped_arms": float(len(running.stopped)) if running is not None and active else 0.0,
            "store_failures_total": float(self.failures),
        }

    def _active(self) -> ExperimentSettings | None:
        running = self._running
        return None if running is None or running.until_s is not None else self._known.get(running.name)

    async def _judged(self, arm: ArmSettings, view: PromptView, classification: Classification | None) -> Tier | None:
        """The tier by an arm's matrix or artifact; None for the router's own word and where there is no signal."""
        if classification is None or not classification.signal:
            return None
        if arm.matrix is not None and arm.matrix in self._matrices:
            return choose(classification.probabilities, self._matrices[arm.matrix])
        if arm.artifact is None:
            return None
        other = self._classifiers[arm.artifact]
        matrix = self._matrices.get("default")
        return (await asyncio.to_thread(other.classify_view, view, matrix=matrix)).tier

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await asyncio.to_thread(self.refresh)

    def _read(self) -> None:
        before, self._running = self._running, Running.read(self._store)
        now = self._running
        if now is None or (before is not None and (before.name, before.since_s) == (now.name, now.since_s)):
            return
        experiment = self._known.get(now.name)
        if experiment is None and now.until_s is None:
            log.error("experiment %r was started and is not in the configuration: nobody is assigned", now.name)
        self._guard = None if experiment is None else Guard(now.name, experiment.guardrails)
        self._seen, self._next_check_s = set(), 0.0

    def _check(self) -> None:
        running, guard = self._running, self._guard
        if running is None or guard is None or running.until_s is not None:
            return
        now_s = self._now_s()
        if now_s < self._next_check_s:
            return
        # A decision is written when its answer ends, which may be long after it began: the window is read again, and
        # each decision counted once.
        since_s = max(running.since_s, now_s - WINDOW_S) if self._next_check_s else running.since_s
        self._next_check_s = now_s + CHECK_S
        page = self._store.recent(DecisionFilter(since_s=since_s, limit=PAGE))
        guard.see(one for one in page if one.id not in self._seen)
        self._seen = {one.id for one in page}
        broken = {arm: why for arm, why in guard.broken().items() if arm not in running.stopped}
        if not broken:
            return
        for arm, why in broken.items():
            log.error("experiment %s: arm %s stopped by a guardrail: %s", running.name, arm, why)
        self._running = replace(running, stopped={**running.stopped, **broken})
        self._running.write(self._store)


def _classifiers(configuration: Configuration) -> dict[str, Classifier]:
    """Classifiers of `artifact` arms by folder.

    Raises:
        ConfigurationError: One cannot be used.
    """
    found: dict[str, Classifier] = {}
    for number, experiment in enumerate(configuration.experiments):
        for place, arm in enumerate(experiment.arms):
            if arm.artifact is None or arm.artifact in found:
                continue
            key = f"experiments[{number}].arms[{place}].artifact"
            try:
                found[arm.artifact] = classifier.load(arm.artifact, stages=configuration.classifier.stages)
            except ArtifactError as error:
                raise ConfigurationError("configuration", key, str(error), "name a folder of autotier train") from error
    return found
