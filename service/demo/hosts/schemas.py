"""A value that fits a JSON schema, for structured answers and tool arguments.

Covers what the structured-output subsets of OpenAI and Ollama allow: objects, arrays, enums, const, anyOf,
oneOf, allOf, local references, bounds of numbers, lengths of strings and arrays, the common formats. A
``pattern`` is not solved: such a string may not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

Schema = Mapping[str, object]

MAX_DEPTH = 6
"""Depth at which optional properties and items are left out, so that recursive schemas end."""

_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def conforming(schema: Schema, text: str) -> object:
    """Make a value that fits `schema`.

    Args:
        schema: A JSON schema; an empty one gives ``{"simulated": true, "answer": text}``.
        text: What free strings say.

    Returns:
        A JSON value.
    """
    if not schema:
        return {"simulated": True, "answer": text}
    return _value(schema, schema, text, 0)


def _value(schema: Schema, root: Schema, text: str, depth: int) -> object:
    """Make a value for a schema inside `root`."""
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    enum = schema.get("enum")
    if isinstance(enum, list) and enum:
        return enum[0]
    kind = _kind(schema)
    match kind:
        case "object":
            return _object(schema, root, text, depth)
        case "array":
            return _array(schema, root, text, depth)
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, text)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow references, merge allOf, take the simplest branch of anyOf and oneOf."""
    for _ in range(16):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            schema = _lookup(reference, root)
            continue
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(branches, list) and branches:
            plain = [branch for branch in branches if isinstance(branch, dict) and "$ref" not in branch]
            chosen = (plain or branches)[0]
            schema = {**{k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}, **chosen}
            continue
        parts = schema.get("allOf")
        if isinstance(parts, list) and parts:
            schema = _merged([_resolved(part, root) for part in parts if isinstance(part, dict)], schema)
            continue
        break
    return schema


def _merged(parts: list[Schema], outer: Schema) -> Schema:
    """Merge the parts of an allOf: properties and required add up, the rest overrides."""
    merged: dict[str, object] = {}
    for part in [*parts, {key: value for key, value in outer.items() if key != "allOf"}]:
        for key, value in part.items():
            before = merged.get(key)
            if key == "properties" and isinstance(before, dict) and isinstance(value, dict):
                merged[key] = {**before, **value}
            elif key == "required" and isinstance(before, list) and isinstance(value, list):
                merged[key] = [*before, *value]
            else:
                merged[key] = value
    return merged


def _lookup(reference: str, root: Schema) -> Schema:
    """Find a local reference such as ``#/$defs/Name``; one that leads nowhere fits anything."""
    found: object = root
    for part in reference.removeprefix("#").split("/"):
        if part:
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return cast(Schema, found) if isinstance(found, dict) else {}


def _kind(schema: Schema) -> str:
    """Give the type of a schema; of several the first that is not null."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _object(schema: Schema, root: Schema, text: str, depth: int) -> dict[str, object]:
    """Make an object with all its properties; deep down only with the required ones."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    required = schema.get("required")
    names = list(required) if isinstance(required, list) else []
    if depth < MAX_DEPTH:
        names += [name for name in properties if name not in names]
    values: dict[str, object] = {}
    for name in names:
        inner = properties.get(name)
        values[str(name)] = _value(inner if isinstance(inner, dict) else {"type": "string"}, root, text, depth + 1)
    return values


def _array(schema: Schema, root: Schema, text: str, depth: int) -> list[object]:
    """Make an array of the least length, but of one item where that is allowed."""
    prefix = schema.get("prefixItems")
    fixed = [_value(one, root, text, depth + 1) for one in prefix] if isinstance(prefix, list) else []
    least = _whole(schema.get("minItems"), 0)
    most = _whole(schema.get("maxItems"), max(least, 1))
    count = least if depth >= MAX_DEPTH else min(max(least, 1), most)
    items = schema.get("items")
    inner: Schema = items if isinstance(items, dict) else {"type": "string"}
    return fixed + [_value(inner, root, text, depth + 1) for _ in range(count - len(fixed))]


def _number(schema: Schema, *, whole: bool) -> float | int:
    """Make a number within its bounds that is a multiple where one is asked for."""
    step = schema.get("multipleOf")
    unit = step if isinstance(step, int | float) and step > 0 else 1
    low = schema.get("minimum")
    above = schema.get("exclusiveMinimum")
    high = schema.get("maximum")
    below = schema.get("exclusiveMaximum")
    value: float = 0
    if isinstance(low, int | float):
        value = -(-low // unit) * unit
    if isinstance(above, int | float):
        value = max(value, (above // unit + 1) * unit)
    if isinstance(high, int | float) and value > high:
        value = high // unit * unit
    if isinstance(below, int | float) and value >= below:
        value = (-(-below // unit) - 1) * unit
    if not whole and isinstance(above, int | float) and isinstance(below, int | float):
        value = (above + below) / 2
    return int(value) if whole or value == int(value) else value


def _string(schema: Schema, text: str) -> str:
    """Make a string of the format and length asked for."""
    form = schema.get("format")
    if isinstance(form, str) and form in _FORMATS:
        return _FORMATS[form]
    value = text.ljust(_whole(schema.get("minLength"), 0), ".")
    return value[: _whole(schema.get("maxLength"), len(value))]


def _whole(value: object, default: int) -> int:
    """Give a whole number of a schema, or the default where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default
