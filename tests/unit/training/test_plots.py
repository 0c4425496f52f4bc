"""What the plots draw is what the report holds."""

from __future__ import annotations

from training.plots import AXES, lines_of

BINS = {"bins": [{"probability": 0.4, "frequency": 0.5, "share": 1.0}]}


def test_the_lines_are_the_numbers_of_the_report() -> None:
    """Reliability by arm and by tier, reached from the origin on, cost in cents against what suffices."""
    pooled = {
        "calibration_by_arm": {"first stage": {"top label": BINS, "coding": BINS}},
        "calibration": {"top label": BINS, "coding": BINS},
        "reached": {"first stage": {0.5: 0.8, 1.0: 1.0}},
        "cost": {"curves": {"first stage": [{"cents": 5.0, "enough": 0.6}, {"cents": 9.0, "enough": 1.0}]}},
    }

    found = lines_of(pooled)

    assert set(found) == set(AXES)
    assert found["reliability"] == {"first stage": ([0.4], [0.5])}
    assert set(found["reliability_tiers"]) == {"coding"}
    assert found["reached"]["first stage"] == ([0.0, 0.5, 1.0], [0.0, 0.8, 1.0])
    assert found["cost"]["first stage"] == ([5.0, 9.0], [0.6, 1.0])
