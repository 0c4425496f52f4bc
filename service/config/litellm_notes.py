"""What an import changed, line by line, and the reading of a LiteLLM file section by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.config.references import PREFIX
from service.config.yaml_source import Document, KeyPath, dotted
from service.errors import ConfigurationError

_SECRET = ("key", "password", "secret", "token", "credentials", "url")
_NOT_SECRET = ("max_tokens", "max_input_tokens", "max_output_tokens", "cost_per_token", "enable_", "base_url")
NOTHING = "left out"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that an import changed or left out.

    Attributes:
        line: Line in the file, or None for what was not there.
        key: Dotted key in the file.
        was: Its value as text; a secret in clear is never shown.
        now: What stands in our configuration instead.
        why: The reason, one sentence.
    """

    line: int | None
    key: str
    was: str
    now: str
    why: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.key}: {self.was} -> {self.now}: {self.why}"


@dataclass(slots=True)
class Notes:
    """Collects notes about one document."""

    document: Document
    items: list[Note] = field(default_factory=list)

    def add(self, path: KeyPath, was: Any, now: str, why: str) -> None:
        """Notes a change at ``path``."""
        shown = "a secret in clear" if _is_secret(path, was) else _short(was)
        self.items.append(Note(self.document.line_of(path), dotted(path), shown, now, why))

    def in_order(self) -> list[Note]:
        """All notes in the order of the file; what was not there comes last."""
        return sorted(self.items, key=lambda note: (note.line is None, note.line or 0))


class Section:
    """One mapping of a LiteLLM file; remembers which keys were read.

    Args:
        notes: Where changes go.
        path: Where the mapping stands.
        value: The mapping, or None where the file has none.

    Raises:
        ConfigurationError: ``value`` is no mapping.
    """

    def __init__(self, notes: Notes, path: KeyPath, value: Any) -> None:
        if value is not None and not isinstance(value, Mapping):
            raise wrong(notes.document, path, "is not a mapping", "write `name: value` lines under it")
        self.notes, self.path = notes, path
        self.value: Mapping[str, Any] = value or {}
        self._read: set[str] = set()

    def take(self, name: str) -> Any:
        """The value of a key, or None; it counts as read."""
        self._read.add(name)
        return self.value.get(name)

    def section(self, name: str) -> Section:
        """A mapping inside this one."""
        return Section(self.notes, (*self.path, name), self.take(name))

    def text(self, name: str) -> str | None:
        """A string, or None.

        Raises:
            ConfigurationError: Something else stands there.
        """
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise wrong(self.notes.document, (*self.path, name), f"is {value!r}", "write text, in quotes if need be")
        return value

    def number(self, name: str, *, least: float = 0, whole: bool = False) -> float | None:
        """A number of at least ``least``, or None; quotes around it do not matter.

        Raises:
            ConfigurationError: Something else stands there.
        """
        value = self.take(name)
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not least <= number < 1e12 or (whole and number != int(number)):
            kind = "whole number" if whole else "number"
            raise wrong(
                self.notes.document, (*self.path, name), f"is {_short(value)}", f"write a {kind} of at least {least:g}"
            )
        return number

    def flag(self, name: str) -> bool | None:
        """True or false, or None.

        Raises:
            ConfigurationError: Something else stands there.
        """
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.notes.document, (*self.path, name), f"is {_short(value)}", "write true or false")
        return value

    def note(self, name: str, now: str, why: str) -> None:
        """Notes what became of a key, if the file has it."""
        self._read.add(name)
        if name in self.value:
            self.notes.add((*self.path, name), self.value[name], now, why)

    def rest(self, reasons: Mapping[str, str], otherwise: str) -> None:
        """Notes every key that nothing has read as left out, with its reason."""
        for name in self.value:
            if name not in self._read:
                self.note(name, NOTHING, reasons.get(name, otherwise))


def wrong(document: Document, path: KeyPath, problem: str, fix: str) -> ConfigurationError:
    """An error at ``path`` of a LiteLLM file."""
    return ConfigurationError(document.place(path), dotted(path), problem, fix)


def _is_secret(path: KeyPath, value: Any) -> bool:
    name = str(path[-1]).lower()
    return (
        isinstance(value, str)
        and not value.startswith(PREFIX)
        and any(part in name for part in _SECRET)
        and not any(part in name for part in _NOT_SECRET)
    )


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(value) + "}"
    if isinstance(value, list):
        return (
            f"[{len(value)} entries]"
            if any(isinstance(v, Mapping) for v in value)
            else f"[{', '.join(map(str, value))}]"
        )
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
