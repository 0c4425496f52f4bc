"""From pydantic's errors to one line with file, line, key, problem and fix."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Union

from pydantic import BaseModel, ValidationError

from service.config.model import Configuration
from service.config.yaml_source import Document, KeyPath, dotted
from service.errors import ConfigurationError

_FIXES = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "string_type": "write text; put quotes around it if it looks like a number",
    "tuple_type": "write a list: [a, b], or one `- item` a line",
    "dict_type": "write a mapping: one `name: value` a line",
    "model_type": "write a mapping: one `name: value` a line",
    "model_attributes_type": "write a mapping: one `name: value` a line",
    "string_pattern_mismatch": "use letters, digits and . _ : - only, 64 at most",
}


def one_line(error: ValidationError, document: Document) -> ConfigurationError:
    """The first of pydantic's errors as ours; the rest is counted.

    Unknown keys come first: a mistyped key is also missed under its right name. Values are shown for plain keys, never
    for secrets.
    """
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
    path, problem, fix = _explained(first)
    if len(errors) > 1:
        fix += f" (and {len(errors) - 1} more such error{'s' if len(errors) > 2 else ''})"
    return ConfigurationError(document.place(path), dotted(path), problem, fix)


def from_message(message: str, document: Document) -> ConfigurationError:
    """A cross-check's ``key: problem; fix`` with its line."""
    key, _, rest = message.partition(": ")
    problem, _, fix = rest.partition("; ")
    path = path_of(key)
    return ConfigurationError(document.place(path), key, problem, fix or "change it")


def path_of(key: str) -> KeyPath:
    """The reverse of `dotted`."""
    path: list[str | int] = []
    for part in key.replace("[", ".[").split("."):
        path.append(int(part[1:-1]) if part.startswith("[") else part)
    return tuple(path)


def _explained(error: Any) -> tuple[KeyPath, str, str]:
    """Path, problem and fix of one error."""
    path = tuple(part for part in error["loc"] if part != "[key]")  # pydantic marks a bad name in a mapping so
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        message = str(context["error"])
        if not path:
            key, _, rest = message.partition(": ")
            path, message = path_of(key), rest
        problem, _, fix = message.partition("; ")
        return path, problem, fix or "change it"
    if kind == "extra_forbidden":
        return path, "there is no such key", _near(path)
    if kind == "missing":
        return path, "is missing", _how_to_write(path)
    if path and path[-1] == "deployments" and error["input"] is None:
        return path, "has no deployment", "write at least one, or deployments: [] if this tier is meant to be empty"
    if path and error["input"] is None:
        return path, "has no value", _FIXES.get(kind, "write a value or take the key out")
    if kind in ("enum", "literal_error"):
        return path, f"is {_shown(error['input'], path)}", f"write one of {context['expected']}"
    fix = _FIXES.get(kind, error["msg"][:1].lower() + error["msg"][1:])
    return path, f"is {_shown(error['input'], path)}", fix


def _shown(value: Any, path: KeyPath) -> str:
    if any(part in ("key", "master_key") for part in path):
        return "not a key"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(str(value)[:60]) if isinstance(value, str) else repr(value)[:60]


def _near(path: KeyPath) -> str:
    """A fix for an unknown key: the nearest key there, or where this key belongs, or all keys."""
    model = model_at(path[:-1])
    names = list(model.model_fields) if model else []
    wrong = str(path[-1])
    close = difflib.get_close_matches(wrong, names, 1, 0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"take it out; known here: {', '.join(names)}"


def _how_to_write(path: KeyPath) -> str:
    """A fix for a missing key."""
    if len(path) == 2 and path[0] == "tiers":
        return f"write {path[1]}: with its deployments, or with deployments: [] if it is meant to be empty"
    if path[-1] == "deployments":
        return "write the deployments, or deployments: [] if this tier is meant to be empty"
    model = model_at(path[:-1])
    described = model.model_fields[str(path[-1])].description if model and path[-1] in model.model_fields else None
    return f"write {path[-1]}: ... ({described.rstrip('.')})" if described else f"write {path[-1]}: ..."


def model_at(path: KeyPath) -> type[BaseModel] | None:
    """The model whose keys stand at ``path``, or None where it is no model."""
    annotation: Any = Configuration
    for part in path:
        annotation = inner(annotation, part)
        if annotation is None:
            return None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def inner(annotation: Any, part: str | int) -> Any:
    """The type behind one step of a path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        known = annotation.model_fields.get(str(part))
        return bare(known.annotation) if known else None
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        return bare(arguments[0])
    if typing.get_origin(annotation) is dict:
        return bare(arguments[1])
    return None


def bare(annotation: Any) -> Any:
    """Without Annotated and without ``| None``."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (Union, types.UnionType):
        left = [one for one in typing.get_args(annotation) if one is not type(None)]
        return bare(left[0]) if len(left) == 1 else annotation
    return annotation
