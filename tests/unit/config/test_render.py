"""A configuration as commented YAML, and its schema."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from service.config.load import load, validated
from service.config.model import Configuration
from service.config.render import flow, render, without_secrets
from service.config.schema import schema, schema_text
from service.config.seed import seed_document, shipped
from service.config.yaml_source import Document
from service.errors import ConfigurationError
from tests.unit.config.writing import ENV


def _models(model: type[BaseModel] = Configuration) -> set[type[BaseModel]]:
    """All models of a configuration."""
    found = {model}
    for field in model.model_fields.values():
        for one in re.findall(r"service\.config\.model\.(\w+)", str(field.annotation)):
            inner = getattr(__import__("service.config.model", fromlist=[one]), one)
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner not in found:
                found |= _models(inner)
    return found


def _unplaced(configuration: Configuration) -> Configuration:
    """Without the folder that its versions are beside."""
    settings = configuration.classifier.model_copy(update={"versions": "autotier-versions"})
    return configuration.model_copy(update={"classifier": settings})


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    """Rendering loses and changes nothing."""
    file = tmp_path / "out.yaml"
    before = load(shipped("two-macs.yaml"), ENV).configuration

    file.write_text(render(seed_document(), ["A head."]), encoding="utf-8")

    assert _unplaced(load(file, ENV).configuration) == _unplaced(before)


def test_each_key_is_explained_where_it_first_stands() -> None:
    """A comment stands above the first occurrence of every key that has a description."""
    lines = render(seed_document()).splitlines()

    for name in ("address", "first_token_s", "think", "keep_alive", "cooldown_s", "emails", "prompts"):
        number = next(n for n, line in enumerate(lines) if re.match(rf"\s*(- )?{name}:", line))
        assert lines[number - 1].lstrip().startswith("#"), name


def test_sections_that_are_left_out_follow_as_comments(tmp_path: Path) -> None:
    """What can be set is seen, and taking the signs away gives the same configuration."""
    document = seed_document()
    short = {key: document[key] for key in ("hosts", "tiers")}

    text = render(short)

    assert "# limits:" in text
    assert "#   connect_ms: 300" in text
    sections = "|".join(Configuration.model_fields)
    uncommented = re.sub(rf"^# (?=({sections}):|  +\w+:)", "", text, flags=re.MULTILINE)
    file = tmp_path / "out.yaml"
    file.write_text(uncommented, encoding="utf-8")
    assert _unplaced(load(file, ENV).configuration) == _unplaced(validated(Document("short", short), ENV))


@pytest.mark.parametrize(
    "value", ["yes", "1", "a: b", "# x", "", "null", "os.environ/X", "ä", "x" * 300, "1e-7", "a\nb"]
)
def test_scalars_keep_their_type(value: str) -> None:
    """A text that looks like something else is quoted; long texts stay on their line."""
    written = flow(value)

    assert yaml.safe_load(f"k: {written}") == {"k": value}


def test_keys_in_clear_become_references_and_hashes() -> None:
    """No secret is written; the lines say what to export."""
    document = seed_document()
    document["hosts"]["openai"]["key"] = "sk-in-clear"
    document["callers"] = [{"name": "me", "key": "sk-master"}]

    changed, said = without_secrets(document)

    text = render(changed)
    assert "sk-in-clear" not in text
    assert "sk-master" not in text
    assert changed["hosts"]["openai"]["key"] == "os.environ/OPENAI_KEY"
    assert changed["callers"][0]["key"] == "sha256:" + hashlib.sha256(b"sk-master").hexdigest()
    assert any("export OPENAI_KEY=" in line for line in said)
    assert document["hosts"]["openai"]["key"] == "sk-in-clear"


def test_every_key_has_a_description() -> None:
    """Schema and comments come from them."""
    missing = [
        f"{model.__name__}.{name}"
        for model in _models()
        for name, field in model.model_fields.items()
        if not field.description
    ]

    assert len(_models()) > 10
    assert missing == []


def test_the_committed_schema_is_the_models() -> None:
    """``autotier schema -o configs/autotier.schema.json`` after a change."""
    assert shipped("autotier.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_seed_is_valid_by_the_schema_and_a_wrong_one_is_not() -> None:
    """An editor that uses the schema says what the loader says."""
    document: Any = yaml.safe_load(shipped("two-macs.yaml").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema())

    assert list(validator.iter_errors(document)) == []
    document["limits"]["conect_ms"] = 1
    assert [list(e.path) for e in validator.iter_errors(document)] == [["limits"]]


def test_the_seed_names_its_schema() -> None:
    """The first line is what editors look for."""
    first = shipped("two-macs.yaml").read_text(encoding="utf-8").splitlines()[0]

    assert first == "# yaml-language-server: $schema=autotier.schema.json"
    assert json.loads(shipped("autotier.schema.json").read_text(encoding="utf-8"))["title"]


def test_every_key_of_the_seed_is_commented_and_every_setting_is_in_it() -> None:
    """The seed explains each key at least once, and leaves no key of the models out."""
    text = shipped("two-macs.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    explained, written = set(), set()
    for number, line in enumerate(lines):
        for name in re.findall(r"^\s*#?\s*(?:- )?([a-z_]+):(?: |$)", line):
            written.add(name)
            if lines[number - 1].lstrip().startswith("#") or " # " in line:
                explained.add(name)

    every = {name for model in _models() for name in model.model_fields}
    assert every - written == set()
    assert (written & every) - explained == set()


def test_the_seed_is_refused_where_a_key_is_taken_out(tmp_path: Path) -> None:
    """The tests above would not notice a file that is not read at all."""
    file = tmp_path / "out.yaml"
    file.write_text(render(seed_document()).replace("context: 8192", "contxt: 8192", 1), encoding="utf-8")

    with pytest.raises(ConfigurationError, match="did you mean context"):
        load(file, ENV)
