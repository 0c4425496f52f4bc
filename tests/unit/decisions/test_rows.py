"""What can be put into a record can be stored, and what is read back of feedback is what holds."""

from __future__ import annotations

import math

import orjson
from hypothesis import given
from hypothesis import strategies as some

from service.decisions.records import FeedbackRecord
from service.decisions.rows import merged, storable, to_json

scalars = some.none() | some.booleans() | some.integers() | some.floats() | some.text(some.characters())
json_values = some.recursive(
    scalars, lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4)
)


@given(json_values)
def test_any_value_becomes_json_that_reads_back(value: object) -> None:
    """JSON columns take anything that a body can hold, and orjson reads what is in them."""
    text = to_json(value)

    orjson.loads(text.encode("utf-8"))


@given(scalars)
def test_any_scalar_becomes_one_that_both_databases_take(value: object) -> None:
    """No NUL, no lone surrogate, no NaN, 64 bits; and what was fine is left as it is."""
    stored = storable(value)

    if isinstance(stored, str):
        assert "\x00" not in stored
        stored.encode("utf-8")
    if isinstance(stored, float):
        assert math.isfinite(stored)
    if isinstance(stored, int):
        assert -(2**63) <= stored < 2**63
    assert storable(stored) == stored


@given(
    some.lists(
        some.tuples(some.sampled_from(["anna", "bob"]), some.none() | some.booleans(), some.none() | some.text())
    )
)
def test_the_latest_word_on_each_point_holds(words: list[tuple[str, bool | None, str | None]]) -> None:
    """Merging equals replaying every statement into one slot per caller and point."""
    slots: dict[str, dict[str, object]] = {}
    for caller, solved, comment in words:
        mine = slots.setdefault(caller, {"solved": None, "comment": None})
        mine.update({name: said for name, said in (("solved", solved), ("comment", comment)) if said is not None})

    holds = merged(
        FeedbackRecord("dec_1", caller, float(i), solved=solved, comment=comment)
        for i, (caller, solved, comment) in enumerate(words)
    )

    assert {one.caller: {"solved": one.solved, "comment": one.comment} for one in holds} == slots


def test_what_was_said_and_what_was_concluded_stay_apart() -> None:
    """A concluded label of the same caller neither replaces nor completes the caller's own words."""
    spoken = FeedbackRecord("dec_1", "anna", 1.0, solved=True)
    concluded = FeedbackRecord("dec_1", "anna", 2.0, correct_tier="reasoning", source="regeneration", weight=0.5)

    assert merged([spoken, concluded]) == [spoken, concluded]
