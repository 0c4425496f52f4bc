"""The machines of the house: which model is loaded where, how long a load takes, and who would answer soonest.

The order (DESIGN, "Chain"): local deployments of a group go by least expected wait, which is the load time if the
model is not loaded plus the rest of a running generation if no slot is free. Equal waits keep the configured order.
Clouds are never moved forward.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from classifier import Tier
from service.config import Configuration, Deployment
from service.upstream.health import Clock, Health
from service.upstream.host_status import HostStatus, StatusClient, StatusUnavailable
from service.upstream.plan import Plan
from service.upstream.preflight import Endpoint, Preflight, Unreachable

log = logging.getLogger("autotier.upstream")

UNMEASURED_LOAD_S = 10.0
"""Load time of a model that has not been seen loading (DESIGN, "Chain")."""

SEEN_LOADED_S = 240.0
"""How long a model counts as loaded after an answer, where the host does not say (Ollama keeps one for 5 minutes)."""

_SIZES_KEPT_S = 60.0


class Fleet:
    """Knows the hosts behind deployments and orders the local ones.

    Args:
        configuration: Hosts, groups and limits.
        health: Verdicts and slots.
        preflight: Reaches hosts.
        clock: Seconds, monotonic.
        status: Asks hosts for the sizes of models that are not loaded; None makes one.
    """

    def __init__(
        self,
        configuration: Configuration,
        health: Health,
        preflight: Preflight,
        *,
        clock: Clock = time.monotonic,
        status: StatusClient | None = None,
    ) -> None:
        self._configuration = configuration
        self._health = health
        self._preflight = preflight
        self._clock = clock
        self._sizes_client = status or StatusClient()
        self._tier_of = {d.id: tier for tier, d in configuration.deployments()}
        self.by_id: Mapping[str, Deployment] = {d.id: d for _, d in configuration.deployments()}
        self._endpoints = {d.id: _endpoint(configuration, d) for d in self.by_id.values()}
        self._local = frozenset(d.id for d in self.by_id.values() if configuration.is_local(d))
        self._at_home = {self._endpoints[deployment_id].name for deployment_id in self._local}
        self._load_s: dict[str, float] = {}
        self._answered_s: dict[str, float] = {}
        self._sizes: dict[str, tuple[float, Mapping[str, int]]] = {}
        self._counting: set[asyncio.Task[None]] = set()
        self.swaps: Counter[str] = Counter()

    def endpoint(self, deployment: Deployment) -> Endpoint:
        """The host of ``deployment`` as the pre-flight sees it."""
        return self._endpoints[deployment.id]

    def endpoints(self) -> dict[str, Endpoint]:
        """All hosts by the name of their verdict, for looks that no request asked for.

        A cloud that is not in use is one that is asked for nothing: a connection is all that it gets.
        """
        return {
            e.name: e if e.name in self._at_home or self._preflight.in_use(e) else replace(e, ollama=False)
            for e in self._endpoints.values()
        }

    def fading(self) -> list[Endpoint]:
        """Ollama hosts of the house or in use whose loaded models are about to be forgotten."""
        return [
            e for e in self.endpoints().values() if self._preflight.wants_refresh(e, always=e.name in self._at_home)
        ]

    def unseen(self) -> list[Endpoint]:
        """Hosts that nobody has reached yet and that are not held."""
        found = self.endpoints().values()
        return [e for e in found if not self._preflight.seen(e) and self._health.verdict(e.name) is None]

    def is_seen(self, deployment: Deployment) -> bool:
        """Whether the host of ``deployment`` was reached and has not failed since."""
        return self._preflight.seen(self.endpoint(deployment))

    def hosts(self) -> dict[str, dict[str, Any]]:
        """What is known of every host, by its name of the configuration.

        Returns:
            ``reachable`` (True, False, or None: not seen yet), ``loaded`` {model: bytes} or None where unknown,
            ``busy`` (our requests under way), ``tokens_per_s`` and ``load_s`` as measured, by deployment.
        """
        shown: dict[str, dict[str, Any]] = {}
        speeds = self._health.snapshot()["tokens_per_s"]
        for d in self.by_id.values():
            endpoint = self.endpoint(d)
            status = self._preflight.status(endpoint)
            down = self._health.verdict(endpoint.name) is not None
            host = shown.setdefault(
                d.host, {"reachable": None, "loaded": None, "busy": 0, "tokens_per_s": {}, "load_s": {}}
            )
            host["reachable"] = False if down else True if self._preflight.seen(endpoint) else host["reachable"]
            host["loaded"] = dict(status.loaded) if status and status.loaded is not None else host["loaded"]
            host["busy"] += self._health.running(d.id)
            host["tokens_per_s"] |= {d.id: speeds[d.id]} if d.id in speeds else {}
            host["load_s"] |= {d.id: self._load_s[d.id]} if d.id in self._load_s else {}
        return shown

    def twin(self, head: Deployment, remaining: Iterable[Deployment]) -> Deployment | None:
        """Another host's deployment of the same model and tier that could answer right now, or None."""
        return next(
            (
                d
                for d in remaining
                if d.model == head.model
                and self.tier_of(d) is self.tier_of(head)
                and self.is_local(d) is self.is_local(head)
                and self.endpoint(d).name != self.endpoint(head).name
                and not self.is_out(d)
                and self._health.slot_free(d)
                and (not self.is_local(d) or self.is_loaded(d))
            ),
            None,
        )

    def tier_of(self, deployment: Deployment) -> Tier:
        """The tier in whose group ``deployment`` stands."""
        return self._tier_of[deployment.id]

    def status(self, deployment: Deployment) -> HostStatus | None:
        """What the host of ``deployment`` has loaded, if that is known."""
        return self._preflight.status(self.endpoint(deployment))

    def running_beside(self, deployment: Deployment) -> bool:
        """Whether a request of ours is under way at the same host."""
        here = self.endpoint(deployment).name
        return any(self._health.running(d.id) for d in self.by_id.values() if self.endpoint(d).name == here)

    def would_put_out(self, deployment: Deployment) -> bool:
        """Whether loading the model would put another one out of its host's memory, as far as that is known."""
        status = self.status(deployment)
        if status is None or not status.loaded:
            return False
        if self._configuration.hosts[deployment.host].memory_gb is None or not self._size_of(
            self.endpoint(deployment), deployment.model
        ):
            return True  # nobody can tell: leave it alone
        return bool(self._evicted_by(deployment, status))

    def waits_for_another_model(self, deployment: Deployment) -> bool:
        """Whether the model would first have to wait for a running generation of one that must make room."""
        if self.is_loaded(deployment) is not False:
            return False
        return any(self._health.running(rival) for rival in self._evicted_by(deployment, self.status(deployment)))

    def warmed(self, deployment: Deployment, *, took_s: float) -> None:
        """A model was loaded, or had its stay prolonged, without a request."""
        if self.is_loaded(deployment) is False:
            self._load_s[deployment.id] = took_s
        self._preflight.forget_status(self.endpoint(deployment))

    def is_local(self, deployment: Deployment) -> bool:
        """Whether ``deployment`` stands in the house."""
        return deployment.id in self._local

    def usd_per_s(self, deployment: Deployment) -> float:
        """US dollars of electricity for each second that it answers."""
        return self._configuration.hosts[deployment.host].usd_per_s

    def is_loaded(self, deployment: Deployment) -> bool | None:
        """Whether the model is in the host's memory: True, False, or None where nobody has seen it yet."""
        status = self._preflight.status(self.endpoint(deployment))
        if status is not None and status.loaded is not None:
            return status.has_loaded(deployment.model)
        answered = self._answered_s.get(deployment.id)
        return True if answered is not None and self._clock() - answered < SEEN_LOADED_S else None

    def first_token(self, deployment: Deployment, *, cold: bool, took_s: float) -> None:
        """Learns from an answer that begins: the host is up, the model is loaded, a cold one took so long."""
        endpoint = self.endpoint(deployment)
        self._preflight.answered(endpoint)
        self._health.host_up(endpoint.name)
        self._answered_s[deployment.id] = self._clock()
        if cold:
            self._load_s[deployment.id] = took_s
            self._preflight.forget_status(endpoint)

    def lost(self, deployment: Deployment, detail: str) -> None:
        """A call could not connect though the pre-flight could: the verdict holds for the whole host."""
        endpoint = self.endpoint(deployment)
        self._preflight.forget_connection(endpoint)
        self._health.host_down(endpoint.name, detail)

    def expected_wait_s(self, deployment: Deployment) -> float:
        """Seconds until ``deployment`` would begin to answer, generation of the prompt left out."""
        wait = 0.0
        if self.is_loaded(deployment) is False:
            wait += self._load_s.get(deployment.id, UNMEASURED_LOAD_S)
            rivals = self._evicted_by(deployment, self._preflight.status(self.endpoint(deployment)))
            wait += max((self._health.rest_of_running_s(rival) for rival in rivals), default=0.0)
        if not self._health.slot_free(deployment):
            wait += self._health.rest_of_running_s(deployment.id)
        return wait

    async def next(self, plan: Plan, remaining: Sequence[Deployment], stand_ins: Sequence[Deployment]) -> Deployment:
        """Which deployment the chain comes to next.

        Args:
            plan: The request; gets a note where the order differs from the configured one.
            remaining: Configured order, not empty, what was tried left out.
            stand_ins: Those of the plan that were not tried.
        """
        head = remaining[0]
        if not self.is_local(head) or self.is_out(head):
            return head  # a cloud keeps its place; one that is out is passed over, and the record says so
        await self._reach([head])
        if self.is_out(head):
            return head
        group = [d for d in remaining if self.is_local(d) and self._tier_of[d.id] is self._tier_of[head.id]]
        if self.expected_wait_s(head) == 0.0:
            return head
        await self._reach(group)
        usable = [d for d in group if not self.is_out(d)]
        if self._tier_of[head.id] is plan.tier and not self._other_host_usable(plan, head):
            usable += [s for s in stand_ins if self._stands_in(s, head)]
        if not usable:  # another request has just found out that the host is down
            return head
        best = min(usable, key=self.expected_wait_s)  # min keeps the first of equals
        if best is not head:
            plan.notes.append(
                f"{best.id} before {head.id}: expected wait {self.expected_wait_s(best):.1f} s"
                f" against {self.expected_wait_s(head):.1f} s"
            )
        return best

    def loads(self, deployment: Deployment) -> None:
        """A cold model is about to load: counts a swap if that puts another one out of its host's memory.

        Returns at once; sizes that are not known yet are asked for beside the request.
        """
        status = self._preflight.status(self.endpoint(deployment))
        if status is None or not status.loaded:
            return
        task = asyncio.create_task(self._count_swap(deployment, status))
        self._counting.add(task)
        task.add_done_callback(self._counting.discard)

    async def close(self) -> None:
        """Closes connections."""
        for task in list(self._counting):
            task.cancel()
        await self._preflight.close()
        await self._sizes_client.close()

    async def _count_swap(self, deployment: Deployment, before: HostStatus) -> None:
        await self.learn_sizes(self.endpoint(deployment))
        if self._evicted_by(deployment, before):
            self.swaps[deployment.host] += 1

    def is_out(self, deployment: Deployment) -> bool:
        """Whether ``deployment`` rests or its host is remembered as down."""
        held = self._health.cooldown(deployment) or self._health.verdict(self.endpoint(deployment).name)
        return held is not None

    def _other_host_usable(self, plan: Plan, head: Deployment) -> bool:
        here = self.endpoint(head).name
        tried_and_failed = {a.deployment_id for a in plan.attempts}
        return any(
            self.is_local(d)
            and self._tier_of[d.id] is plan.tier
            and self.endpoint(d).name != here
            and d.id not in tried_and_failed
            and not self.is_out(d)
            for d in plan.deployments
        )

    def _stands_in(self, stand_in: Deployment, head: Deployment) -> bool:
        return (
            self.endpoint(stand_in).name == self.endpoint(head).name
            and self.is_loaded(stand_in) is True
            and not self.is_out(stand_in)
        )

    async def _reach(self, deployments: Iterable[Deployment]) -> None:
        """Brings verdicts and loaded models up to date; what fails is remembered as down."""
        endpoints = {self.endpoint(d).name: self.endpoint(d) for d in deployments if not self.is_out(d)}
        if len(endpoints) == 1:
            await self.reach(*endpoints.values())
        else:
            await asyncio.gather(*(self.reach(endpoint) for endpoint in endpoints.values()))

    async def reach(self, endpoint: Endpoint, *, afresh: bool = False) -> bool:
        """One pre-flight, its verdict remembered.

        Returns:
            Whether the host was reached.
        """
        try:
            await self._preflight.check(endpoint, afresh=afresh)
        except Unreachable as error:
            self._preflight.forget_connection(endpoint)
            self._health.host_down(endpoint.name, str(error))
            return False
        self._health.host_up(endpoint.name)
        return True

    def _evicted_by(self, deployment: Deployment, status: HostStatus | None) -> list[str]:
        """Ids of deployments whose loaded model does not fit the host beside that of ``deployment``."""
        memory_gb = self._configuration.hosts[deployment.host].memory_gb
        endpoint = self.endpoint(deployment)
        if memory_gb is None or status is None or not status.loaded or status.has_loaded(deployment.model):
            return []
        wanted = self._size_of(endpoint, deployment.model)
        if sum(status.loaded.values()) + wanted <= memory_gb * 1e9:
            return []
        return [
            d.id for d in self.by_id.values() if self.endpoint(d).name == endpoint.name and status.has_loaded(d.model)
        ]

    def _size_of(self, endpoint: Endpoint, model: str) -> int:
        _, sizes = self._sizes.get(endpoint.name, (0.0, {}))
        return next((size for name, size in sizes.items() if _same_tag(model, name)), 0)

    async def learn_sizes(self, endpoint: Endpoint) -> None:
        """Asks what memory the host's models take, at most once a minute; failing is fine."""
        asked, _ = self._sizes.get(endpoint.name, (None, {}))
        if not endpoint.ollama or (asked is not None and self._clock() - asked < _SIZES_KEPT_S):
            return
        try:
            async with asyncio.timeout(1.0):
                sizes = await self._sizes_client.available(endpoint.base, endpoint.key)
        except (TimeoutError, StatusUnavailable):
            return  # sizes only advise; the attempt itself shows what is wrong with the host
        self._sizes[endpoint.name] = (self._clock(), sizes or {})


def _same_tag(model: str, name: str) -> bool:
    return model.casefold().removesuffix(":latest") == name.casefold().removesuffix(":latest")


def _endpoint(configuration: Configuration, deployment: Deployment) -> Endpoint:
    ollama = deployment.provider in ("ollama", "ollama_chat")
    address = configuration.address_of(deployment)
    return Endpoint.of(address, ollama=ollama, key=configuration.key_of(deployment) if ollama else None)
