"""The composition root: the one place that builds the adapters and puts the service together, at the start and again.

What a reload swaps is one `Assembled`; what outlives it is `Lasting`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier import ArtifactError, Classifier
from classifier.artifact import metadata_of, shipped_path
from service.api.asking import deployment_of
from service.api.auth import Authenticator
from service.api.caching import CachedReplies
from service.api.drain import Drain
from service.api.gateway import ChatGateway, Overload
from service.api.judging import TierJudge
from service.api.parts import Parts
from service.api.verifying import Verifier
from service.binding import check_binding
from service.cache.assemble import OpenCache, error_of_judge, local_embedder
from service.cache.assemble import assemble as assemble_cache
from service.cache.judge import JudgeError
from service.config import Configuration
from service.decisions.recorder import Recorder
from service.decisions.store import DecisionStore
from service.errors import AutotierError, StoreError
from service.experiments.running import Experiments
from service.following_versions import VersionFollower
from service.learning.assemble import Learner
from service.limits.limits import Allowances
from service.limits.queue import Slots
from service.limits.state import DAY_S, SPEND, LimitState, ProcessState
from service.metrics import Metrics
from service.reloaded import difference
from service.routing.conversation import ConversationKeys, ConversationStore
from service.routing.embedding import EmbeddingAsker
from service.routing.flow import Flow
from service.routing.look import Looker, artifact_in_use, load_classifier
from service.routing.matrix import matrices_of
from service.state.shared import SharedState
from service.upstream.assemble import assemble
from service.upstream.chain import Chain
from service.upstream.embedding import HostEmbedder

log = logging.getLogger("autotier")


Source = Callable[[], Configuration]
"""Reads the configuration as it is now; raises ConfigurationError."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A store with its recorder; a reload takes them over unless ``store.url`` has changed."""

    url: str
    store: DecisionStore
    recorder: Recorder

    @classmethod
    def open(cls, configuration: Configuration) -> Kept:
        """Opens both.

        Raises:
            StoreError: The store cannot be opened.
        """
        settings = configuration.store
        store = DecisionStore.open(settings.url)
        return cls(settings.url, store, Recorder(store, flush_ms=settings.flush_ms))

    async def close(self) -> None:
        """Writes what waits."""
        await asyncio.to_thread(self.recorder.close)
        self.store.close()


@dataclass(frozen=True, slots=True)
class Lasting:
    """What outlives a reload."""

    metrics: Metrics
    overload: Overload


@dataclass(frozen=True, slots=True)
class Assembled:
    """One configuration at work."""

    configuration: Configuration
    parts: Parts
    chain: Chain
    looker: Looker
    kept: Kept
    cache: OpenCache
    experiments: Experiments
    learner: Learner
    embedded: EmbeddingAsker | None = None


class Service:
    """The running service: its parts, and their exchange.

    Args:
        configuration: Checked configuration.
        source: Its file, for messages.
        host: The address that is bound; a reload may not take the keys away from one beyond loopback.
        again: Reads the configuration again; None: it stays as it is, and a reload reads the artifact again.
    """

    def __init__(self, configuration: Configuration, source: str, host: str, again: Source | None = None) -> None:
        self._first = configuration
        self._source = source
        self._host = host
        self._again: Source = again if again is not None else lambda: configuration
        self._shared = SharedState.open(configuration)
        counts = ProcessState() if self._shared is None else self._shared.limits
        self._lasting = Lasting(Metrics(), Overload(Allowances(counts), Slots(configuration.server), Drain()))
        self._now: Assembled | None = None
        self._one_at_a_time = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._versions = VersionFollower(self._versions_folder, self.reload)

    @property
    def parts(self) -> Parts:
        """The parts that a request begins with now."""
        assert self._now is not None  # opened before the first request
        return self._now.parts

    async def open(self) -> None:
        """Builds the first parts.

        Raises:
            AutotierError: They cannot be built.
        """
        loop = asyncio.get_running_loop()
        self._lasting.metrics.watch("loop", lambda: {"tasks": float(len(asyncio.all_tasks(loop)))})
        self._lasting.metrics.watch("places", self._lasting.overload.slots.snapshot)
        if self._shared is not None:
            self._lasting.metrics.watch("state", self._shared.snapshot)
        kept = Kept.open(self._first)
        try:
            await self._know_spend(kept.store)
            if self._shared is not None:
                await self._shared.start()
            self._publish(await self._assembled(self._first, kept))
        except BaseException:
            await kept.close()
            raise
        self._versions.start()

    async def reload(self) -> Mapping[str, Any]:
        """Swaps in parts of the configuration as it is now. Requests at work end on the parts that they began with.

        Returns:
            ``changed`` and ``needs_restart`` (names of keys), and the classifier's ``artifact``.

        Raises:
            AutotierError: It cannot be used; the present parts go on.
        """
        async with self._one_at_a_time:
            before = self._now
            assert before is not None
            try:
                after = await self._successor(before)
            except AutotierError:
                self._lasting.metrics.reloads.labels("refused").inc()
                raise
            self._publish(after)
            self._retire(before, after)
        self._lasting.metrics.reloads.labels("done").inc()
        said = difference(before.configuration, after.configuration)
        was, now = before.looker.classifier.artifact.id, after.looker.classifier.artifact.id
        changed = [*said["changed"], *([f"artifact from {was} to {now}"] if was != now else [])]
        log.warning("reloaded %s: changed %s", self._source, ", ".join(changed) or "nothing")
        if said["needs_restart"]:
            log.warning("these take a restart: %s", ", ".join(said["needs_restart"]))
        return {**said, "artifact": now}

    async def close(self) -> None:
        """Closes everything. No request may be at work any more."""
        await self._versions.close()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._lasting.overload.allowances.close()
        now, self._now = self._now, None
        if now is not None:
            await now.experiments.close()
            await now.learner.close()
            if now.embedded is not None:
                await now.embedded.close()
            await now.parts.gateway.replies.close()
            await now.chain.close()
            await now.cache.close()
            await now.kept.close()
        if self._shared is not None:
            await self._shared.close()

    def _versions_folder(self) -> Path:
        running = self._first if self._now is None else self._now.configuration
        return Path(running.classifier.versions)

    async def _know_spend(self, store: DecisionStore) -> None:
        """A restart is no new day: what callers have spent today is in the records."""
        try:
            spent = await asyncio.to_thread(store.spent, time.time() // DAY_S * DAY_S)
        except StoreError as error:
            log.error("what callers have spent today is not known and counts from here: %s", error)
            return
        # A shared count may have it already, or may have lost it.
        state, shared = self._lasting.overload.allowances.state, self._shared
        for caller, usd in spent.items():
            await (state.add if shared is None else shared.limits.at_least)(caller, SPEND, usd)

    async def _successor(self, before: Assembled) -> Assembled:
        configuration = await asyncio.to_thread(self._again)
        check_binding(configuration, self._host, self._source)
        same_store = configuration.store.url == before.kept.url
        kept = before.kept if same_store else await asyncio.to_thread(Kept.open, configuration)
        try:
            after = await self._assembled(configuration, kept, before)
        except BaseException:
            if not same_store:
                await kept.close()
            raise
        try:
            for _, deployment in configuration.deployments():
                await after.chain.prepare(deployment)  # litellm may take seconds; the parts before serve meanwhile
        except BaseException:
            await self._dropped(after, before)
            raise
        return after

    async def _assembled(self, configuration: Configuration, kept: Kept, before: Assembled | None = None) -> Assembled:
        """Parts that are ready for requests.

        Raises:
            AutotierError: A file cannot be used.
        """
        spoken = await asyncio.to_thread(_warmed, configuration, self._source, before)
        authenticator = Authenticator(configuration.callers, configuration.caller_limits, configuration.callers_file)
        keys = ConversationKeys(kept.store.secret())
        matrices = matrices_of(configuration)
        looker = Looker(spoken, matrices, configuration, keys)
        experiments = await asyncio.to_thread(Experiments, configuration, matrices, kept.store, keys, time.time)
        champion, learnt = spoken.artifact, None if before is None else before.learner
        learner = await asyncio.to_thread(
            Learner.open, configuration, self._source, kept.store, matrices, champion, learnt
        )
        shared = self._shared
        chain = assemble(configuration, state=None if shared is None else shared.holds)
        holds: ConversationStore = kept.recorder if shared is None else shared.conversations(kept.recorder)
        recent = None if shared is None else shared.recent(configuration.policy.regeneration_s)
        error = await asyncio.to_thread(error_of_judge, configuration, kept.store)
        cache = _cache_of(configuration, kept.store, error, before)
        verifier = _verifier_of(configuration, cache, chain, self._lasting.overload.allowances.state, kept.recorder)
        judge = TierJudge.of(configuration, chain, kept.recorder, self._lasting.metrics)
        embedded = EmbeddingAsker.of(configuration, champion, self._lasting.metrics, HostEmbedder)
        gateway = ChatGateway(
            configuration=configuration,
            flow=Flow(configuration, looker, holds, time.time, recent, experiments, judge, embedded),
            chain=chain,
            recorder=kept.recorder,
            holds=holds,
            keys=keys,
            authenticator=authenticator,
            metrics=self._lasting.metrics,
            overload=self._lasting.overload,
            shadow=learner.shadow,
            replies=CachedReplies(configuration, cache.cache, chain, verifier),
        )
        await cache.start()
        chain.start()
        if verifier is not None:
            verifier.start()
        await experiments.start()
        await learner.start()
        if embedded is not None:
            await embedded.start()
        parts = Parts(gateway, kept.recorder, shared)
        return Assembled(configuration, parts, chain, looker, kept, cache, experiments, learner, embedded)

    def _publish(self, after: Assembled) -> None:
        metrics = self._lasting.metrics
        metrics.watch("store", after.kept.recorder.snapshot)
        metrics.watch("upstream", lambda: _upstream_numbers(after.chain))
        metrics.watch("cache", after.parts.gateway.replies.snapshot)
        metrics.watch("experiment", after.experiments.snapshot)
        after.learner.watched(metrics)
        metrics.watch("classifier", after.looker.snapshot)
        self._lasting.overload.slots.resize(after.configuration.server)
        self._now = after

    @staticmethod
    async def _dropped(gone: Assembled, staying: Assembled) -> None:
        """Closes what ``gone`` has alone, once its last request is over."""
        await gone.parts.users.gone()
        await gone.experiments.close()
        await gone.learner.close()
        if gone.embedded is not None:
            await gone.embedded.close()
        await gone.parts.gateway.replies.close()
        await gone.chain.close()
        if gone.cache is not staying.cache:
            await gone.cache.close()
        if gone.kept is not staying.kept:
            await gone.kept.close()

    def _retire(self, before: Assembled, after: Assembled) -> None:
        """Closes the parts before, behind their last request."""
        task = asyncio.create_task(self._dropped(before, after), name="autotier-retire")
        self._retiring.add(task)
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        gc.collect()  # parts lead to each other in circles, and rounds of its own are rare (`api.server`): 1 MB each
        if not task.cancelled() and task.exception() is not None:
            log.error("parts that a reload replaced could not be closed", exc_info=task.exception())


def opener(
    configuration: Configuration, source: str, host: str = "127.0.0.1", again: Source | None = None
) -> Callable[[], AbstractAsyncContextManager[Service]]:
    """Opens a `Service` for the lifetime of an application; the arguments are its."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Service]:
        service = Service(configuration, source, host, again)
        try:
            await service.open()
            yield service
        finally:
            await service.close()

    return opened


def _cache_of(
    configuration: Configuration, store: DecisionStore, error: JudgeError | None, before: Assembled | None
) -> OpenCache:
    """The cache before a reload where nothing that it was made from has changed, so that no answer is lost."""
    verifies = configuration.cache.verify is not None
    sections = ("cache", "state", "hosts", *(("tiers", "store") if verifies else ()))
    if before is not None and all(getattr(before.configuration, s) == getattr(configuration, s) for s in sections):
        if before.cache.cache is not None and before.cache.cache.verified is not None:
            before.cache.cache.verified.measured(error)
        return before.cache
    embedding = configuration.cache.semantic.embedding
    if embedding is None or not configuration.cache.enabled:
        return assemble_cache(configuration, None, store, error)
    embedder = local_embedder() if embedding.host is None else HostEmbedder(configuration, embedding)
    return assemble_cache(configuration, embedder, store, error)


def _verifier_of(
    configuration: Configuration, cache: OpenCache, chain: Chain, state: LimitState, recorder: Recorder
) -> Verifier | None:
    verify = configuration.cache.verify
    if verify is None or cache.cache is None or cache.cache.verified is None:
        return None
    judge = deployment_of(configuration, verify.judge)
    return Verifier(configuration, judge, cache.cache, cache.cache.verified, chain, state, recorder)


def _warmed(configuration: Configuration, source: str, before: Assembled | None) -> Classifier:
    """The classifier, after paying what the first request would else pay.

    The one before goes on where its settings and its folder are the same: a second stage loaded anew at every reload
    costs 25 MB that the process does not get back (``python -m tests.bench soak``).
    """
    if before is not None and before.configuration.classifier.loads_as(configuration.classifier):
        running = before.looker.classifier
        try:
            folder = artifact_in_use(configuration) or shipped_path()
            if running.artifact.path == folder and metadata_of(folder) == running.artifact.metadata:
                return running
        except ArtifactError:
            pass  # loading says what is wrong with it
    spoken = load_classifier(configuration, source)
    spoken.classify("warm up")
    return spoken


def _upstream_numbers(chain: Chain) -> dict[str, float]:
    """Holds and running requests over all deployments, swaps over all hosts, and what the operator has to mend."""
    shown = chain.snapshot()
    return {
        "held": len(shown["holds"]),
        "running": sum(shown["running"].values()),
        "swaps_total": sum(shown["swaps"].values()),
        "operator_faults": len(shown["operator"]),
    }
