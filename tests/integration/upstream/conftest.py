"""Simulated hosts for the module, put back to their start before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.demo.hosts import HostSpec, SimulatedHost
from tests.integration.upstream.house import CODER, SMALL


@pytest.fixture(scope="module")
def _mini() -> Iterator[SimulatedHost]:
    spec = HostSpec(kind="ollama", name="mini", models=(SMALL,), loaded=(SMALL,), token_ms=1, first_token_ms=1)
    with SimulatedHost(spec) as host:
        yield host


@pytest.fixture(scope="module")
def _macbook() -> Iterator[SimulatedHost]:
    spec = HostSpec(
        kind="ollama",
        name="macbook",
        models=(SMALL, CODER),
        loaded=(CODER,),
        memory_gb=24,
        load_s=0.3,
        token_ms=1,
        first_token_ms=1,
    )
    with SimulatedHost(spec) as host:
        yield host


@pytest.fixture(scope="module")
def _cloud() -> Iterator[SimulatedHost]:
    with SimulatedHost(HostSpec(kind="openai", name="cloud", token_ms=1, first_token_ms=1)) as host:
        yield host


@pytest.fixture
def mini(_mini: SimulatedHost) -> SimulatedHost:
    """16 GB, the small model loaded."""
    _mini.reset()
    return _mini


@pytest.fixture
def macbook(_macbook: SimulatedHost) -> SimulatedHost:
    """24 GB, holds one of its two models at a time, the coder loaded."""
    _macbook.reset()
    return _macbook


@pytest.fixture
def cloud(_cloud: SimulatedHost) -> SimulatedHost:
    """Speaks OpenAI's protocol."""
    _cloud.reset()
    return _cloud
