"""The matrix's house, once per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cells import HOSTS, shortened
from tests.faults.scenarios import SPECIAL_HOSTS, special
from tests.house import House


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """The shipped configuration with short limits; `play` and `tell` put it back themselves."""
    with House(change=shortened, hosts=HOSTS) as made:
        yield made


@pytest.fixture(scope="module")
def special_house() -> Iterator[House]:
    """Slow tokens at the Mini, hedging and continuing on."""
    with House(change=special, hosts=SPECIAL_HOSTS) as made:
        yield made
