"""YAML with its places: safe, duplicate keys are errors, and every key knows its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from service.errors import ConfigurationError

KeyPath = tuple[str | int, ...]
MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 50_000
"""A file of a few aliases can stand for billions of nodes; no configuration comes near this."""
_MERGE = "tag:yaml.org,2002:merge"
_CONTAINERS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class Text(str):
    """A string of the file that knows where it stands, also after it was moved to another key.

    Attributes:
        line: Line in the file, from 1.
        key: Dotted key in the file.
    """

    __slots__ = ("key", "line")
    line: int
    key: str

    @classmethod
    def at(cls, value: str, line: int, key: str) -> Text:
        """``value`` with its place."""
        text = cls(value)
        text.line, text.key = line, key
        return text


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file.

    Attributes:
        file: Name as the user gave it.
        value: Mappings, lists and scalars; strings are `Text`.
        lines: Line of each key path, from 1.
    """

    file: str
    value: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line_of(self, path: KeyPath) -> int | None:
        """Line of ``path``, else that of its nearest parent in the file, or None."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def place(self, path: KeyPath) -> str:
        """``FILE:LINE``, or ``FILE`` where no line is known."""
        line = self.line_of(path)
        return self.file if line is None else f"{self.file}:{line}"


def dotted(path: KeyPath) -> str:
    """``tiers.coding.deployments[0].host`` for a path; ``(file)`` for the whole."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(file)"


def read(path: Path) -> Document:
    """Reads and parses a file.

    Raises:
        ConfigurationError: Not there, not readable, not UTF-8, too large, or see `parse`.
    """
    file = str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            file, "(file)", "there is no such file", "check the path, or write one with `autotier init`"
        ) from None
    except OSError as error:
        raise ConfigurationError(file, "(file)", f"cannot be read ({error.strerror})", "name a readable file") from None
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(file, "(file)", f"has {len(raw):,} bytes", f"stay below {MAX_BYTES:,}")
    try:
        return parse(raw.decode("utf-8-sig"), file)
    except UnicodeDecodeError as error:
        raise ConfigurationError(file, "(file)", f"is not UTF-8 at byte {error.start}", "save it as UTF-8") from None


def parse(text: str, file: str) -> Document:
    """Parses YAML text.

    Args:
        text: YAML 1.1, one document, a mapping at the top.
        file: Name for messages.

    Raises:
        ConfigurationError: Not YAML, an unsafe tag, a duplicate key, a key that is no string, or no mapping at the top.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigurationError(
                file, "(file)", "is empty", "start from configs/two-macs.yaml or write one with `autotier init`"
            )
        builder = _Builder(loader, file)
        value = builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        said = error.problem or error.context or "cannot be parsed"
        raise ConfigurationError(place, "(YAML)", said, "check indentation, colons and quotes there") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(file, "(YAML)", str(error), "check indentation, colons and quotes") from None
    except RecursionError:
        raise ConfigurationError(file, "(YAML)", "is nested too deeply", "check for brackets without end") from None
    if not isinstance(value, dict):
        raise ConfigurationError(file, "(file)", "is not a mapping", "write keys such as `hosts:` and `tiers:`")
    return Document(file, value, builder.lines)


class _Builder:
    """Turns nodes into values and notes the lines."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._loader, self._file = loader, file
        self._open: list[yaml.Node] = []
        self._nodes = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        """The value of ``node``."""
        self._nodes += 1
        if self._nodes > MAX_NODES or any(node is one for one in self._open):
            raise self._wrong(node, path, "aliases that repeat without end", "write the values out")
        if isinstance(node, yaml.CollectionNode) and node.tag not in _CONTAINERS:
            raise self._wrong(node, path, f"the tag {node.tag} is not read here", "write plain mappings and lists")
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._item(one, (*path, number)) for number, one in enumerate(node.value)]
            value = self._scalar(node, path)
            if isinstance(value, str):
                return Text.at(value, node.start_mark.line + 1, dotted(path))
            return value
        finally:
            self._open.pop()

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        """A string, number, switch, date or null."""
        try:
            value: Any = self._loader.construct_object(node, deep=True)
        except (ValueError, OverflowError) as error:  # a date or a number that cannot be
            raise self._wrong(node, path, str(error), "put quotes around it if it is meant as text") from None
        return value

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.build(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged = self._merge(value_node, path) | merged
                continue
            key = self._scalar(key_node, path)
            if not isinstance(key, str):
                raise self._wrong(key_node, path, f"the key {key!r} is not a string", f'write it as "{key}"')
            if key in own:
                first = self.lines[(*path, key)]
                raise self._wrong(
                    key_node, (*path, key), f"is written twice, first in line {first}", "keep one of the two"
                )
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own}

    def _merge(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """What ``<<`` brings in; the first of several mappings wins (YAML's merge type)."""
        merged: dict[str, Any] = {}
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(one, yaml.MappingNode):
                raise self._wrong(one, path, "<< does not name a mapping", "merge an anchor of a mapping: <<: *name")
            lines = dict(self.lines)
            merged = self.build(one, path) | merged
            self.lines = lines | {k: v for k, v in self.lines.items() if k not in lines}
        return merged

    def _wrong(self, node: yaml.Node, path: KeyPath, problem: str, fix: str) -> ConfigurationError:
        return ConfigurationError(f"{self._file}:{node.start_mark.line + 1}", dotted(path), problem, fix)
