"""The composition root: the one place that builds the adapters and puts the service together."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from classifier import Classifier
from service.api.auth import Authenticator
from service.api.gateway import ChatGateway
from service.api.parts import Parts
from service.config import Configuration
from service.decisions.recorder import Recorder
from service.decisions.store import DecisionStore
from service.errors import ConfigurationError
from service.metrics import Metrics
from service.routing.conversation import ConversationKeys
from service.routing.flow import Flow
from service.routing.look import Looker, load_classifier
from service.routing.matrix import matrices_of
from service.routing.tokens import encoding
from service.upstream.assemble import assemble
from service.upstream.chain import Chain

log = logging.getLogger("autotier")


def check_binding(configuration: Configuration, host: str, source: str) -> None:
    """Refuses an address beyond loopback while callers have no keys.

    Raises:
        ConfigurationError: With what to write instead.
    """
    if configuration.callers or is_loopback(host):
        return
    raise ConfigurationError(
        source,
        "server.host",
        f"{host} is reachable from other machines and no caller has a key",
        "add one under callers, or bind to 127.0.0.1",
    )


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def opener(configuration: Configuration, source: str) -> Callable[[], AbstractAsyncContextManager[Parts]]:
    """Opens the parts of a service over ``configuration``, for the lifetime of an application.

    Args:
        configuration: Checked configuration.
        source: Its file, for messages.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Parts]:
        spoken = load_classifier(configuration, source)
        store = DecisionStore.open(configuration.store.url)
        recorder = Recorder(store, flush_ms=configuration.store.flush_ms)
        chain = assemble(configuration)
        try:
            parts = _assembled(configuration, spoken, recorder, ConversationKeys(store.secret()), chain)
            await asyncio.to_thread(_warm, spoken)
            chain.start()
            yield parts
        finally:
            await chain.close()
            await asyncio.to_thread(recorder.close)
            store.close()

    return opened


def _assembled(
    configuration: Configuration, spoken: Classifier, recorder: Recorder, keys: ConversationKeys, chain: Chain
) -> Parts:
    metrics = Metrics()
    looker = Looker(spoken, matrices_of(configuration), configuration, keys)
    metrics.watch("store", recorder.snapshot)
    metrics.watch("upstream", lambda: _upstream_numbers(chain))
    metrics.watch("classifier", lambda: {"degraded_total": looker.degraded})
    gateway = ChatGateway(
        configuration=configuration,
        flow=Flow(configuration, looker, recorder, time.time),
        chain=chain,
        recorder=recorder,
        keys=keys,
        authenticator=Authenticator(configuration.callers),
        metrics=metrics,
    )
    return Parts(gateway=gateway, records=recorder)


def _upstream_numbers(chain: Chain) -> dict[str, float]:
    """Holds and running requests over all deployments, swaps over all hosts, and what the operator has to mend."""
    shown = chain.snapshot()
    return {
        "held": len(shown["holds"]),
        "running": sum(shown["running"].values()),
        "swaps_total": sum(shown["swaps"].values()),
        "operator_faults": len(shown["operator"]),
    }


def _warm(spoken: Classifier) -> None:
    """Pays before the first request what would else be paid by it."""
    encoding()
    spoken.classify("warm up")
