"""From a file to a configuration: YAML, references, LiteLLM's shape, validation; every failure is one line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from service.config.litellm_import import Note, convert
from service.config.model import Configuration
from service.config.problems import from_message, one_line
from service.config.providers import in_house, is_this_machine
from service.config.references import PREFIX, check_environment, resolved
from service.config.yaml_source import Document, KeyPath, Text, dotted, read
from service.errors import ConfigurationError
from service.routing.fields import DOCUMENTED, NEVER


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and how it came about.

    Attributes:
        configuration: Ready to use, with the secrets of the environment in it.
        notes: What was changed or left out of a LiteLLM file, in the file's order; empty for ours.
        source: The file as the user named it.
    """

    configuration: Configuration
    notes: tuple[Note, ...]
    source: str


_URLS = (("store", "url", "POSTGRES_URL"), ("state", "redis_url", "REDIS_URL"), ("cache", "redis_url", "REDIS_URL"))
"""Keys whose URLs may hold a password, and the variable to put it in."""


def load_configuration(path: str | Path, env: Mapping[str, str] = os.environ) -> Configuration:
    """`load` without its notes."""
    return load(path, env).configuration


def load(path: str | Path, env: Mapping[str, str] = os.environ) -> Loaded:
    """Reads a configuration of ours or LiteLLM's.

    Args:
        path: The file.
        env: Where ``os.environ/NAME`` is looked up.

    Raises:
        ConfigurationError: It cannot be used; one line with file, line, key and fix.
    """
    document = read(Path(path))
    notes: tuple[Note, ...] = ()
    if "model_list" in document.value:
        document, notes = converted(document, env)
    else:
        _check_secrets(document)
    return Loaded(_beside(validated(document, env), Path(path)), notes, str(path))


def converted(document: Document, env: Mapping[str, str] = os.environ) -> tuple[Document, tuple[Note, ...]]:
    """A LiteLLM file in our shape, references still unresolved, and what that changed.

    Raises:
        ConfigurationError: It cannot be expressed.
    """
    mapping, notes = convert(document, env)
    return replace(document, value=mapping, lines={}), tuple(notes)


def validated(document: Document, env: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration of a document in our shape.

    Raises:
        ConfigurationError: A reference, a key, a value or a cross-check fails.
    """
    value, used = resolved(document.value, env, document.file)
    check_environment(env, used)
    try:
        configuration = Configuration.model_validate(value)
    except ValidationError as error:
        raise one_line(error, replace(document, value=value)) from None
    _check_fields(configuration, document)
    return configuration


def _beside(configuration: Configuration, path: Path) -> Configuration:
    """The file of callers and the versions are named relative to the configuration, not to where the service starts."""
    folder = path.resolve().parent
    classifier = configuration.classifier
    here: dict[str, Any] = {"classifier": classifier.model_copy(update={"versions": str(folder / classifier.versions)})}
    if configuration.callers_file is not None:
        here["callers_file"] = str(folder / configuration.callers_file)
    return configuration.model_copy(update=here)


def _check_secrets(document: Document) -> None:
    """Refuses keys and passwords in clear; a file ends up in a backup, a commit or a screenshot.

    The key of a host in the house is let off: what stands there is a word that some local server wants to see.

    Raises:
        ConfigurationError: With the reference to write instead.
    """

    def walk(value: Any, path: KeyPath) -> None:
        if isinstance(value, Mapping):
            address = value.get("address")
            if isinstance(address, str) and in_house(address):
                return
            for name, inner in value.items():
                walk(inner, (*path, name))
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(inner, (*path, number))
        elif path[-1] == "key" and isinstance(value, Text) and not value.startswith((PREFIX, "sha256:")):
            raise ConfigurationError(
                document.place(path), dotted(path), "a key in clear", f"write {PREFIX}NAME and export NAME=..."
            )

    for section in ("hosts", "tiers", "callers"):
        walk(document.value.get(section), (section,))
    for part, key, variable in _URLS:
        found = document.value.get(part)
        url = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(url, Text) and not url.startswith(PREFIX) and _holds_password(url):
            fix = f"write {key}: {PREFIX}{variable} and export {variable}=... with the whole URL"
            raise ConfigurationError(document.place((part, key)), f"{part}.{key}", "a password in clear", fix)


def _holds_password(url: str) -> bool:
    """Whether a URL of a store or a Redis has a password in it; a server on this machine is let off."""
    try:
        parts = urlsplit(url)
        named = parse_qs(parts.query).keys() & {"password", "sslpassword"}
        return (bool(parts.password) or bool(named)) and not is_this_machine(url)
    except ValueError:
        return False  # no URL at all: whoever opens it says so


def _check_fields(configuration: Configuration, document: Document) -> None:
    """Checks the field names of every deployment against what may pass at all.

    Raises:
        ConfigurationError: An ``extra_fields`` that would open an address, a key or a control of litellm's to clients,
            or a ``capabilities.fields`` that is not OpenAI's.
    """
    for tier, settings in configuration.tiers:
        for number, deployment in enumerate(settings.deployments):
            key = f"tiers.{tier}.deployments[{number}]"
            for name in deployment.extra_fields:
                if name in NEVER:
                    problem = f"{name!r} is an address, a key or a control that no client may set; take it out"
                    raise from_message(f"{key}.extra_fields: {problem}", document)
                if name in DOCUMENTED:
                    problem = f"{name!r} is a field of OpenAI's; list it in capabilities.fields instead"
                    raise from_message(f"{key}.extra_fields: {problem}", document)
            for name in deployment.capabilities.fields or ():
                if name not in DOCUMENTED:
                    problem = f"{name!r} is not a field of OpenAI's; list it in extra_fields instead"
                    raise from_message(f"{key}.capabilities.fields: {problem}", document)
