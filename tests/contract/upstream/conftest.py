"""One Ollama host and one cloud, and litellm's Router in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from service.config import Configuration
from service.demo.hosts import HostSpec, SimulatedHost
from service.upstream.router_way import RouterWay

KEY = "sk-simulated-4321"


@pytest.fixture(scope="module")
def _mini() -> Iterator[SimulatedHost]:
    model = ("qwen3:8b",)
    spec = HostSpec(kind="ollama", name="mini", models=model, loaded=model, token_ms=1, first_token_ms=1)
    with SimulatedHost(spec) as host:
        yield host


@pytest.fixture(scope="module")
def _cloud() -> Iterator[SimulatedHost]:
    with SimulatedHost(HostSpec(kind="openai", name="cloud", keys=(KEY,), token_ms=1, first_token_ms=1)) as host:
        yield host


@pytest.fixture
def mini(_mini: SimulatedHost) -> SimulatedHost:
    """As at its start."""
    _mini.reset()
    return _mini


@pytest.fixture
def cloud(_cloud: SimulatedHost) -> SimulatedHost:
    """As at its start."""
    _cloud.reset()
    return _cloud


@pytest.fixture
def configuration(mini: SimulatedHost, cloud: SimulatedHost) -> Configuration:
    """A local deployment and two in the cloud, one of them behind a closed port."""
    return Configuration.model_validate(
        {
            "hosts": {
                "mini": {"address": mini.address, "local": True},
                "cloud": {"address": cloud.openai_base, "key": KEY},
                "nowhere": {"address": "http://127.0.0.1:9/v1", "key": KEY},
            },
            "tiers": {
                "lightweight": {
                    "first_token_s": 30,
                    "deployments": [
                        {
                            "id": "local",
                            "host": "mini",
                            "provider": "ollama",
                            "model": "qwen3:8b",
                            "context": 4096,
                            "think": False,
                            "keep_alive": "30m",
                            "add": {"top_k": 20},
                        }
                    ],
                },
                "coding": {
                    "first_token_s": 30,
                    "deployments": [
                        {"id": "paid", "host": "cloud", "provider": "openai", "model": "gpt-4.1", "context": 100_000}
                    ],
                },
                "reasoning": {
                    "first_token_s": 30,
                    "deployments": [
                        {"id": "gone", "host": "nowhere", "provider": "openai", "model": "gpt-4.1", "context": 100_000}
                    ],
                },
            },
        }
    )


@pytest.fixture
async def way(configuration: Configuration) -> AsyncIterator[RouterWay]:
    """The Router way, ready."""
    made = RouterWay(configuration)
    await made.prepare()
    yield made
    await made.close()
