"""The short cut of the fault matrix over litellm's Router: every fault once, at changing places."""

from __future__ import annotations

import pytest

from tests.faults.cells import HOSTS, short_cut, shortened
from tests.faults.play import play
from tests.faults.rules import violations
from tests.house import House


@pytest.mark.timeout(400)  # starts litellm and plays two dozen cells
def test_rules_hold_over_the_router() -> None:
    """Each fault once, places and streaming in turn, all rules."""
    with House(way="router", change=shortened, hosts=HOSTS) as house:
        seen = [play(house, cell) for cell in short_cut()]

    assert [said for one in seen for said in violations(one)] == []
