"""Real host processes, started once per module and put back before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from service.demo.hosts import HostSpec, SimulatedHost

LOCAL = HostSpec(
    kind="ollama",
    name="mini",
    models=("qwen3:8b", "qwen3-coder:30b", "gemma3:4b", "nomic-embed-text"),
    loaded=("qwen3:8b",),
    memory_gb=24,
    load_s=0.05,
    token_ms=1,
    first_token_ms=1,
)
CLOUD = HostSpec(kind="openai", name="cloud1", keys=("sk-simulated-1234",), token_ms=1, first_token_ms=1)


@pytest.fixture(scope="module")
def ollama_process() -> Iterator[SimulatedHost]:
    """One Ollama host for the module."""
    with SimulatedHost(LOCAL) as host:
        yield host


@pytest.fixture(scope="module")
def openai_process() -> Iterator[SimulatedHost]:
    """One OpenAI host for the module."""
    with SimulatedHost(CLOUD) as host:
        yield host


@pytest.fixture
def ollama(ollama_process: SimulatedHost) -> SimulatedHost:
    """The Ollama host as at its start."""
    ollama_process.reset()
    return ollama_process


@pytest.fixture
def cloud(openai_process: SimulatedHost) -> SimulatedHost:
    """The OpenAI host as at its start."""
    openai_process.reset()
    return openai_process


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client that waits one second and follows no proxy of the environment."""
    async with httpx.AsyncClient(timeout=httpx.Timeout(1.0), trust_env=False) as client:
        yield client
