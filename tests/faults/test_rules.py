"""The short cut of the fault matrix: the cells that each rule is about. ``make faults`` plays all of them."""

from __future__ import annotations

import pytest

from tests.faults.cells import FAULTS, Cell
from tests.faults.play import play
from tests.faults.rules import RULES, violations
from tests.faults.scenarios import IN_A_HOUSE_OF_ITS_OWN, IN_THE_MATRIX, tell
from tests.house import House

pytestmark = pytest.mark.timeout(300)  # the first test waits for the house as well

CELLS: dict[str, tuple[Cell, ...]] = {
    "no_empty_success": (
        Cell("lightweight", 0, "empty 200", True),
        Cell("reasoning", 1, "empty 200", False),
        Cell("coding", 0, "HTML 200", True),
    ),
    "no_silent_cut": (
        Cell("coding", 1, "clean end mid-stream", True),
        Cell("lightweight", 0, "silent truncation", True),
        Cell("reasoning", 1, "broken line", True),
    ),
    "first_token_in_time": (
        Cell("reasoning", 0, "accept and hang", True),
        Cell("coding", 0, "headers then hang", False),
        Cell("lightweight", 0, "slow first token, beyond it", True),
    ),
    "nothing_after_the_cap": (Cell("coding", 0, "hang mid-stream", True),),
    "every_attempt_recorded": (
        Cell("lightweight", 1, "refused", False),
        Cell("coding", 0, "500", True),
        Cell("lightweight", 2, "503", True),
    ),
    "reasoning_never_local": (
        Cell("reasoning", 1, "refused", True),
        Cell("reasoning", 0, "404", False),
        Cell("reasoning", 1, "context overflow", False),
    ),
    "retry_after_is_kept": (Cell("coding", 0, "429", True), Cell("reasoning", 1, "429", False)),
    "clients_fault_is_not_paid_for": (Cell("lightweight", 0, "400", True), Cell("reasoning", 0, "400", False)),
    "operators_fault_is_told": (Cell("reasoning", 0, "401", False),),
    "next_host_answers": (
        Cell("lightweight", 0, "black-holed connect", False),
        Cell("coding", 0, "reset mid-stream", False),
        Cell("reasoning", 0, "in-band error", False),
    ),
    "failure_is_named": (
        Cell("lightweight", 0, "cold load", True),
        Cell("coding", 1, "slow first token, within the limit", False),
        Cell("coding", 0, "wrong model served", True),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule_holds(house: House, rule: str) -> None:
    """A rule of the matrix, in the cells that it is most about; the other rules hold there as well."""
    seen = [play(house, cell) for cell in CELLS[rule]]

    found = [said for one in seen for said in violations(one)]

    assert found == []


def test_short_cut_has_every_fault() -> None:
    """No fault of the matrix is left to ``make faults`` alone."""
    assert {cell.name for cells in CELLS.values() for cell in cells} == set(FAULTS)


@pytest.mark.parametrize(
    "name",
    [
        "Mini hangs, MacBook 500, cloud 429",
        "Mini flapping",
        "Mini off, traffic half light, half coding",
        "client leaves before the first token",
        "client leaves mid-stream",
        "Mini asleep in the middle of an answer",
        "Mini off and back",
    ],
)
def test_scenario_holds(house: House, name: str) -> None:
    """Several hosts, clients that leave, sleep and swaps."""
    story = tell(house, IN_THE_MATRIX[name])

    assert story.wrong == []


@pytest.mark.parametrize("name", IN_A_HOUSE_OF_ITS_OWN)
def test_optional_behaviour_holds(special_house: House, name: str) -> None:
    """The cap, busy hosts, hedging, continuing, keeping warm."""
    story = tell(special_house, IN_A_HOUSE_OF_ITS_OWN[name])

    assert story.wrong == []
