"""From a file to a configuration: every failure is one line with file, key and fix."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier import Tier
from service.config.load import load, load_configuration
from service.config.seed import seed_document, shipped
from service.errors import ConfigurationError
from tests.unit.config.writing import ENV, LITELLM, Change, loaded, refusal, seeded


def _set(path: str, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
        for part in parents:
            at = at[part]
        at[last] = value

    return change


def _without(path: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        *parents, last = path.split(".")
        for part in parents:
            at = at[part]
        del at[last]

    return change


def test_the_seed_loads_with_its_keys_from_the_environment() -> None:
    """The shipped file is a configuration as it is, once its two keys are exported."""
    configuration = load_configuration(shipped("two-macs.yaml"), ENV)

    assert [d.id for d in configuration.tiers[Tier.LIGHTWEIGHT].deployments] == [
        "lightweight-mini",
        "lightweight-macbook",
        "lightweight-cloud",
    ]
    assert [configuration.tiers[t].first_token_s for t in Tier] == [30, 120, 180]
    assert configuration.key_of(configuration.tiers[Tier.CODING].deployments[1]) == "sk-one"


def test_our_own_form_needs_no_notes() -> None:
    """Notes are about what an import changed."""
    result = load(shipped("two-macs.yaml"), ENV)

    assert result.notes == ()
    assert result.source.endswith("two-macs.yaml")


@pytest.mark.parametrize(
    ("change", "key", "fix"),
    [
        (_set("sever", {}), "sever", "did you mean server?"),
        (_set("zebra", {}), "zebra", "take it out; known here: server, callers"),
        (_set("limits.conect_ms", 5), "limits.conect_ms", "did you mean connect_ms?"),
        (
            _set("tiers.coding.deployments.0.modle", "x"),
            "tiers.coding.deployments[0].modle",
            "did you mean model?",
        ),
        (_set("hosts.mini.adress", "x"), "hosts.mini.adress", "did you mean address?"),
        (_set("policy.privacy.mails", True), "policy.privacy.mails", "did you mean emails?"),
        (_set("server.port", "four"), "server.port", "write a whole number"),
        (_set("server.port", 70000), "server.port", "less than or equal to 65535"),
        (_set("tiers.coding.first_token_s", "soon"), "tiers.coding.first_token_s", "write a number"),
        (_set("tiers.coding.first_token_s", 0), "tiers.coding.first_token_s", "greater than 0"),
        (_set("limits.cooldown_s", float("inf")), "limits.cooldown_s", "finite"),
        (_set("tiers.coding.deployments.0.context", True), "tiers.coding.deployments[0].context", "write a number"),
        (_set("hosts.mini.local", "maybe"), "hosts.mini.local", "write true or false"),
        (_set("upstream.way", "fast"), "upstream.way", "write one of 'auto' or 'router'"),
        (_set("tiers.coding.fallbacks", ["reasonning"]), "tiers.coding.fallbacks[0]", "write one of 'lightweight'"),
        (_set("tiers.coding.deployments", {"a": 1}), "tiers.coding.deployments", "write a list"),
        (_set("tiers.coding.deployments", None), "tiers.coding.deployments", "deployments: []"),
        (_without("tiers.reasoning"), "tiers.reasoning", "deployments: []"),
        (_without("tiers.reasoning.deployments"), "tiers.reasoning.deployments", "deployments: []"),
        (_without("tiers.reasoning.first_token_s"), "tiers.reasoning.first_token_s", "Seconds to the first token"),
        (_without("hosts"), "hosts", "Machines and cloud accounts"),
        (_set("hosts", None), "hosts", "write a mapping"),
        (_set("hosts.mini.address", "mini.local:11434"), "hosts.mini.address", "http://mini.local:11434"),
        (_set("hosts.mini.address", "http://mini:99999"), "hosts.mini.address", "is no address"),
        (_set("hosts.mini.address", "http://u:p@mini"), "hosts.mini.address", "keys go into `key`"),
        (_set("tiers.coding.deployments.0.host", "mac"), "tiers.coding.deployments[0].host", "write one of: mini"),
        (_set("tiers.coding.deployments.0.id", "a b"), "tiers.coding.deployments[0].id", "letters, digits"),
        (
            _set("tiers.coding.deployments.0.id", "lightweight-mini"),
            "tiers.coding.deployments[0].id",
            "ids are unique in the file",
        ),
        (_set("tiers.coding.fallbacks", ["lightweight"]), "tiers.coding.fallbacks", "name only tiers above coding"),
        (
            _set("tiers.lightweight.deployments.0.extra_fields", ["api_base"]),
            "tiers.lightweight.deployments[0].extra_fields",
            "take it out",
        ),
        (
            _set("tiers.lightweight.deployments.0.extra_fields", ["temperature"]),
            "tiers.lightweight.deployments[0].extra_fields",
            "capabilities.fields",
        ),
        (
            _set("tiers.lightweight.deployments.0.capabilities", {"fields": ["top_k"]}),
            "tiers.lightweight.deployments[0].capabilities.fields",
            "extra_fields",
        ),
        (_set("callers", [{"name": "a", "key": "secret-1"}]), "callers[0].key", "write os.environ/NAME"),
        (_set("callers", [{"name": "a", "key": "sha256:abc"}]), "callers[0].key", "sha256sum"),
        (_set("hosts.openai.key", "sk-in-clear"), "hosts.openai.key", "write os.environ/NAME"),
        (
            _set("store", {"url": "postgresql://u:hunter2@db/autotier"}),
            "store.url",
            "write url: os.environ/POSTGRES_URL",
        ),
        (_set("store", {"url": "postgresql://db/a?user=u&password=hunter2"}), "store.url", "os.environ/POSTGRES_URL"),
        (_set("state", {"redis_url": "redis://:hunter2@mini.local:6379/0"}), "state.redis_url", "os.environ/REDIS_URL"),
        (_set("cache", {"redis_url": "rediss://a:hunter2@mini/0"}), "cache.redis_url", "write redis_url: os.environ/"),
        (_set("policy.matrices", {"default": [[0, 1], [1, 0]]}), "policy.matrices.default", ""),
        (
            _set("classifier.judge", {"deployment": "reasoning-cloud"}),
            "classifier.judge.deployment",
            "write one of: coding-local, lightweight-macbook, lightweight-mini",
        ),
        (_set("classifier.judge", {"deployment": "x"}), "classifier.judge.deployment", "no deployment is 'x'"),
        (_set("classifier.judge", {"deployment": "coding-local", "accuracy": 1}), "classifier.judge.accuracy", "0.99"),
        (_set("classifier.judge", {"bound": 0.1}), "classifier.judge.deployment", "Id of the local deployment"),
        (
            _set("classifier.embeddings", {"a": {"host": "openai", "model": "text-embedding-3-small"}}),
            "classifier.embeddings.a.host",
            "write one of: mini, macbook",
        ),
        (
            _set("classifier.embeddings", {"a": {"host": "nas", "model": "nomic-embed-text"}}),
            "classifier.embeddings.a.host",
            "no host is named 'nas'",
        ),
        (_set("classifier.embeddings", {"a": {"host": "mini"}}), "classifier.embeddings.a.model", "nomic-embed-text"),
    ],
)
def test_a_wrong_key_type_or_value_is_one_line_with_key_and_fix(
    tmp_path: Path, change: Change, key: str, fix: str
) -> None:
    """The line names the file with its line, the dotted key, and what to write."""
    said = refusal(tmp_path, change)

    assert said.startswith(f"{tmp_path / 'house.yaml'}")
    assert f": {key}" in said
    assert fix in said
    assert "hunter2" not in said
    assert "\n" not in said


def test_a_secret_in_clear_is_never_repeated(tmp_path: Path) -> None:
    """Error messages end up in logs and issues."""
    said = refusal(tmp_path, _set("hosts.openai.key", "sk-in-clear"))

    assert "sk-in-clear" not in said


def test_a_wrong_secret_type_is_not_repeated(tmp_path: Path) -> None:
    """A key that YAML read as a number is a type error without its value."""
    said = refusal(tmp_path, _set("hosts.openai.key", 123456789))

    assert "hosts.openai.key" in said
    assert "123456789" not in said


def test_the_line_is_that_of_the_key(tmp_path: Path) -> None:
    """The place can be jumped to."""
    text = shipped("two-macs.yaml").read_text(encoding="utf-8").replace("  port: 4000", "  prot: 4000")
    line = next(n for n, one in enumerate(text.splitlines(), 1) if "prot: 4000" in one)

    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text)

    assert f"house.yaml:{line}: server.prot: there is no such key; did you mean port?" in str(caught.value)


def test_further_errors_are_counted(tmp_path: Path) -> None:
    """One line, but nobody thinks that this was all."""

    def change(document: dict[str, Any]) -> None:
        document["limits"] |= {"one": 1, "two": 2}

    assert "(and 1 more such error)" in refusal(tmp_path, change)


def test_a_local_deployment_in_reasoning_is_refused(tmp_path: Path) -> None:
    """The tier that must never reach a local model cannot even name one."""
    said = refusal(tmp_path, _set("tiers.reasoning.deployments.0.host", "mini"))

    assert "tiers.reasoning.deployments[0].local: a local deployment in the reasoning tier" in said


def test_an_empty_tier_is_allowed_where_it_is_written(tmp_path: Path) -> None:
    """``deployments: []`` is a decision."""
    configuration = seeded(tmp_path, _set("tiers.reasoning.deployments", []))

    assert configuration.tiers[Tier.REASONING].deployments == ()


def test_an_unset_variable_names_line_key_and_export(tmp_path: Path) -> None:
    """The line says which variable, where, and what to type."""
    text = shipped("two-macs.yaml").read_text(encoding="utf-8")
    line = next(n for n, one in enumerate(text.splitlines(), 1) if "key: os.environ/OPENAI_API_KEY" in one)

    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text, {"OPENROUTER_API_KEY": "x"})

    said = str(caught.value)
    assert f"house.yaml:{line}: hosts.openai.key: the environment variable OPENAI_API_KEY is not set" in said
    assert "export OPENAI_API_KEY=" in said


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    """An empty key would only fail later, at the cloud."""
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is empty"):
        seeded(tmp_path, lambda d: None, {**ENV, "OPENAI_API_KEY": ""})


@pytest.mark.parametrize("reference", ["os.environ/", "os.environ/A B", "os.environ/9X", "os.environ/A/B"])
def test_a_reference_that_names_no_variable_is_refused(tmp_path: Path, reference: str) -> None:
    """A reference is a name, nothing else."""
    said = refusal(tmp_path, _set("hosts.openai.key", reference))

    assert "names no variable" in said


def test_references_stand_for_any_value(tmp_path: Path) -> None:
    """Addresses and numbers may come from the environment, not only keys."""

    def change(document: dict[str, Any]) -> None:
        document["hosts"]["mini"]["address"] = "os.environ/MINI"
        document["server"]["port"] = "os.environ/PORT"

    configuration = seeded(tmp_path, change, {**ENV, "MINI": "http://10.0.0.5:11434/", "PORT": "4321"})

    assert configuration.server.port == 4321
    assert configuration.address_of(configuration.tiers[Tier.LIGHTWEIGHT].deployments[0]) == "http://10.0.0.5:11434"


def test_an_unknown_variable_of_ours_is_an_error(tmp_path: Path) -> None:
    """A typing error in a variable's name would be ignored in silence."""
    with pytest.raises(ConfigurationError, match=r"AUTOTIER_CONFG: .*did you mean AUTOTIER_CONFIG"):
        seeded(tmp_path, lambda d: None, {**ENV, "AUTOTIER_CONFG": "x"})


def test_a_variable_that_the_file_refers_to_may_begin_as_ours_do(tmp_path: Path) -> None:
    """A caller's key may be called AUTOTIER_LAPTOP."""
    caller = {"name": "laptop", "key": "os.environ/AUTOTIER_LAPTOP"}

    configuration = seeded(tmp_path, _set("callers", [caller]), {**ENV, "AUTOTIER_LAPTOP": "k"})

    assert configuration.callers[0].key.get_secret_value() == "k"


def test_a_word_for_a_local_server_may_stand_in_clear(tmp_path: Path) -> None:
    """Some local servers want to see any key at all."""

    def change(document: dict[str, Any]) -> None:
        document["hosts"]["mini"]["key"] = "lm-studio"

    configuration = seeded(tmp_path, change)

    assert configuration.key_of(configuration.tiers[Tier.LIGHTWEIGHT].deployments[0]) == "lm-studio"


def test_secrets_do_not_show_in_a_representation(tmp_path: Path) -> None:
    """A configuration may be logged."""
    configuration = seeded(tmp_path, lambda d: None)

    assert "sk-one" not in repr(configuration)


STRANGE = [None, True, -1, 0, 1e308, "", "x", [], {}, [None], {"a": 1}, [[1]], "os.environ/NOPE", "2020-01-01"]


@pytest.mark.parametrize("source", ["ours", "litellm"])
def test_a_damaged_file_is_a_configuration_or_one_line(tmp_path: Path, source: str) -> None:
    """Whatever value stands at whatever place, only a ConfigurationError leaves the loader."""
    rng = random.Random(20)
    base = seed_document() if source == "ours" else LITELLM
    outcomes = set()

    for _ in range(60):
        document = yaml.safe_load(yaml.safe_dump(base))
        at: Any = document
        while True:
            part = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            inner = at[part]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
                at = inner
                continue
            at[part] = rng.choice(STRANGE)
            break
        try:
            loaded(tmp_path, yaml.safe_dump(document, sort_keys=False))
            said = ""
        except ConfigurationError as error:
            said = str(error)
        outcomes.add(("loaded" if not said else "refused", said.count("\n")))

    assert outcomes == {("loaded", 0), ("refused", 0)}


@pytest.mark.parametrize(
    "url",
    ["redis://mini.local:6379/0", "redis://:word@127.0.0.1:6379/0", "rediss://:word@localhost/0", "unix:///r.sock"],
)
def test_a_redis_without_a_password_or_on_this_machine_stands_in_the_file(tmp_path: Path, url: str) -> None:
    """Nothing leaves the machine with such a password."""
    found = seeded(tmp_path, _set("state", {"redis_url": url}))

    assert found.state.redis_url is not None
    assert found.state.redis_url.get_secret_value() == url


def test_a_whole_url_with_its_password_comes_from_the_environment(tmp_path: Path) -> None:
    """The reference stands for all of it."""
    url = "postgresql://u:hunter2@db/autotier"

    found = seeded(tmp_path, _set("store", {"url": "os.environ/POSTGRES_URL"}), {**ENV, "POSTGRES_URL": url})

    assert found.store.url == url
