"""The search for what is here, against simulated hosts as real processes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from classifier import TIERS, Tier
from service.config.discover import discover
from service.config.load import load
from service.config.probe import probe
from service.demo.hosts import HostSpec, SimulatedHost
from service.errors import ConfigurationError


@pytest.fixture(scope="module")
def ollama() -> Iterator[SimulatedHost]:
    """An Ollama with a general model, a coder and an embedding model."""
    spec = HostSpec(models=("qwen3:8b", "qwen3-coder:30b", "nomic-embed-text"), memory_gb=24)
    with SimulatedHost(spec) as host:
        yield host


def _nobody() -> str:
    """An address of loopback on which nobody listens."""
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe_socket.getsockname()[1]}"


def test_ollama_and_a_key_fill_all_tiers(ollama: SimulatedHost) -> None:
    """Local models first, the cloud behind them, reasoning in the cloud alone."""
    found = discover({"OLLAMA_HOST": ollama.address, "OPENAI_API_KEY": "sk-here"})

    tiers = found.configuration.tiers
    assert [[d.model for d in tiers[t].deployments] for t in TIERS] == [
        ["qwen3:8b", "gpt-4.1-mini"],
        ["qwen3-coder:30b", "gpt-4.1"],
        ["o3-mini"],
    ]
    assert tiers[Tier.LIGHTWEIGHT].deployments[0].think is False
    assert "sk-here" not in found.text
    assert "To add another machine" in found.text


def test_ollama_without_a_key_leaves_reasoning_empty(ollama: SimulatedHost) -> None:
    """Requests for it get a 503 that says which key to set."""
    found = discover({"OLLAMA_HOST": ollama.address})

    assert found.configuration.tiers[Tier.REASONING].deployments == ()
    assert "export OPENAI_API_KEY=" in found.text


def test_a_key_without_ollama_is_enough() -> None:
    """The clouds serve all three tiers, in the order openai, anthropic, openrouter."""
    found = discover({"OLLAMA_HOST": _nobody(), "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "b"})

    assert [[d.host for d in found.configuration.tiers[t].deployments] for t in TIERS] == [["openai", "anthropic"]] * 3
    assert "No local model" in found.text


def test_nothing_found_says_what_to_do() -> None:
    """One line with the ways on; the command line makes exit 2 of it."""
    with pytest.raises(ConfigurationError) as caught:
        discover({"OLLAMA_HOST": _nobody()})

    said = str(caught.value)
    assert "ollama pull qwen3:8b" in said
    assert "export OPENAI_API_KEY=" in said
    assert "\n" not in said


def test_an_ollama_that_can_only_embed_is_nothing_to_chat_with() -> None:
    """It is there, and the line says what it lacks."""
    with (
        SimulatedHost(HostSpec(models=("nomic-embed-text",))) as host,
        pytest.raises(ConfigurationError, match="has no chat model"),
    ):
        discover({"OLLAMA_HOST": host.address})


def test_the_printed_text_is_a_file_that_starts(ollama: SimulatedHost, tmp_path: Path) -> None:
    """Saved, it is the same configuration, with the versions beside the file instead of where the service starts."""
    env = {"OLLAMA_HOST": ollama.address, "OPENAI_API_KEY": "sk-here"}
    found = discover(env)
    file = tmp_path / "found.yaml"

    file.write_text(found.text, encoding="utf-8")

    loaded = load(file, env).configuration
    versions = found.configuration.classifier.versions
    assert loaded.classifier.versions == str(tmp_path / versions)
    there = loaded.classifier.model_copy(update={"versions": versions})
    assert loaded.model_copy(update={"classifier": there}) == found.configuration


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (HostSpec(fault="black-hole"), "no answer in 2 s"),
        (HostSpec(fault="hang"), "no answer in 2 s"),
        (HostSpec(fault="garbage"), "something answers there that is not Ollama"),
        (HostSpec(fault="down"), "start Ollama here: ollama serve"),
        (HostSpec(kind="openai"), "something answers there that is not Ollama"),
    ],
)
def test_each_way_of_not_answering_has_its_sentence(spec: HostSpec, said: str) -> None:
    """A report never raises, whatever the host does."""
    with SimulatedHost(spec) as host:
        report = probe(host.address)

    assert report.version is None
    assert report.problem is not None
    assert said in report.problem


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")
@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
def test_a_host_that_listens_on_loopback_only_is_recognised(ollama: SimulatedHost) -> None:
    """127.0.0.2 stands for this machine's address in the network: refused there, answered on 127.0.0.1."""
    port = ollama.address.rpartition(":")[2]

    report = probe(f"http://127.0.0.2:{port}")

    assert report.problem is not None
    assert "listens on 127.0.0.1 only" in report.problem
    assert "OLLAMA_HOST=0.0.0.0" in report.problem


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")
@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
def test_a_refused_connection_elsewhere_names_both_causes() -> None:
    """Not running, or on loopback only: from outside they look alike."""
    port = _nobody().rpartition(":")[2]

    report = probe(f"http://127.0.0.3:{port}")

    assert report.problem is not None
    assert "not running, or listens on 127.0.0.1 only" in report.problem


def test_a_report_knows_what_is_pulled(ollama: SimulatedHost) -> None:
    """A name without a tag means latest."""
    report = probe(ollama.address)

    assert report.problem is None
    assert (report.has("qwen3:8b"), report.has("nomic-embed-text"), report.has("qwen3")) == (True, True, False)
    assert {m.name: m.trained_context for m in report.models}["qwen3:8b"] == 40960
