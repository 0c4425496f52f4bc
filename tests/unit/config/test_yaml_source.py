"""YAML with its places."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.yaml_source import Text, dotted, parse, read
from service.errors import ConfigurationError


def test_keys_and_items_know_their_lines() -> None:
    """Every key path has the line on which it is written."""
    text = "a:\n  b: 1\n  c:\n    - x\n    - y: 2\n"

    document = parse(text, "f.yaml")

    assert document.value == {"a": {"b": 1, "c": ["x", {"y": 2}]}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", 0)] == 4
    assert document.lines[("a", "c", 1, "y")] == 5


def test_an_unknown_path_takes_the_line_of_its_nearest_parent() -> None:
    """A key that is missing is reported where it would stand."""
    document = parse("a:\n  b: 1\n", "f.yaml")

    place = document.place(("a", "missing", 3))

    assert place == "f.yaml:1"


def test_strings_carry_their_place_to_other_keys() -> None:
    """A string knows line and key of the file also after an import has moved it."""
    value = parse("a:\n  key: os.environ/X\n", "f.yaml").value["a"]["key"]

    assert isinstance(value, Text)
    assert (value.line, value.key) == (2, "a.key")


def test_a_key_written_twice_is_an_error_with_both_lines() -> None:
    """YAML itself would take the second in silence."""
    with pytest.raises(ConfigurationError, match=r"f\.yaml:3: a\.b: is written twice, first in line 2; keep one"):
        parse("a:\n  b: 1\n  b: 2\n", "f.yaml")


def test_merged_keys_may_be_overridden() -> None:
    """``<<`` brings defaults in, which is no double key."""
    text = "base: &base\n  model: x\n  timeout: 1\nuse:\n  <<: *base\n  timeout: 2\n"

    document = parse(text, "f.yaml")

    assert document.value["use"] == {"model": "x", "timeout": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "is not a mapping"),
        ("just words", "is not a mapping"),
        ("a: [1, 2\n", "f.yaml:2: (YAML)"),
        ("a: b: c\n", "f.yaml:1: (YAML)"),
        ("a: !!python/object/apply:os.system ['true']\n", "f.yaml:1"),
        ("1: a\n", "the key 1 is not a string"),
        ("a: &a [*a]\n", "aliases"),
        ("a: {<<: [1]}\n", "<<"),
        ("a: \x07\n", "(YAML)"),
        ("a: 2020-13-45\n", "f.yaml:1: a: month must be in 1..12"),
        ("a: " + "[" * 2000, "(YAML)"),
        ("a: 1\n---\nb: 2\n", "(YAML)"),
    ],
)
def test_what_is_no_configuration_is_refused_in_one_line(text: str, said: str) -> None:
    """The message names the file and, where YAML tells it, the line."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "f.yaml")

    assert said in str(caught.value)
    assert str(caught.value).startswith("f.yaml")
    assert "\n" not in str(caught.value)


def test_aliases_that_multiply_are_refused() -> None:
    """A few lines must not become a billion nodes."""
    text = "a0: &a0 [x, x, x, x, x, x, x, x]\n"
    for n in range(1, 9):
        text += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n"

    with pytest.raises(ConfigurationError, match="aliases that repeat without end"):
        parse(text, "f.yaml")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """A wrong path is an error with a fix, never an empty configuration."""
    with pytest.raises(ConfigurationError, match="there is no such file; check the path"):
        read(tmp_path / "none.yaml")


def test_a_folder_and_other_encodings_are_refused(tmp_path: Path) -> None:
    """What cannot be read as UTF-8 text is said so."""
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: Münze\n".encode("latin-1"))

    with pytest.raises(ConfigurationError, match="is not UTF-8 at byte 4"):
        read(latin)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Editors on other systems write one."""
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert read(file).value == {"a": 1}


@given(st.text(max_size=200))
def test_any_text_is_a_mapping_or_a_configuration_error(text: str) -> None:
    """Whatever stands in the file, no other exception leaves the parser."""
    said, value = "f.yaml", {}
    try:
        value = parse(text, "f.yaml").value
    except ConfigurationError as error:
        said = str(error)

    assert said.startswith("f.yaml")
    assert isinstance(value, dict)


def test_paths_are_written_as_people_read_them() -> None:
    """Dots for keys, brackets for positions."""
    assert dotted(("tiers", "coding", "deployments", 0, "host")) == "tiers.coding.deployments[0].host"
    assert dotted(()) == "(file)"
