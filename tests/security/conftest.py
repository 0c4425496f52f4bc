"""One house for hostile requests, its hosts put back before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house import House


def quick(document: dict[str, object]) -> None:
    """Faults of one test are forgotten before the next."""
    document["limits"] = {"cooldown_s": 0.1, "remember_failed_s": 0.1, "host_status_remember_s": 0.3}


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    """The house as shipped, and with images everywhere so that no capability hides what is tested."""

    def change(document: dict[str, dict[str, dict[str, list[dict[str, object]]]]]) -> None:
        quick(document)  # type: ignore[arg-type]
        for tier in document["tiers"].values():
            for deployment in tier["deployments"]:
                deployment["capabilities"] = {"images": True}

    with House(change=change) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    """The house with its hosts as at their start."""
    running.reset()
    return running
