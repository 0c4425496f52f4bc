"""Values that fit JSON schemas, checked by a validator that is not ours."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.demo.hosts.schemas import conforming

RECURSIVE: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "child": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["name", "child"],
    "additionalProperties": False,
}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"age": {"type": "integer"}, "ok": {"type": "boolean"}}, "required": ["age"]},
    {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 3, "maxItems": 3},
    {"type": "string", "minLength": 50},
    {"type": "string", "maxLength": 3},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "minimum": 10, "maximum": 20, "multipleOf": 7},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "maximum": -3},
    {"type": ["string", "null"]},
    {"const": {"a": 1}},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {
        "$ref": "#/$defs/Step",
        "$defs": {"Step": {"type": "object", "properties": {"n": {"const": 2}}, "required": ["n"]}},
    },
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}], "items": False, "minItems": 2},
    {"type": "array", "maxItems": 0},
    RECURSIVE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_the_value_fits_the_schema(schema: dict[str, Any]) -> None:
    """An independent validator accepts the value."""
    jsonschema.Draft202012Validator(schema).validate(conforming(schema, "text"))


def _leaf() -> st.SearchStrategy[dict[str, Any]]:
    """Give schemas without parts."""
    whole = st.integers(-50, 50)
    return st.one_of(
        st.builds(
            lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, whole, st.integers(0, 9)
        ),
        st.builds(
            lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": [3, "x"]}, {"type": "number"}]),
    )


def _nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Give objects and arrays of other schemas."""
    objects = st.dictionaries(st.text(max_size=5), inner, max_size=4).map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )
    arrays = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)
    )
    return objects | arrays


@given(st.recursive(_leaf(), _nested, max_leaves=8))
def test_any_nested_schema_is_met(schema: dict[str, Any]) -> None:
    """Objects, arrays, bounds and lengths in any nesting."""
    jsonschema.Draft202012Validator(schema).validate(conforming(schema, "some text"))
