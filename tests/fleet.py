"""A fleet for tests: replicas of the service as processes, started from ``configs/team.yaml``, behind a balancer."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from service.config.seed import shipped
from service.demo.hosts import SimulatedHost
from service.demo.scenario import KEY
from tests.balancer import Balancer
from tests.house import FAST, House
from tests.servers import RedisServer, empty_database, postgresql_server

OPERATOR = "operator-key"
TEAM = Path(str(shipped("team.yaml")))


def stored(key: str) -> str:
    """A key as a file of callers has it."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def bearer(caller: str) -> dict[str, str]:
    """The header of a caller: its key is its name and ``-key``."""
    return {"authorization": f"Bearer {caller}-key"}


class Replica(House):
    """One replica over hosts that are not its own."""

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="autotier-replica-")))
        self.file = TEAM
        if self._change is not None:
            self.file = self.folder / "team.yaml"
            self.file.write_text(TEAM.read_text(encoding="utf-8"), encoding="utf-8")
            self.change(self._change)
        try:
            self.start()
        except BaseException:
            self.__exit__()  # the process would outlive the test
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(kill=True)  # politely it would wait for a balancer first (drain_s)
        self._stack.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.base.rpartition(":")[2])


class Fleet:
    """Two replicas, one Redis, one PostgreSQL, the demo's hosts, a balancer.

    Args:
        callers: Limits and rights by name, beside the operator; keys as `bearer` has them.

    Attributes:
        hosts: The simulated hosts by name.
        environment: What a replica needs of the environment.
        redis: The Redis.
        replicas: Both replicas.
        balancer: In front of them.
    """

    def __init__(self, callers: Mapping[str, Mapping[str, Any]]) -> None:
        self._callers = callers
        self._stack = ExitStack()
        self.hosts: dict[str, SimulatedHost] = {}
        self.replicas: list[Replica] = []

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        try:
            self.redis = enter(RedisServer())
            store = enter(empty_database(enter(postgresql_server())))
            self.hosts = {name: enter(SimulatedHost(spec)) for name, spec in FAST.items()}
            keys = Path(enter(tempfile.TemporaryDirectory(prefix="autotier-keys-"))) / "keys.yaml"
            keys.write_text(yaml.safe_dump({"callers": [_caller(name, more) for name, more in self._callers.items()]}))
            self.environment = self._environment(store, keys)
            with ThreadPoolExecutor(2) as pool:  # each takes seconds
                self.replicas = list(
                    pool.map(lambda _: enter(Replica(change=_patient, environment=self.environment)), range(2))
                )
            self.balancer = enter(Balancer([replica.port for replica in self.replicas]))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def reset(self) -> None:
        """Hosts as at their start, nothing held. What callers have used stays."""
        for host in self.hosts.values():
            host.reset()
        self.redis.client.delete("autotier:holds")
        for replica in self.replicas:
            replica.reset()

    def ask(self, text: str, caller: str, **fields: Any) -> httpx.Response:
        """One chat request through the balancer, on a connection of its own."""
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        url = f"http://127.0.0.1:{self.balancer.port}/v1/chat/completions"
        return httpx.post(url, json=body, headers=bearer(caller), trust_env=False, timeout=60)

    def decision(self, decision_id: str, replica: House) -> dict[str, Any]:
        """A record as one replica knows it, read by the operator."""
        return replica.decision(decision_id, headers={"authorization": f"Bearer {OPERATOR}"})

    def _environment(self, store: str, keys: Path) -> dict[str, str]:
        return {
            "REDIS_URL": self.redis.url,
            "POSTGRES_URL": store,
            "KEYS_FILE": str(keys),
            "OPERATOR_KEY": OPERATOR,
            "MINI_URL": self.hosts["mini"].address,
            "MACBOOK_URL": self.hosts["macbook"].address,
            "OPENAI_BASE_URL": self.hosts["cloud1"].address + "/v1",
            "OPENAI_API_KEY": KEY,
            "OPENROUTER_BASE_URL": self.hosts["cloud2"].address + "/v1",
            "OPENROUTER_API_KEY": KEY,
        }


def _patient(document: dict[str, Any]) -> None:
    """A loaded test machine must not look like a slow Redis."""
    document["state"]["timeout_ms"] = 5000


def _caller(name: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "key": stored(f"{name}-key"), **more}
