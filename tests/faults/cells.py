"""What is played: faults, places in the chains, and the limits, which are shortened so that a cell takes no minute.

Shortened are (matrix, product): first token of a loaded local model 1 s (8 s), of a cold one 2 s (45 s), a cold attempt
adds 1 s (37 s) to the tier's 2.5 / 3 / 2 s (30 / 120 / 180 s), a pause 0.6 s (30 s), an answer 4 s (15 min), rests and
verdicts 0.2 s (15 s), a round of the prober 0.1 s (1 s); a load takes 0.3 s, and "cold" 1 s where it is 20 s at home.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from service.demo.hosts import HostSpec
from tests.house import FAST

SCALE = float(os.environ.get("FAULTS_SCALE", "1"))
"""Factor on every time of the suite, for a machine that is busy with other things."""

LIMITS: dict[str, Any] = {
    "connect_ms": round(300 * SCALE),
    "host_status_ms": round(1000 * SCALE),
    "remember_failed_s": 0.2 * SCALE,
    "cooldown_s": 0.2 * SCALE,
    "loaded_attempt_s": 1.0 * SCALE,
    "cold_attempt_s": 2.0 * SCALE,
    "cold_extra_s": 1.0 * SCALE,
    "between_tokens_s": 0.6 * SCALE,
    "answer_cap_s": 4.0 * SCALE,
    "host_status_remember_s": 0.5 * SCALE,
    "probe_every_s": 0.1,
}
FIRST_TOKEN_S = {"lightweight": 2.5 * SCALE, "coding": 3.0 * SCALE, "reasoning": 2.0 * SCALE}
HOSTS: dict[str, HostSpec] = {**FAST, "macbook": replace(FAST["macbook"], load_s=0.3 * SCALE)}
RETRY_AFTER_S = round(2 * SCALE)

CHAINS: dict[str, tuple[tuple[str, str], ...]] = {
    "lightweight": (("lightweight-mini", "mini"), ("lightweight-macbook", "macbook"), ("lightweight-cloud", "cloud1")),
    "coding": (("coding-local", "macbook"), ("coding-cloud", "cloud1")),
    "reasoning": (("reasoning-cloud", "cloud1"), ("reasoning-cloud-2", "cloud2")),
}
"""Deployment and host, in the configured order, as ``configs/two-macs.yaml`` has them."""

LOCAL_HOSTS = ("mini", "macbook")
OUT = frozenset({"preflight_failed", "remembered_down", "connect"})


@dataclass(frozen=True, slots=True)
class FaultCase:
    """One fault.

    Attributes:
        fault: In the words of the simulated hosts.
        local: Outcomes that the attempt at a local deployment may have.
        cloud: The same at a cloud.
        dies: It strikes after the first token.
        long: Needs a prompt so long that it is counted exactly.
        settles_s: Seconds before the request, in which what was remembered of the host is over: a host that answered
            within the last second is not connected to again, and what was loaded is believed for a while.
    """

    fault: str
    local: frozenset[str]
    cloud: frozenset[str]
    dies: bool = False
    long: bool = False
    settles_s: float = 0.0


def _both(fault: str, *outcomes: str, dies: bool = False) -> FaultCase:
    return FaultCase(fault, frozenset(outcomes), frozenset(outcomes), dies=dies)


_ANSWERED, _LATE = frozenset({"answered"}), frozenset({"first_token_timeout"})

FAULTS: dict[str, FaultCase] = {
    "refused": FaultCase("down", OUT, OUT),
    "black-holed connect": FaultCase("black-hole", OUT, OUT, settles_s=1.1),
    "accept and hang": FaultCase("hang", OUT | _LATE, _LATE),
    "headers then hang": _both("headers-then-hang", "first_token_timeout"),
    "slow first token, within the limit": _both(f"slow-first-token:s={0.4 * SCALE}", "answered"),
    "slow first token, beyond it": _both(f"slow-first-token:s={6 * SCALE}", "first_token_timeout"),
    "hang mid-stream": _both("hang-mid-stream", "token_timeout", dies=True),
    "reset mid-stream": _both("reset-mid-stream", "cut", "connect", dies=True),
    "clean end mid-stream": _both("cut", "cut", dies=True),
    "empty 200": _both("empty-200", "empty"),
    "HTML 200": _both("garbage", "garbage"),
    "broken line": _both("broken-line", "garbage", dies=True),
    "in-band error": _both("in-band-error", "error_event", dies=True),
    "400": _both("400", "bad_request"),
    "401": _both("401", "unauthorized"),
    "404": _both("404", "model_missing"),
    "429": _both(f"429:retry_after={RETRY_AFTER_S}", "rate_limited"),
    "500": _both("500", "server_error"),
    "503": _both("503", "server_error"),
    "context overflow": _both("context", "context"),
    "silent truncation": FaultCase("truncate", frozenset({"truncated"}), _ANSWERED, dies=True, long=True),
    "cold load": FaultCase(f"cold:s={SCALE}", _ANSWERED, _ANSWERED, settles_s=0.7 * SCALE),
    "wrong model served": FaultCase("wrong-model", frozenset({"wrong_model"}), _ANSWERED),
}
"""``silent truncation`` and ``wrong model`` are failures at home only: a cloud's are warnings (service/upstream)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One request: the hosts before ``position`` in the tier's chain are off, the one there has the fault."""

    tier: str
    position: int
    name: str
    stream: bool

    @property
    def case(self) -> FaultCase:
        """Its fault."""
        return FAULTS[self.name]

    @property
    def deployment(self) -> str:
        """The one with the fault."""
        return CHAINS[self.tier][self.position][0]

    @property
    def host(self) -> str:
        """Where the fault is."""
        return CHAINS[self.tier][self.position][1]

    @property
    def hosts_off(self) -> tuple[str, ...]:
        """Hosts before it."""
        return tuple(host for _, host in CHAINS[self.tier][: self.position])

    @property
    def healthy_after(self) -> tuple[str, ...]:
        """Deployments behind it that could answer."""
        return tuple(d for d, host in CHAINS[self.tier][self.position + 1 :] if host != self.host)

    @property
    def is_local(self) -> bool:
        """Whether the fault is at home."""
        return self.host in LOCAL_HOSTS

    @property
    def expected(self) -> frozenset[str]:
        """Outcomes that the attempt at the faulty deployment may have."""
        return self.case.local if self.is_local else self.case.cloud

    def __str__(self) -> str:
        return f"{self.tier} {self.position + 1} {self.name} {'stream' if self.stream else 'whole'}"


def all_cells() -> Iterator[Cell]:
    """Every fault at every place, streamed and not."""
    for tier, chain in CHAINS.items():
        for position in range(len(chain)):
            for name in FAULTS:
                for stream in (False, True):
                    yield Cell(tier, position, name, stream)


def short_cut() -> list[Cell]:
    """Every fault once, the places and streaming taken in turn so that each of them comes up."""
    places = [(tier, position) for tier, chain in CHAINS.items() for position in range(len(chain))]
    return [Cell(*places[n % len(places)], name, n // 2 % 2 == 0) for n, name in enumerate(FAULTS)]


def shortened(document: dict[str, Any]) -> None:
    """The shipped configuration with the limits of this suite."""
    document["limits"] = {**document.get("limits", {}), **LIMITS}
    document["store"]["flush_ms"] = 10
    for tier, seconds in FIRST_TOKEN_S.items():
        document["tiers"][tier]["first_token_s"] = seconds
        for deployment in document["tiers"][tier]["deployments"]:
            deployment["keep_warm"] = False  # a load in the background would change what is loaded under a cell
