"""Embeddings over both protocols, against hosts that speak them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import numpy as np
import pytest

from service.config import Configuration
from service.config.cache import EmbeddingSettings
from service.config.host import Host
from service.demo.hosts import HostSpec, SimulatedHost
from service.demo.hosts.vectors import embed
from service.upstream.embedding import EmbeddingFailed, HostEmbedder

MODELS = {"ollama": ("nomic-embed-text", 768), "openai": ("text-embedding-3-small", 1536)}


@pytest.fixture(scope="module", params=MODELS)
def process(request: pytest.FixtureRequest) -> Iterator[SimulatedHost]:
    """A host of each protocol."""
    spec = HostSpec(kind=request.param, models=(MODELS[request.param][0],), load_s=0.01)
    with SimulatedHost(spec) as host:
        yield host


@pytest.fixture
async def embedder(process: SimulatedHost, configuration: Configuration) -> AsyncIterator[HostEmbedder]:
    """An embedder of the host, the host as at its start."""
    process.reset()
    kind = process.spec.kind
    address = process.address + ("/v1" if kind == "openai" else "")
    hosts = {**configuration.hosts, "here": Host(address=address, local=True)}
    settings = EmbeddingSettings(host="here", provider=kind, model=MODELS[kind][0])
    made = HostEmbedder(configuration.model_copy(update={"hosts": hosts}), settings)
    yield made
    await made.close()


async def test_a_vector_is_the_hosts(embedder: HostEmbedder, process: SimulatedHost) -> None:
    """Length and numbers as the model gives them."""
    vector = await embedder.embed("How do I undo a commit?")

    assert len(vector) == MODELS[process.spec.kind][1]
    assert np.allclose(vector, np.array(embed("How do I undo a commit?", len(vector))), atol=1e-5)
    assert embedder.is_local


@pytest.mark.parametrize("fault", ["500", "garbage", "429"])
async def test_an_answer_without_a_vector_is_a_failure(
    embedder: HostEmbedder, process: SimulatedHost, fault: str
) -> None:
    """Typed, without the host's body in it; the next call works again."""
    process.set_fault(fault)

    with pytest.raises(EmbeddingFailed):
        await embedder.embed("x")

    process.reset()
    assert len(await embedder.embed("x")) > 0


async def test_a_refused_connection_is_a_failure(embedder: HostEmbedder, process: SimulatedHost) -> None:
    """As the client raises it: the cache counts it and rests."""
    process.set_fault("down")

    with pytest.raises((aiohttp.ClientError, OSError)):
        await embedder.embed("x")
