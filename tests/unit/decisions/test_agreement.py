"""How often conclusions said what somebody said."""

from __future__ import annotations

import pytest

from service.decisions.agreement import Agreement, wilson


def test_the_interval_is_wilsons() -> None:
    """Figures of Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_sources_are_counted_apart() -> None:
    """Decisions with both, those that agree, and the share."""
    found = Agreement()
    for same in (True, True, False, True):
        found.add((("re_ask", same),))
    found.add((("ended", True), ("re_ask", True)))

    public = found.public()

    assert (public["re_ask"]["decisions"], public["re_ask"]["agree"], public["re_ask"]["share"]) == (5, 4, 0.8)
    assert public["ended"]["decisions"] == 1
    assert public["ended"]["interval"][1] == 1.0
