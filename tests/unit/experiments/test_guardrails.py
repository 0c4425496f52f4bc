"""An arm that fails, dawdles or overspends is stopped."""

from __future__ import annotations

from typing import Any

import pytest

from service.config.experiments import Guardrails
from service.decisions.records import DecisionRecord
from service.experiments.guardrails import Guard


def record(arm: str, number: int, **changes: Any) -> DecisionRecord:
    """An answered decision of an arm."""
    return DecisionRecord(
        **{
            "id": f"dec_{number:032x}", "created_s": 1.0, "caller": "local", "surface": "chat", "model_asked": "auto",
            "stream": False, "tier": "coding", "reason": "experiment", "confidence": 0.9, "displaced": None,
            "artifact": None, "deployment_id": "coding-local", "outcome": "answered", "status": 200,
            "first_token_ms": 10.0, "total_ms": 1_000.0, "prompt_tokens": 1, "completion_tokens": 1, "cost_usd": 0.01,
            "conversation": None, "finish_reason": "stop", "decision": {"experiment": {"name": "x", "arm": arm}},
        }
        | changes
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rails", "changes", "said"),
    [
        (Guardrails(errors=0.1), {"outcome": "failed"}, "failed"),
        (Guardrails(latency_p95_s=5), {"total_ms": 9_000.0}, "95th percentile 9.0 s"),
        (Guardrails(usd=0.3), {}, "spent"),
    ],
)
def test_each_guardrail_stops_its_arm_alone(rails: Guardrails, changes: dict[str, Any], said: str) -> None:
    """Sixty requests beyond a limit stop their arm; the other arm and other experiments go on."""
    guard = Guard("x", rails)

    guard.see(record("bad", i, **changes) for i in range(60))
    guard.see(record("good", i, cost_usd=0.0) for i in range(60))
    guard.see(record("other", i, outcome="failed", decision={"experiment": {"name": "y"}}) for i in range(60))

    assert set(guard.broken()) == {"bad"}
    assert said in guard.broken()["bad"]


def test_a_few_failures_at_the_start_stop_nothing() -> None:
    """Before `after_requests` errors and latency do not count."""
    guard = Guard("x", Guardrails(errors=0.1))

    guard.see(record("bad", i, outcome="failed") for i in range(49))

    assert guard.broken() == {}
