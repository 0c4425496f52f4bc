"""What ``autotier doctor`` says of the classifier's embeddings, with a host that has such models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config.load import load
from service.config.seed import seed_document
from service.demo.hosts import HostSpec, SimulatedHost
from service.doctor.embedding import embeddings
from service.doctor.endpoints import ToldEnvironment
from service.doctor.findings import Finding, Status
from tests.artifacts import embedded


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatedHost]:
    """A Mac with an embedding model."""
    with SimulatedHost(HostSpec(models=("nomic-embed-text",), load_s=0.01)) as host:
        yield host


def examined(folder: Path, process: SimulatedHost, artifact: Path | None, **entries: dict[str, Any]) -> list[Finding]:
    """What is found with these entries of ``classifier.embeddings``."""
    process.reset()
    document = seed_document()
    document["hosts"]["mini"]["address"] = process.address
    document["classifier"] = {"embeddings": entries, **({} if artifact is None else {"artifact": str(artifact)})}
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    found = embeddings(load(file, ToldEnvironment({})).configuration)
    assert all(one.fix for one in found if one.status in (Status.FAILED, Status.WARNING))
    return found


def test_without_any_there_is_nothing_to_say(tmp_path: Path, process: SimulatedHost) -> None:
    """As shipped."""
    assert examined(tmp_path, process, None) == []


def test_one_that_answers_is_in_order(tmp_path: Path, process: SimulatedHost) -> None:
    """With its length and time, and whether the artifact has it."""
    nomic = {"host": "mini", "model": "nomic-embed-text", "deadline_ms": 60_000}

    (unused,) = examined(tmp_path, process, None, nomic=nomic)
    (used,) = examined(tmp_path, process, embedded(tmp_path / "made"), nomic=nomic)

    assert (unused.status, used.status) == (Status.OK, Status.OK)
    assert "768 numbers in" in unused.text
    assert "autotier train --embedding nomic" in unused.text
    assert "as the artifact was trained" in used.text


def test_one_that_cannot_be_heard_is_said_with_its_fix(tmp_path: Path, process: SimulatedHost) -> None:
    """Not pulled, another model than at the training, or not configured at all."""
    nomic = {"host": "mini", "model": "nomic-embed-text", "deadline_ms": 60_000}
    short = embedded(tmp_path / "short", dimensions=32)
    other = embedded(tmp_path / "other", digest="f" * 64)

    (absent,) = examined(tmp_path, process, None, bge={"host": "mini", "model": "bge-m3"})
    (length,) = examined(tmp_path, process, short, nomic=nomic)
    (digest,) = examined(tmp_path, process, other, nomic=nomic)
    (nobody,) = examined(tmp_path, process, other)

    assert (absent.status, absent.fix) == (Status.WARNING, "start the host, and there: ollama pull bge-m3")
    assert [one.status for one in (length, digest, nobody)] == [Status.FAILED] * 3
    assert "not the model that the artifact was trained with" in length.text
    assert "not the model that the artifact was trained with" in digest.text
    assert "which is not configured" in nobody.text
