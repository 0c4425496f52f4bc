"""An ordinary LiteLLM file in our shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from classifier import TIERS, Tier
from service.config import Deployment
from service.config.load import Loaded, load
from service.config.seed import shipped
from service.errors import ConfigurationError
from service.routing.matrix import matrices_of
from tests.unit.config.writing import ENV, Change, litellm


def _params(number: int, **values: Any) -> Change:
    """Changes litellm_params of one entry; None takes a key out."""

    def change(document: dict[str, Any]) -> None:
        params = document["model_list"][number]["litellm_params"]
        params |= values
        for name in [n for n, v in values.items() if v is None]:
            del params[name]

    return change


def _info(number: int, **values: Any) -> Change:
    return lambda document: document["model_list"][number].setdefault("model_info", {}).update(values)


def _first(loaded: Loaded, tier: Tier = Tier.LIGHTWEIGHT, number: int = 0) -> Deployment:
    return loaded.configuration.tiers[tier].deployments[number]


def _note(loaded: Loaded, key: str) -> str:
    """The one note about a key."""
    (found,) = [str(note) for note in loaded.notes if note.key == key]
    return found


def test_the_ordinary_file_becomes_the_three_tiers() -> None:
    """Groups, order, ids, models, hosts and limits are those of the file."""
    configuration = load(shipped("litellm-two-macs.yaml"), ENV).configuration

    assert [[d.id for d in configuration.tiers[t].deployments] for t in TIERS] == [
        ["lightweight-mini", "lightweight-macbook", "lightweight-cloud"],
        ["coding-local", "coding-cloud"],
        ["reasoning-cloud", "reasoning-cloud-2"],
    ]
    assert {n: (h.address, h.local) for n, h in configuration.hosts.items()} == {
        "mini": ("http://mini.local:11434", True),
        "macbook": ("http://macbook.local:11434", True),
        "openai": ("https://api.openai.com/v1", False),
    }
    assert [configuration.tiers[t].first_token_s for t in TIERS] == [60, 120, 180]
    assert [configuration.tiers[t].fallbacks for t in TIERS] == [(Tier.CODING,), (Tier.REASONING,), ()]
    assert configuration.limits.cooldown_s == 30
    assert configuration.callers[0].key.get_secret_value() == "sk-master"


def test_num_ctx_is_the_context_and_max_tokens_no_reserve() -> None:
    """With 8,192 of 8,192 reserved for the answer nothing would ever fit."""
    loaded = load(shipped("litellm-two-macs.yaml"), ENV)

    coding = _first(loaded, Tier.CODING)

    assert coding.context == 8192
    assert coding.add == {}
    assert loaded.configuration.limits.answer_reserve_tokens == 1024
    assert "no reserve" in _note(loaded, "model_list[3].model_info.max_tokens")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model_list[0].litellm_params.extra_body.options.num_ctx", "wipes temperature"),
        ("model_list[0].litellm_params.timeout", "tiers.lightweight.first_token_s: 60"),
        ("litellm_settings.num_retries", "retries multiply"),
        ("litellm_settings.allowed_fails", "never reached it"),
        ("litellm_settings.request_timeout", "per tier"),
        ("litellm_settings.drop_params", "never dropped in silence"),
        ("litellm_settings.cache", "keys by caller"),
        ("litellm_settings.cache_params.ttl", "cache.ttl_s: 3600"),
        ("litellm_settings.cache_params.host", "an address is one value here"),
        ("litellm_settings.context_window_fallbacks", "measured before they are sent"),
        ("litellm_settings.master_key", "callers: master"),
        ("router_settings.routing_strategy", "in their order"),
        ("hosts.mini.memory_gb", "write the machine's memory"),
    ],
)
def test_every_change_is_said_with_its_reason(key: str, said: str) -> None:
    """Line by line: what stood there, what stands now, why."""
    loaded = load(shipped("litellm-two-macs.yaml"), ENV)

    assert said in _note(loaded, key)


def test_notes_come_in_the_order_of_the_file_with_its_lines() -> None:
    """They can be read beside the file."""
    lines = shipped("litellm-two-macs.yaml").read_text(encoding="utf-8").splitlines()

    notes = load(shipped("litellm-two-macs.yaml"), ENV).notes

    numbered = [note for note in notes if note.line is not None]
    assert [n.line for n in numbered] == sorted(n.line or 0 for n in numbered)
    (retries,) = [n for n in numbered if n.key.endswith("num_retries")]
    assert "num_retries" in lines[(retries.line or 0) - 1]


def test_every_key_of_the_file_is_taken_over_or_noted(tmp_path: Path) -> None:
    """Nothing is left out in silence, whatever its name."""

    def change(document: dict[str, Any]) -> None:
        document["model_list"][0]["litellm_params"]["brand_new"] = 1
        document["model_list"][0]["model_info"]["brand_new"] = 1
        document["model_list"][0]["brand_new"] = 1
        for section in ("litellm_settings", "router_settings"):
            document[section]["brand_new"] = 1
        document["general_settings"] = {"brand_new": 1}
        document["brand_new"] = {"a": 1}

    keys = {note.key for note in litellm(tmp_path, change).notes if note.key.endswith("brand_new")}

    assert keys == {
        "model_list[0].litellm_params.brand_new",
        "model_list[0].model_info.brand_new",
        "model_list[0].brand_new",
        "litellm_settings.brand_new",
        "router_settings.brand_new",
        "general_settings.brand_new",
        "brand_new",
    }


def test_order_decides_not_the_place_in_the_file(tmp_path: Path) -> None:
    """LiteLLM's order is the chain's."""

    def change(document: dict[str, Any]) -> None:
        document["model_list"].reverse()

    loaded = litellm(tmp_path, change)

    assert _first(loaded).id == "lightweight-mini"


def test_without_order_the_file_decides_and_it_is_said(tmp_path: Path) -> None:
    """LiteLLM would shuffle; a chain has an order."""

    def change(document: dict[str, Any]) -> None:
        for entry in document["model_list"]:
            del entry["litellm_params"]["order"]

    loaded = litellm(tmp_path, change)

    assert [d.id for d in loaded.configuration.tiers[Tier.CODING].deployments] == ["coding-local", "coding-cloud"]
    assert sum("would shuffle" in str(n) for n in loaded.notes) == 3


@pytest.mark.parametrize(
    ("number", "model", "address", "provider", "name", "local"),
    [
        (0, "ollama/qwen3:8b", "http://192.168.1.20:11434", "ollama", "qwen3:8b", True),
        (0, "ollama_chat/hf.co/org/model:Q4", "http://localhost:11434/", "ollama", "hf.co/org/model:Q4", True),
        (0, "openai/qwen3:8b", "http://mini.local:11434/v1", "ollama", "qwen3:8b", True),
        (0, "openai/qwen3-8b", "http://10.1.2.3:8000/v1", "openai", "qwen3-8b", True),
        (0, "hosted_vllm/qwen3-8b", "http://gpu:8000/v1", "openai", "qwen3-8b", True),
        (0, "ollama_chat/qwen3:8b", "http://100.101.2.3:11434", "ollama", "qwen3:8b", True),
        (0, "ollama_chat/gpt-oss:120b", "https://ollama.com", "ollama", "gpt-oss:120b", False),
        (5, "gpt-4.1", None, "openai", "gpt-4.1", False),
        (5, "claude-sonnet-4-20250514", None, "anthropic", "claude-sonnet-4-20250514", False),
        (5, "openrouter/anthropic/claude-sonnet-4", None, "openrouter", "anthropic/claude-sonnet-4", False),
        (5, "openai/o3-mini", "http://127.0.0.1:9000/v1", "openai", "o3-mini", False),
        (5, "groq/llama-3.3-70b", None, "groq", "llama-3.3-70b", False),
    ],
)
def test_model_strings_and_addresses_are_understood(
    tmp_path: Path, number: int, model: str, address: str | None, provider: str, name: str, local: bool
) -> None:
    """LiteLLM's prefixes are providers of ours; the address says whether a deployment stands in the house."""
    entry: dict[str, Any] = {"model": model}
    if address is not None:
        entry["api_base"] = address

    loaded = litellm(tmp_path, _params(number, **entry))

    deployment = _first(loaded, Tier.LIGHTWEIGHT if number == 0 else Tier.REASONING)
    assert (deployment.provider, deployment.model) == (provider, name)
    assert loaded.configuration.is_local(deployment) is local
    assert not loaded.configuration.address_of(deployment).endswith(":11434/v1")


@pytest.mark.parametrize("address", ["http://macbook.local:11434", "http://127.0.0.1:11434", "http://10.0.0.9:11434"])
def test_a_local_deployment_in_the_reasoning_group_stops_the_start(tmp_path: Path, address: str) -> None:
    """It is not taken out in silence: the owner decides."""
    change = _params(5, model="ollama_chat/qwen3-coder:30b", api_base=address)

    with pytest.raises(ConfigurationError) as caught:
        litellm(tmp_path, change)

    said = str(caught.value)
    assert "model_list[5].litellm_params.model: a local deployment" in said
    assert "reasoning tier; move it to coding-tier" in said
    assert "\n" not in said


def test_a_gateway_to_a_cloud_can_be_told_apart(tmp_path: Path) -> None:
    """``model_info.local: false`` lets a cloud behind a local address serve reasoning."""

    def change(document: dict[str, Any]) -> None:
        _params(5, model="openai/deep-thinker", api_base="http://127.0.0.1:9000/v1")(document)
        _info(5, local=False, max_input_tokens=64000)(document)

    loaded = litellm(tmp_path, change)

    deployment = _first(loaded, Tier.REASONING)
    assert loaded.configuration.is_local(deployment) is False
    assert deployment.context == 64000


def test_one_address_with_local_and_cloud_models_is_one_host(tmp_path: Path) -> None:
    """The deployment's own word stands where it differs from its host's."""

    def change(document: dict[str, Any]) -> None:
        _params(3, model="openai/qwen-coder", api_base="http://127.0.0.1:9000/v1")(document)
        _params(5, model="openai/o3-mini", api_base="http://127.0.0.1:9000/v1")(document)

    configuration = litellm(tmp_path, change).configuration

    coding, reasoning = (
        configuration.tiers[Tier.CODING].deployments[0],
        configuration.tiers[Tier.REASONING].deployments[0],
    )
    assert coding.host == reasoning.host
    assert configuration.is_local(coding) is True
    assert configuration.is_local(reasoning) is False


def test_ollama_without_num_ctx_has_its_default(tmp_path: Path) -> None:
    """4,096 is what Ollama serves, and the note says so."""
    loaded = litellm(tmp_path, _params(0, extra_body=None))

    assert _first(loaded).context == 4096
    assert "Ollama's default" in _note(loaded, "model_list[0].litellm_params.num_ctx")


@pytest.mark.parametrize("where", ["params", "options", "body"])
def test_num_ctx_is_found_wherever_people_write_it(tmp_path: Path, where: str) -> None:
    """In litellm_params, in extra_body, in its options; quotes do not matter."""
    values: dict[str, dict[str, Any]] = {
        "params": {"extra_body": None, "num_ctx": "16384"},
        "options": {"extra_body": {"options": {"num_ctx": 16384}}},
        "body": {"extra_body": {"num_ctx": 16384}},
    }

    def change(document: dict[str, Any]) -> None:
        params = document["model_list"][0]["litellm_params"]
        del params["extra_body"]
        params |= {k: v for k, v in values[where].items() if v is not None}

    assert _first(litellm(tmp_path, change)).context == 16384


def test_options_beside_num_ctx_are_added_to_each_request(tmp_path: Path) -> None:
    """What the owner wanted for a model stays, without wiping the client's own options."""
    body = {
        "options": {"num_ctx": 8192, "top_k": 20, "num_predict": 100, "num_gpu": 99},
        "think": True,
        "keep_alive": -1,
    }

    loaded = litellm(tmp_path, _params(0, extra_body=body))

    deployment = _first(loaded)
    assert deployment.add == {"top_k": 20}
    assert deployment.think is True
    assert deployment.keep_alive == "-1"
    assert "cap every answer" in _note(loaded, "model_list[0].litellm_params.extra_body.options.num_predict")


def test_qwen3_does_not_think_on_the_lightweight_tier_only() -> None:
    """Thinking takes seconds before every short answer."""
    loaded = load(shipped("litellm-two-macs.yaml"), ENV)

    assert [_first(loaded, number=n).think for n in range(3)] == [False, False, None]
    assert _first(loaded, Tier.CODING).think is None


def test_prices_are_the_files_or_said_aloud(tmp_path: Path) -> None:
    """Dollars per token become dollars per million; a list price comes with a note, an unknown one is 0 with a
    note."""

    def change(document: dict[str, Any]) -> None:
        _info(2, input_cost_per_token=5e-7, output_cost_per_token="1.5e-6")(document)
        _params(5, model="openai/brand-new")(document)

    loaded = litellm(tmp_path, change)

    assert (_first(loaded, number=2).prices.input_per_mtok, _first(loaded, number=2).prices.output_per_mtok) == (
        0.5,
        1.5,
    )
    assert _first(loaded, Tier.CODING, 1).prices.input_per_mtok == 2
    assert "list price" in _note(loaded, "model_list[4].model_info.input_cost_per_token")
    assert _first(loaded, Tier.REASONING, 0).prices.output_per_mtok == 0
    assert "no price of brand-new" in _note(loaded, "model_list[5].model_info.input_cost_per_token")


def test_stated_capabilities_and_slots_are_taken_over(tmp_path: Path) -> None:
    """What model_info says about the model decides which requests it gets."""

    def change(document: dict[str, Any]) -> None:
        _info(0, supports_vision=True, supports_function_calling=False, supports_response_schema=False)(document)
        _params(0, max_parallel_requests=2)(document)

    deployment = _first(litellm(tmp_path, change))

    assert (deployment.capabilities.images, deployment.capabilities.tools) == (True, False)
    assert deployment.capabilities.json_schema is False
    assert deployment.parallel == 2


def test_thinking_models_refuse_sampling_fields() -> None:
    """OpenAI answers 400 to temperature for o3-mini: such a request goes to the next deployment."""
    fields = _first(load(shipped("litellm-two-macs.yaml"), ENV), Tier.REASONING).capabilities.fields

    assert fields is not None
    assert "max_completion_tokens" in fields
    assert "temperature" not in fields


def test_another_key_at_the_same_address_stays_with_its_deployment(tmp_path: Path) -> None:
    """Two accounts at one cloud are one host with two keys."""
    loaded = litellm(tmp_path, _params(6, api_key="os.environ/SECOND"), {**ENV, "SECOND": "sk-second"})

    assert list(loaded.configuration.hosts) == ["mini", "macbook", "openai"]
    assert loaded.configuration.key_of(_first(loaded, Tier.REASONING, 1)) == "sk-second"
    assert loaded.configuration.key_of(_first(loaded, Tier.REASONING, 0)) == "sk-one"


def test_a_key_in_clear_starts_and_is_noted_without_being_shown(tmp_path: Path) -> None:
    """The file works as it is; the note says where the key belongs."""
    loaded = litellm(tmp_path, _params(2, api_key="sk-in-clear"))

    assert loaded.configuration.key_of(_first(loaded, number=2)) == "sk-in-clear"
    assert "a secret in clear" in _note(loaded, "model_list[2].litellm_params.api_key")
    assert not any("sk-in-clear" in str(note) for note in loaded.notes)


def test_an_address_by_reference_is_resolved(tmp_path: Path) -> None:
    """The value decides whether the deployment is local."""
    change = _params(0, api_base="os.environ/MINI_URL")

    inside = litellm(tmp_path, change, {**ENV, "MINI_URL": "http://10.0.0.7:11434"})
    outside = litellm(tmp_path, change, {**ENV, "MINI_URL": "https://ollama.example.com"})

    assert inside.configuration.is_local(_first(inside)) is True
    assert outside.configuration.is_local(_first(outside)) is False
    assert inside.configuration.address_of(_first(inside)) == "http://10.0.0.7:11434"


def test_an_unset_variable_is_named_at_its_line_in_the_file(tmp_path: Path) -> None:
    """The place is that of the LiteLLM file, not of our shape."""
    with pytest.raises(ConfigurationError) as caught:
        load(shipped("litellm-two-macs.yaml"), {"OPENAI_API_KEY": "x"})

    assert "litellm_settings.master_key: the environment variable LITELLM_MASTER_KEY is not set" in str(caught.value)


def test_variables_of_sections_that_are_left_out_may_be_unset() -> None:
    """The cache's REDIS_HOST is not needed, so its absence stops nothing."""
    assert "REDIS_HOST" not in ENV

    assert load(shipped("litellm-two-macs.yaml"), ENV).configuration is not None


def test_the_general_settings_master_key_wins(tmp_path: Path) -> None:
    """The proxy reads it there."""

    def change(document: dict[str, Any]) -> None:
        document["general_settings"] = {"master_key": "sk-general"}

    loaded = litellm(tmp_path, change)

    assert loaded.configuration.callers[0].key.get_secret_value() == "sk-general"


def test_fallbacks_lead_up_only(tmp_path: Path) -> None:
    """A chain never goes on in a lower tier; what would lead down or elsewhere is noted."""

    def change(document: dict[str, Any]) -> None:
        document["litellm_settings"]["fallbacks"] = [
            {"lightweight-tier": ["reasoning-tier", "coding-tier"]},
            {"reasoning-tier": ["coding-tier"]},
            {"other": ["coding-tier"]},
        ]

    loaded = litellm(tmp_path, change)

    tiers = loaded.configuration.tiers
    assert [tiers[t].fallbacks for t in TIERS] == [(Tier.CODING, Tier.REASONING), (), ()]
    assert any("in a higher tier only" in str(n) for n in loaded.notes)
    assert any("other is no tier" in str(n) for n in loaded.notes)


def test_other_groups_are_noted_and_left_out(tmp_path: Path) -> None:
    """Only the three groups are tiers."""

    def change(document: dict[str, Any]) -> None:
        document["model_list"].append({"model_name": "embeddings", "litellm_params": {"model": "ollama/nomic"}})

    loaded = litellm(tmp_path, change)

    assert "only lightweight-tier" in _note(loaded, "model_list[7].model_name")


def test_entries_without_id_get_one_from_tier_and_host(tmp_path: Path) -> None:
    """Ids are unique, also with two models at one host."""

    def change(document: dict[str, Any]) -> None:
        for entry in document["model_list"]:
            entry.pop("model_info", None)

    configuration = litellm(tmp_path, change).configuration

    assert [d.id for _, d in configuration.deployments()] == [
        "lightweight-mini",
        "lightweight-macbook",
        "lightweight-openai",
        "coding-macbook",
        "coding-openai",
        "reasoning-openai",
        "reasoning-openai-2",
    ]


@pytest.mark.parametrize(
    ("change", "key", "fix"),
    [
        (_params(0, timeout="soon"), "model_list[0].litellm_params.timeout", "write a number"),
        (_params(0, timeout=True), "model_list[0].litellm_params.timeout", "write a number"),
        (_params(0, num_ctx=0), "model_list[0].litellm_params.num_ctx", "at least 1"),
        (_params(0, model=None), "model_list[0].litellm_params.model", "write e.g."),
        (_params(0, model=7), "model_list[0].litellm_params.model", "write text"),
        (_params(5, model="watsonx/granite"), "model_list[5].litellm_params.api_base", "write api_base"),
        (_params(0, api_base="mini.local:11434"), "hosts", "http://mini.local:11434"),
        (lambda d: d.update(model_list={"a": 1}), "model_list", "write one"),
        (lambda d: d.update(model_list=["a"]), "model_list[0]", "write `name: value` lines"),
        (lambda d: d["model_list"].pop(0), "", ""),
        (lambda d: d.update(model_list=d["model_list"][:5]), "model_list", "model_name: reasoning-tier"),
        (lambda d: d["model_list"][0].pop("model_name"), "model_list[0].model_name", "lightweight-tier"),
        (lambda d: d.update(litellm_settings=[1]), "litellm_settings", "write `name: value` lines"),
        (lambda d: d["litellm_settings"].update(fallbacks=["x"]), "litellm_settings.fallbacks[0]", "write `- light"),
        (_info(3, id="lightweight-mini"), "tiers.coding.deployments[0].id", "unique"),
    ],
)
def test_a_wrong_litellm_file_is_one_line(tmp_path: Path, change: Change, key: str, fix: str) -> None:
    """File, key and fix, as for our own form."""
    if not key:  # the control: one entry fewer is still a file that starts
        assert _first(litellm(tmp_path, change)).id == "lightweight-macbook"
        return

    with pytest.raises(ConfigurationError) as caught:
        litellm(tmp_path, change)

    said = str(caught.value)
    assert said.startswith(str(tmp_path / "house.yaml"))
    assert f": {key}" in said
    assert fix in said
    assert "\n" not in said


def test_the_imported_house_weighs_errors_as_the_seed_does() -> None:
    """The same house in the other form routes the same way: prices and speeds come to the same matrices."""
    imported = load(shipped("litellm-two-macs.yaml"), ENV).configuration

    assert matrices_of(imported) == matrices_of(load(shipped("two-macs.yaml"), ENV).configuration)
