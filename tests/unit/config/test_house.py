"""Which pulled model serves which tier, and what addresses mean."""

from __future__ import annotations

import pytest

from classifier import Tier
from service.config.catalog import known, window_of
from service.config.discover import ollama_here
from service.config.house import CLOUDS, chosen, house
from service.config.load import validated
from service.config.probe import HostReport, PulledModel, ollama_address
from service.config.providers import host_name, in_house, is_cloud_model
from service.config.yaml_source import Document

GB = 10**9
QWEN = PulledModel("qwen3:8b", int(5.2 * GB), ("completion", "tools", "thinking"))
CODER = PulledModel("qwen3-coder:30b", 19 * GB, ("completion", "tools"))
SMALL = PulledModel("llama3.2:1b", int(1.3 * GB), ("completion",))
LARGE = PulledModel("llama3.3:70b", 43 * GB, ("completion",))
SMALL_CODER = PulledModel("qwen2.5-coder:1.5b", 1 * GB, ("completion",))
EMBED = PulledModel("nomic-embed-text:latest", int(0.3 * GB), ("embedding",))
OLD_EMBED = PulledModel("mxbai-embed-large:latest", int(0.7 * GB))


@pytest.mark.parametrize(
    ("models", "lightweight", "coding"),
    [
        ((QWEN, CODER, EMBED), QWEN, CODER),
        ((SMALL, QWEN, LARGE), QWEN, LARGE),
        ((CODER,), CODER, CODER),
        ((QWEN,), QWEN, QWEN),
        ((SMALL_CODER, QWEN), QWEN, QWEN),
        ((EMBED, OLD_EMBED), None, None),
        ((), None, None),
    ],
)
def test_the_nearest_model_to_the_tier_is_chosen(
    models: tuple[PulledModel, ...], lightweight: PulledModel | None, coding: PulledModel | None
) -> None:
    """An 8B for lightweight, a coder of some size for coding, nothing that only embeds."""
    assert chosen(models, Tier.LIGHTWEIGHT) == lightweight
    assert chosen(models, Tier.CODING) == coding


@pytest.mark.parametrize("clouds", [(), CLOUDS[:1], CLOUDS[1:2], CLOUDS[2:], CLOUDS])
@pytest.mark.parametrize("models", [(), (QWEN, CODER)])
def test_any_house_is_a_valid_configuration(clouds: tuple[object, ...], models: tuple[PulledModel, ...]) -> None:
    """Each mixture of a host and keys validates; reasoning never holds a local deployment."""
    hosts = {"here": HostReport("http://127.0.0.1:11434", "0.12", models)} if models else {}
    env = {cloud.variable: "sk" for cloud in CLOUDS}

    configuration = validated(Document("found", house(hosts, clouds)), env)  # type: ignore[arg-type]

    assert len(configuration.tiers[Tier.REASONING].deployments) == len(clouds)
    assert len(configuration.tiers[Tier.CODING].deployments) == len(clouds) + bool(models)


def test_the_context_is_what_the_model_can_and_its_file_says() -> None:
    """A Modelfile's num_ctx wins; else 8,192, or less where the model was trained for less."""
    models = {
        "said": PulledModel("a", GB, ("completion",), num_ctx=16384, trained_context=32768),
        "short": PulledModel("b", GB, ("completion",), trained_context=2048),
        "plain": PulledModel("c", GB, ("completion",), trained_context=131072),
    }

    made = house({n: HostReport("http://127.0.0.1:1", "0", (m,)) for n, m in models.items()}, ())

    assert [d["context"] for d in made["tiers"]["lightweight"]["deployments"]] == [16384, 2048, 8192]


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("mini.local", "http://mini.local:11434"),
        ("mini.local/", "http://mini.local:11434"),
        ("192.168.1.20:8080", "http://192.168.1.20:8080"),
        ("http://mini", "http://mini:11434"),
        ("https://ollama.example.com", "https://ollama.example.com"),
        ("fd00::1", "http://[fd00::1]:11434"),
        (" mini ", "http://mini:11434"),
    ],
)
def test_addresses_are_taken_as_people_type_them(typed: str, address: str) -> None:
    """Scheme and port are filled in."""
    assert ollama_address(typed) == address


@pytest.mark.parametrize("typed", ["", "http://", "ftp://mini", "mini:port", "two words", "http://u:p@mini"])
def test_what_is_no_address_is_refused(typed: str) -> None:
    """With a ValueError that says how one looks."""
    with pytest.raises(ValueError):
        ollama_address(typed)


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        (None, "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:9999", "http://127.0.0.1:9999"),
        ("mini.local", "http://mini.local:11434"),
        ("not an address", "http://127.0.0.1:11434"),
    ],
)
def test_ollamas_own_setting_says_where_it_listens(setting: str | None, address: str) -> None:
    """OLLAMA_HOST is read as Ollama reads it; an address to bind becomes one to ask."""
    assert ollama_here({} if setting is None else {"OLLAMA_HOST": setting}) == address


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("http://mini:1", True),
        ("http://mini.local.:1", True),
        ("http://172.16.0.1:1", True),
        ("http://172.32.0.1:1", False),
        ("http://[fd00::1]:1", True),
        ("http://100.64.0.1:1", True),
        ("http://8.8.8.8:1", False),
        ("https://api.openai.com/v1", False),
        ("https://local.example.com", False),
        ("", False),
    ],
)
def test_an_address_tells_whether_it_is_in_the_house(address: str, inside: bool) -> None:
    """By its form alone; nothing is resolved."""
    assert in_house(address) is inside


@pytest.mark.parametrize(
    ("model", "cloud"),
    [
        ("gpt-4.1", True),
        ("openai/gpt-4.1-mini", True),
        ("o3-mini", True),
        ("o3", True),
        ("claude-sonnet-4", True),
        ("gemini-2.5-pro", True),
        ("gpt-oss:20b", False),
        ("qwen3:8b", False),
        ("olmo2:7b", False),
        ("gpt-35b-mine", False),
    ],
)
def test_models_that_only_clouds_serve_are_known(model: str, cloud: bool) -> None:
    """gpt-oss runs at home, gpt-4.1 does not."""
    assert is_cloud_model(model) is cloud


def test_every_model_that_discovery_uses_is_in_the_catalogue() -> None:
    """A model without a window or a price would stop the search for what is here."""
    assert all(known(model) for cloud in CLOUDS for model in cloud.models)


def test_only_the_model_itself_and_its_snapshots_have_its_price() -> None:
    """A smaller sister costs less."""
    mini = known("openai/gpt-4.1-mini")

    assert mini == known("gpt-4.1-mini-2025-04-14")
    assert mini != known("gpt-4.1")
    assert known("gpt-4.1-maxi") is None
    assert known("gpt-5.7") is None


def test_windows_take_the_longest_prefix() -> None:
    """gpt-4.1 is not gpt-4o."""
    assert (window_of("openai/gpt-4.1-mini"), window_of("o3-mini"), window_of("qwen3:8b")) == (1_047_576, 200_000, None)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://mini.local:11434", "mini"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("http://192.168.1.20:11434", "host-192-168-1-20"),
        ("http://127.0.0.1:1", "this-machine"),
        ("http://[fd00::1]:1", "host-fd00-1"),
    ],
)
def test_hosts_are_named_after_their_address(address: str, name: str) -> None:
    """Short, and allowed as an identifier."""
    assert host_name(address) == name
