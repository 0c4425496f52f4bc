"""What a stage costs: CPU time of this process, not of the clock on the wall."""

from __future__ import annotations

import time
from typing import Any

import classifier
from classifier.record import LabelledRequest
from classifier.tiers import Tier
from training.stage_cost import SAMPLE, stage_cost


class Sleeping:
    """A second stage that waits and computes nothing."""

    calls = 0

    def logits(self, view: Any) -> Any:
        """Wait."""
        self.calls += 1
        time.sleep(0.02)


def test_waiting_is_no_cost_and_every_stage_is_timed() -> None:
    """Two sleeps of 20 ms cost less CPU than one of them would take; a request is timed once."""
    rows = [LabelledRequest(id="a", source="s", tier=Tier.CODING, request=text) for text in ("write a test", "go on")]
    deep = Sleeping()
    model = classifier.Classifier(classifier.load(stages=1).artifact, deep)  # type: ignore[arg-type]

    found = stage_cost(model, rows, seed=0)

    assert found["sample"] == 2
    assert deep.calls == 2 + 2
    assert found["first stage"]["mean_ms"] > 0
    assert found["second stage"]["p95_ms"] < 20


def test_the_sample_is_bounded_and_a_missing_stage_is_not_timed() -> None:
    """A hundred requests at most."""
    rows = [LabelledRequest(id="a", source="s", tier=Tier.CODING, request="go on")] * (SAMPLE + 20)

    found = stage_cost(classifier.load(stages=1), rows, seed=0)

    assert found["sample"] == SAMPLE
    assert "second stage" not in found
