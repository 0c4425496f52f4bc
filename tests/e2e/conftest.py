"""One house per module, its hosts put back before each test."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.house import House


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    """The house as shipped, without cooldowns so that tests do not see each other's faults."""

    def quick(document: dict[str, object]) -> None:
        document["limits"] = {"cooldown_s": 0.1, "remember_failed_s": 0.1, "host_status_remember_s": 0.3}

    with House(change=quick) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    """The house with its hosts as at their start."""
    running.reset()
    return running


@pytest.fixture
def client(house: House) -> Iterator[openai.OpenAI]:
    """The official client."""
    with house.client() as client:
        yield client
