"""A configuration as YAML with a comment on every key; the comments are the models' own descriptions."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import yaml
from pydantic import BaseModel

from service.config.model import Configuration
from service.config.problems import bare, inner
from service.config.references import PREFIX
from service.config.yaml_source import Text

WIDTH = 118
SCHEMA_LINE = "# yaml-language-server: $schema={schema}"
SCHEMA_FILE = "autotier.schema.json"


def render(mapping: Mapping[str, Any], about: Sequence[str] = (), schema: str | None = SCHEMA_FILE) -> str:
    """Writes a mapping in our shape as YAML.

    Each kind of key is explained where it first stands. Sections that the mapping leaves out follow as comments, with
    their defaults.

    Args:
        mapping: Our shape, references unresolved; nothing in it may be a secret in clear (`without_secrets`).
        about: Lines of comment for the head of the file.
        schema: Path of the JSON schema as editors should find it, or None.

    Returns:
        YAML that `service.config.load.load` reads back into the same mapping.
    """
    writer = _Writer()
    if schema:
        writer.lines.append(SCHEMA_LINE.format(schema=schema))
    writer.lines += [f"# {line}".rstrip() for line in about]
    for name, field in Configuration.model_fields.items():
        if name in mapping:
            writer.lines.append("")
            writer.key(Configuration, name, mapping[name], "")
        elif isinstance(default := field.get_default(), BaseModel):
            aside = _Writer(writer.explained)
            aside.key(Configuration, name, default.model_dump(mode="json"), "")
            writer.lines += ["", *(line if line.startswith("#") else f"# {line}" for line in aside.lines)]
    return "\n".join(writer.lines).lstrip("\n") + "\n"


def without_secrets(mapping: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Puts references and hashes in the place of keys in clear.

    Returns:
        A copy, and one sentence for each key: which variable to export now, or that its hash was taken.
    """
    said: list[str] = []
    hosts = {name: _referred(host, name, said) for name, host in mapping["hosts"].items()}
    tiers = {
        tier: {**settings, "deployments": [_referred(d, d["id"], said) for d in settings["deployments"]]}
        for tier, settings in mapping["tiers"].items()
    }
    changed = {**mapping, "hosts": hosts, "tiers": tiers}
    if "callers" in mapping:
        changed["callers"] = [_hashed(caller, said) for caller in mapping["callers"]]
    return changed, said


def _referred(part: Mapping[str, Any], name: str, said: list[str]) -> dict[str, Any]:
    key = part.get("key")
    if not isinstance(key, str) or key.startswith(PREFIX):
        return dict(part)
    variable = "".join(c if c.isalnum() else "_" for c in name).upper() + "_KEY"
    where = f"the key of line {key.line}" if isinstance(key, Text) else "the key"
    said.append(f"export {variable}=... ({where}; it is not written into the new file)")
    return {**part, "key": PREFIX + variable}


def _hashed(caller: Mapping[str, Any], said: list[str]) -> dict[str, Any]:
    key = str(caller["key"])
    if key.startswith((PREFIX, "sha256:")):
        return dict(caller)
    said.append(f"the key of the caller {caller['name']} is kept as its sha256; clients send the same key as before")
    return {**caller, "key": "sha256:" + hashlib.sha256(key.encode()).hexdigest()}


class _Writer:
    """Collects lines; remembers which keys were explained.

    Args:
        explained: Keys (model, field) that need no comment any more; shared between writers.
    """

    def __init__(self, explained: set[tuple[type[BaseModel], str]] | None = None) -> None:
        self.lines: list[str] = []
        self.explained: set[tuple[type[BaseModel], str]] = set() if explained is None else explained

    def key(self, model: type[BaseModel], name: str, value: Any, indent: str, first: str | None = None) -> None:
        """Writes ``name: value`` with its comment.

        Args:
            model: Whose key it is.
            name: The key.
            value: Its value.
            indent: White space before it.
            first: What stands before the key instead of ``indent``, e.g. ``"  - "``.
        """
        field = model.model_fields[name]
        if field.description and (model, name) not in self.explained:
            self.explained.add((model, name))
            self._comment(field.description, indent)
        annotation = bare(field.annotation)
        head = f"{indent if first is None else first}{name}:"
        element = inner(annotation, 0) if isinstance(value, list | tuple) else None
        if _is_model(annotation) and isinstance(value, Mapping):
            self.lines.append(head)
            self.fields(annotation, value, indent + "  ")
        elif _is_model(element) and value:
            self.lines.append(head)
            for item in value:
                self.fields(element, item, indent + "    ", f"{indent}  - ")
        elif isinstance(value, Mapping) and _is_model(inner(annotation, "")) and value:
            self.lines.append(head)
            for entry, part in value.items():
                self.lines.append(f"{indent}  {flow(entry)}:")
                self.fields(inner(annotation, ""), part, indent + "    ")
        elif isinstance(value, list | tuple) and len(head) + len(flow(value)) >= WIDTH:
            self.lines += [head, *(f"{indent}  - {flow(item)}" for item in value)]
        else:
            self.lines.append(f"{head} {flow(value)}")

    def fields(self, model: type[BaseModel], value: Mapping[str, Any], indent: str, first: str | None = None) -> None:
        """Writes the keys of ``value`` in the model's order; ``first`` stands before the first one."""
        for name in model.model_fields:
            if name in value:
                self.key(model, name, value[name], indent, first)
                first = None

    def _comment(self, text: str, indent: str) -> None:
        for line in textwrap.wrap(text, WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False):
            self.lines.append(f"{indent}# {line}")


def flow(value: Any) -> str:
    """A value on one line."""
    text: str = yaml.safe_dump(plain(value), default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def plain(value: Any) -> Any:
    """Containers and scalars of exactly the builtin types."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return int(value)
    return value


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
