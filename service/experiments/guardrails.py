"""Guardrails: an arm that fails, dawdles or spends too much gets no more requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from service.config.experiments import Guardrails
from service.decisions.records import DecisionRecord

KEPT = 5_000
"""Latest latencies of an arm that its percentile is taken from."""


@dataclass(slots=True)
class _Seen:
    requests: int = 0
    failed: int = 0
    usd: float = 0.0
    seconds: list[float] = field(default_factory=list)


class Guard:
    """Counts what the arms of one experiment did.

    Args:
        name: The experiment.
        rails: Its guardrails.
    """

    def __init__(self, name: str, rails: Guardrails) -> None:
        self._name = name
        self._rails = rails
        self._arms: defaultdict[str, _Seen] = defaultdict(_Seen)

    def see(self, records: Iterable[DecisionRecord]) -> None:
        """Counts decisions; those of no arm are passed over. Give each one once."""
        for record in records:
            exposure = record.decision.get("experiment") or {}
            if exposure.get("name") != self._name or record.outcome == "refused":
                continue
            seen = self._arms[str(exposure.get("arm"))]
            seen.requests += 1
            seen.failed += record.outcome in ("failed", "cut")
            seen.usd += record.cost_usd
            seen.seconds = [*seen.seconds[-KEPT + 1 :], record.total_ms / 1000]

    def broken(self) -> dict[str, str]:
        """Arms beyond a guardrail, with what happened."""
        found = {}
        for arm, seen in self._arms.items():
            why = self._why(seen)
            if why is not None:
                found[arm] = why
        return found

    def _why(self, seen: _Seen) -> str | None:
        rails = self._rails
        if rails.usd is not None and seen.usd > rails.usd:
            return f"spent {seen.usd:.4f} $ of {rails.usd:g}"
        if seen.requests < rails.after_requests:
            return None
        if rails.errors is not None and seen.failed > rails.errors * seen.requests:
            return f"{seen.failed} of {seen.requests} requests failed, more than {rails.errors:.0%}"
        slow = float(np.quantile(seen.seconds, 0.95))
        if rails.latency_p95_s is not None and slow > rails.latency_p95_s:
            return f"95th percentile {slow:.1f} s, more than {rails.latency_p95_s:g} s"
        return None
