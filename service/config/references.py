"""``os.environ/NAME`` in a configuration, and the environment variables that are ours."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from service.config.yaml_source import Text
from service.errors import ConfigurationError

PREFIX = "os.environ/"
KNOWN_VARIABLES = frozenset({"AUTOTIER_BASE", "AUTOTIER_CONFIG", "AUTOTIER_KEY"})
"""Our own environment variables. AUTOTIER_CONFIG: file for commands without ``-c``. AUTOTIER_BASE, AUTOTIER_KEY:
address and key for the scripts in ``configs``."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class StandIns(dict[str, str]):
    """An environment in which every variable is set: for checks of files whose keys are elsewhere."""

    def get(self, key: str, default: Any = None) -> Any:
        """A stand-in for any name."""
        return self[key]

    def __missing__(self, key: str) -> str:
        return "http://stand-in.invalid"  # passes where an address is expected as well


def resolved(value: Any, env: Mapping[str, str], file: str) -> tuple[Any, frozenset[str]]:
    """Puts the variables' values in the place of the references.

    Args:
        value: Mappings, lists, scalars.
        env: The environment.
        file: Name for messages.

    Returns:
        The value as plain containers, and the names that it referred to.

    Raises:
        ConfigurationError: A variable is not set, is empty, or is no name; file, line, key and the export to write.
    """
    used: set[str] = set()

    def walk(one: Any, key: str) -> Any:
        if isinstance(one, Mapping):
            return {str(name): walk(inner, f"{key}.{name}" if key else str(name)) for name, inner in one.items()}
        if isinstance(one, list | tuple):
            return [walk(inner, f"{key}[{number}]") for number, inner in enumerate(one)]
        if isinstance(one, str) and one.startswith(PREFIX):
            name = one.removeprefix(PREFIX)
            used.add(name)
            return _value_of(name, one, env, file, key)
        return str(one) if isinstance(one, str) else one

    return walk(value, ""), frozenset(used)


def check_environment(env: Mapping[str, str], used: frozenset[str] = frozenset()) -> None:
    """Refuses variables that look like ours and are not: a typing error there would be ignored in silence.

    Args:
        env: The environment.
        used: Names that the configuration refers to; they may begin as ours do.

    Raises:
        ConfigurationError: Names the variable and the nearest known one.
    """
    for name in sorted(env):
        if name.startswith("AUTOTIER_") and name not in KNOWN_VARIABLES and name not in used:
            near = difflib.get_close_matches(name, KNOWN_VARIABLES, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(KNOWN_VARIABLES))}"
            raise ConfigurationError(
                "environment", name, "no variable of autotier has this name", f"{hint} Otherwise: unset {name}"
            )


def _value_of(name: str, text: str, env: Mapping[str, str], file: str, key: str) -> str:
    line = f":{text.line}" if isinstance(text, Text) else ""
    key = text.key if isinstance(text, Text) else key
    if not _NAME.match(name):
        raise ConfigurationError(
            f"{file}{line}",
            key,
            f"{text[:80]!r} names no variable",
            "write os.environ/NAME, e.g. os.environ/OPENAI_API_KEY",
        )
    if not env.get(name):
        state = "is empty" if name in env else "is not set"
        raise ConfigurationError(
            f"{file}{line}", key, f"the environment variable {name} {state}", f"export {name}=... before the start"
        )
    return env[name]
