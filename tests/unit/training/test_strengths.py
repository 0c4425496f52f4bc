"""Which strength of a correction is taken, and what `train` says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.cli.train import shown
from training.challenger import Retrained
from training.correction import Tried, choose
from training.offsets import Strength


def tried(penalty: float, labels: float, *too_far: str) -> Tried:
    """A strength with its figures; labels had .56 before."""
    base = {"loss": 0.342, "loss_before": 0.34, "accuracy": 0.9, "accuracy_before": 0.901, "worst_class": -0.003}
    return Tried(Strength(penalty, 1.0), labels, 0.56, base, too_far)


def test_the_best_on_labels_among_those_that_spare_base_rows_is_taken() -> None:
    """Not the best of all."""
    assert choose([tried(100, 0.54), tried(30, 0.52), tried(10, 0.49, "log loss")]) == 1


def test_where_all_cost_too_much_the_weakest_is_taken() -> None:
    """The gate will judge it."""
    assert choose([tried(100, 0.54, "log loss"), tried(30, 0.52, "log loss")]) == 0


def lines(*all_tried: Tried) -> list[str]:
    """What `train` prints about them."""
    chosen = choose(all_tried)
    labels: dict[str, Any] = {"used": 20, "read": 20, "by_source": {}, "weight_by_source": {}, "by_tier": {}}
    report = {
        "parent": "champion-1", "mode": "full", "labels": {**labels, "by_caller": {}},
        "strengths": [one.public(number == chosen) for number, one in enumerate(all_tried)],
    }  # fmt: skip
    printed = list(shown(Retrained(Path("a"), "tuned-1", report, ())))
    start = next(number for number, line in enumerate(printed) if line.startswith("strengths"))
    return printed[start + 2 :]


def test_each_strength_has_a_line_and_the_taken_one_a_mark_and_a_reason() -> None:
    """Change of log loss on held-out labels and base rows; why others were not taken."""
    weak, taken, strong = lines(tried(100, 0.54), tried(30, 0.52), tried(10, 0.49, "log loss by more than 0.0075"))

    assert taken.split()[:5] == ["*", "30", "1", "-0.040", "+0.0020"]
    assert "the best on labels that spares base rows" in taken
    assert "*" not in weak + strong
    assert "too far: base rows lose log loss by more than 0.0075" in strong


def test_a_weakest_that_is_too_far_says_both() -> None:
    """Nobody takes it for a good one."""
    line = lines(tried(100, 0.54, "log loss"))[0]

    assert "the weakest, yet too far" in line
