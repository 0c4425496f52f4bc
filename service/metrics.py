"""Prometheus metrics of the service, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.metric_texts import text_of

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)

Snapshot = Callable[[], Mapping[str, float]]


class Metrics:
    """Counters of requests and attempts, and gauges read from the parts when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "autotier_requests",
            "Requests by tier, reason and how they ended.",
            ("tier", "reason", "outcome"),
            registry=self.registry,
        )
        self.attempts = Counter(
            "autotier_attempts",
            "Attempts by deployment and outcome.",
            ("deployment", "outcome"),
            registry=self.registry,
        )
        self.first_token = Histogram(
            "autotier_first_token_seconds",
            "Time to the first token by tier.",
            ("tier",),
            registry=self.registry,
            buckets=SECONDS,
        )
        self.cost = Counter("autotier_cost_usd", "Cost by deployment.", ("deployment",), registry=self.registry)
        self.cache = Counter(
            "autotier_cache_requests", "Requests by what the cache did.", ("tier", "status"), registry=self.registry
        )
        self.saved_usd = Counter(
            "autotier_cache_saved_usd", "Cost of answers given again.", ("tier",), registry=self.registry
        )
        self.saved_s = Counter(
            "autotier_cache_saved_seconds",
            "Time that answers given again had taken.",
            ("tier",),
            registry=self.registry,
        )
        self.judge = Counter(
            "autotier_judge",
            "Requests that were unsure enough for classifier.judge, by what came of it.",
            ("result",),
            registry=self.registry,
        )
        self.embedding = Counter(
            "autotier_embedding",
            "Requests that were unsure enough for the artifact's embedding, by what came of it.",
            ("result",),
            registry=self.registry,
        )
        self.limited = Counter(
            "autotier_limited", "Requests refused by a limit of ours.", ("caller", "limit"), registry=self.registry
        )
        self.reloads = Counter("autotier_reloads", "Reloads by result.", ("result",), registry=self.registry)
        self._watched: dict[str, _Snapshots] = {}
        self._first_tokens: dict[str, Histogram] = {}
        self._children: dict[tuple[Counter, tuple[str, ...]], Counter] = {}
        self.feedback = Counter("autotier_feedback", "Feedback by kind.", ("kind",), registry=self.registry)

    def count(self, counter: Counter, *labels: str, amount: float = 1.0) -> None:
        """Adds to a counter with these labels, which prometheus_client would look up under a lock each time."""
        child = self._children.get((counter, labels))
        if child is None:
            child = self._children[counter, labels] = counter.labels(*labels)
        child.inc(amount)

    def embedded(self, result: str) -> None:
        """Counts a request by what came of the artifact's embedding."""
        self.count(self.embedding, result)

    def observe_first_token(self, tier: str, seconds: float) -> None:
        """Adds to the histogram of first tokens, as `count` does."""
        child = self._first_tokens.get(tier)
        if child is None:
            child = self._first_tokens[tier] = self.first_token.labels(tier)
        child.observe(seconds)

    def watch(self, prefix: str, snapshot: Snapshot) -> None:
        """Shows the numbers of ``snapshot()`` as ``autotier_<prefix>_<key>``: counters where a key ends in ``_total``.

        A second call with the same prefix, after a reload, takes the place of the first.
        """
        if prefix in self._watched:
            self._watched[prefix].snapshot = snapshot
        else:
            self._watched[prefix] = _Snapshots(prefix, snapshot)
            self.registry.register(self._watched[prefix])

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)


class _Snapshots(Collector):
    def __init__(self, prefix: str, snapshot: Snapshot) -> None:
        self._prefix = prefix
        self.snapshot = snapshot

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        for name, value in self.snapshot().items():
            number = f"{self._prefix}_" + "".join(c if c.isalnum() else "_" for c in name)
            # OpenMetrics keeps `_total` for counters; the exposition adds it to their names again.
            plain = number.removesuffix("_total")
            family = GaugeMetricFamily if plain == number else CounterMetricFamily
            yield family(f"autotier_{plain}", text_of(plain), value=value)
