"""A small world whose champion knows two domains of the team's requests not."""

from __future__ import annotations

import pytest

from training.month import World, world


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Champion, base data, traffic and held-out requests."""
    return world(tmp_path_factory.mktemp("world"), most_base=1_200)
