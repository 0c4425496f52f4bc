"""The artifact's embedding asked at a host that speaks Ollama's protocol, well and in every way that it may fail."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier import Classifier, Tier, load, view_of
from classifier.embedded import with_embedding
from service.config import Configuration
from service.config.embedding import ClassifierEmbedding
from service.config.host import Host
from service.demo.hosts import HostSpec, SimulatedHost
from service.demo.hosts.vectors import embed
from service.routing import embedding as asking
from service.routing.embedding import EmbeddingAsker
from service.routing.look import Look
from service.routing.request import CallerIdentity, chat_request
from service.upstream.embedding import HostEmbedder
from tests.artifacts import embedded

ASK = "What is the capital of France?"
MODELS = ("nomic-embed-text", "noise-embed")


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatedHost]:
    """A Mac with two embedding models."""
    with SimulatedHost(HostSpec(models=MODELS, loaded=MODELS, load_s=0.01)) as host:
        yield host


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """An artifact whose embedding always says reasoning, of a model whose digest nobody knows."""
    return load(embedded(tmp_path_factory.mktemp("made") / "a", towards=Tier.REASONING), stages=1)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no host that is away."""
    monkeypatch.setattr(asking, "CHECK_LIMIT_S", 20.0)


class Counts:
    """What came of it."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()

    def embedded(self, result: str) -> None:
        """One more."""
        self.results[str(result)] += 1


class Asked:
    """An asker and what it counts."""

    def __init__(self, configuration: Configuration, model: Classifier) -> None:
        self.counts, self.model = Counts(), model
        found = EmbeddingAsker.of(configuration, model.artifact, self.counts, HostEmbedder)
        assert found is not None
        self.asker = found

    async def look(self, text: str = ASK, private: str | None = None, **fields: Any) -> Look:
        """A look at a request, before the embedding."""
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        self.request = chat_request(body, {}, CallerIdentity())
        view = view_of(body["messages"])
        before = Look(view, self.model.classify_view(view), "", private, None, "key")
        return await self.asker.heard(self.request, before, self.model.artifact.matrices["default"])


def configured(
    configuration: Configuration, process: SimulatedHost, model: str = "nomic-embed-text", local: bool = True,
    deadline_ms: int = 5_000,
) -> Configuration:  # fmt: skip
    """The shipped configuration with the host's embedding."""
    settings = ClassifierEmbedding(host="here", model=model, deadline_ms=deadline_ms)
    hosts = {**configuration.hosts, "here": Host(address=process.address, local=local)}
    classifier = configuration.classifier.model_copy(update={"embeddings": {"nomic": settings}})
    return configuration.model_copy(update={"hosts": hosts, "classifier": classifier})


@pytest.fixture
async def asked(process: SimulatedHost, configuration: Configuration, model: Classifier) -> AsyncIterator[Asked]:
    """An asker of the host, the host as at its start."""
    process.reset()
    made = Asked(configured(configuration, process), model)
    await made.asker.start()
    yield made
    await made.asker.close()


def result(look: Look) -> str:
    """What came of asking."""
    assert look.classification is not None
    return "" if look.classification.embedding is None else str(look.classification.embedding.result)


async def test_the_word_is_that_of_the_hosts_vector(asked: Asked, model: Classifier) -> None:
    """The same classification as from the vector itself, counted by whether it changed the tier."""
    look = await asked.look()

    before, term = model.classify(ASK), model.artifact.embedding
    assert term is not None
    vector = np.array(embed(ASK, 768), dtype=np.float32)
    assert look.classification == with_embedding(before, term, vector, model.artifact.matrices["default"])
    assert (before.tier, look.classification.tier) == (Tier.LIGHTWEIGHT, Tier.REASONING)
    assert asked.counts.results == {"changed": 1}


async def test_who_names_the_tier_is_not_asked_about(asked: Asked, process: SimulatedHost) -> None:
    """An override, a text without a signal, and a tool loop cost no call."""
    loop = [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ]  # fmt: skip

    looks = [await asked.look(model="coding"), await asked.look("..."), await asked.look(messages=loop)]

    assert [result(look) for look in looks] == ["", "", ""]
    assert not process.log().on("/api/embed")
    assert not asked.counts.results


@pytest.mark.parametrize(("fault", "why"), [("500", "failed"), ("garbage:scope=answers", "failed"), ("down", "away")])
async def test_a_host_that_fails_leaves_the_stages_word_and_rests(
    asked: Asked, process: SimulatedHost, model: Classifier, fault: str, why: str
) -> None:
    """The plain classification, said and counted; the next request does not ask."""
    process.set_fault(fault)

    looks = [await asked.look(), await asked.look()]

    plain = model.classify(ASK)
    assert [result(look) for look in looks] == [why, "resting"]
    assert [replace(look.classification, embedding=None) for look in looks if look.classification] == [plain, plain]
    assert asked.counts.results == {why: 1, "resting": 1}


@pytest.mark.parametrize("fault", ["hang", "black-hole"])
async def test_a_host_that_does_not_answer_costs_one_deadline(
    process: SimulatedHost, configuration: Configuration, model: Classifier, fault: str
) -> None:
    """The first request waits for it and no longer; the others do not wait at all."""
    process.reset()
    asked = Asked(configured(configuration, process, deadline_ms=50), model)
    process.set_fault(fault)

    looks = [await asked.look() for _ in range(5)]
    await asked.asker.close()

    assert [result(look) for look in looks] == ["late", *["resting"] * 4]


async def test_a_late_host_is_heard_again_once_its_model_is_loaded(
    process: SimulatedHost, configuration: Configuration, model: Classifier
) -> None:
    """The call that came too late for its request is what loads it."""
    process.reset()
    asked = Asked(configured(configuration, process, deadline_ms=200), model)
    process.set_fault("cold:s=0.5")

    first = await asked.look()
    deadline = time.monotonic() + 10
    while result(look := await asked.look()) == "resting" and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await asked.asker.close()

    assert (result(first), result(look)) == ("late", "used")


async def test_a_host_that_comes_back_is_heard_again(
    process: SimulatedHost, configuration: Configuration, model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out beside the requests."""
    process.reset()
    monkeypatch.setattr(asking, "CHECK_EVERY_S", 0.05)
    asked = Asked(configured(configuration, process), model)
    await asked.asker.start()
    process.set_fault("500")
    first = await asked.look()
    process.reset()

    deadline = time.monotonic() + 10
    while result(look := await asked.look()) == "resting" and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await asked.asker.close()

    assert (result(first), result(look)) == ("failed", "used")


async def test_vectors_of_another_length_are_not_heard(
    process: SimulatedHost, configuration: Configuration, tmp_path: Path
) -> None:
    """Trained with 32 numbers, the host gives 768."""
    process.reset()
    asked = Asked(configured(configuration, process), load(embedded(tmp_path / "a", dimensions=32), stages=1))

    look = await asked.look()
    await asked.asker.close()

    assert result(look) == "dimensions"


async def test_another_model_than_at_the_training_is_not_heard(
    process: SimulatedHost, configuration: Configuration, tmp_path: Path
) -> None:
    """The digest tells: no text goes to it."""
    process.reset()
    asked = Asked(configured(configuration, process), load(embedded(tmp_path / "a", digest="f" * 64), stages=1))
    await asked.asker.start()

    look = await asked.look()
    await asked.asker.close()

    assert result(look) == "other_model"
    assert not process.log().on("/api/embed")


async def test_the_digest_of_the_training_is_the_hosts_own(
    process: SimulatedHost, configuration: Configuration, tmp_path: Path
) -> None:
    """What the host told then it tells now."""
    process.reset()
    house = configured(configuration, process)
    embedder = HostEmbedder(house, house.classifier.embeddings["nomic"])
    digest = await embedder.digest()
    asked = Asked(house, load(embedded(tmp_path / "a", digest=digest), stages=1))
    await asked.asker.start()

    look = await asked.look()
    await asked.asker.close()
    await embedder.close()

    assert len(digest) == 64
    assert result(look) == "used"


async def test_a_private_request_is_not_told_to_a_host_outside(
    process: SimulatedHost, configuration: Configuration, model: Classifier
) -> None:
    """Others are; a host in the house hears of both."""
    process.reset()
    outside = Asked(configured(configuration, process, local=False), model)
    inside = Asked(configured(configuration, process), model)

    looks = [await outside.look(private="asked"), await outside.look(), await inside.look(private="asked")]
    for one in (outside, inside):
        await one.asker.close()

    assert [result(look) for look in looks] == ["not_allowed", "used", "used"]


async def test_an_embedding_that_the_configuration_does_not_know_is_said(
    configuration: Configuration, process: SimulatedHost, model: Classifier
) -> None:
    """Once in the log, and with every request that it would have been asked about."""
    none, other = Asked(configuration, model), Asked(configured(configuration, process, model="noise-embed"), model)

    looks = [await none.look(), await other.look()]

    assert [result(look) for look in looks] == ["not_configured", "other_model"]


async def test_many_questions_at_once_are_bounded(
    asked: Asked, process: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond goes on without."""
    monkeypatch.setattr(asking, "MOST_AT_ONCE", 2)

    looks = await asyncio.gather(*[asked.look(f"{ASK} {i}") for i in range(4)])

    assert sorted(map(result, looks)) == ["busy", "busy", "used", "used"]


def test_an_artifact_without_an_embedding_has_no_asker(configuration: Configuration, champion: Classifier) -> None:
    """Nothing is on the way of a request then."""
    assert EmbeddingAsker.of(configuration, champion.artifact, Counts(), HostEmbedder) is None
