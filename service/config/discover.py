"""A configuration from what this machine has: Ollama on loopback and cloud keys in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from classifier import Tier
from service.config.house import CLOUDS, Cloud, chosen, house
from service.config.load import validated
from service.config.model import Configuration
from service.config.probe import HostReport, ollama_address, probe
from service.config.providers import OLLAMA_ADDRESS, OLLAMA_PORT
from service.config.render import render
from service.config.yaml_source import Document
from service.errors import ConfigurationError

HERE = "this-machine"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # the reverse of binding: where to ask


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        configuration: Ready to use.
        text: The same as YAML for a file, with comments on how to go on.
    """

    configuration: Configuration
    text: str


def discover(env: Mapping[str, str] = os.environ) -> Found:
    """Looks for Ollama here and for cloud keys.

    Args:
        env: The environment: keys, and OLLAMA_HOST where Ollama listens on another port.

    Raises:
        ConfigurationError: There is neither; says what to do.
    """
    report = probe(ollama_here(env))
    clouds = tuple(cloud for cloud in CLOUDS if env.get(cloud.variable))
    usable = chosen(report.models, Tier.LIGHTWEIGHT) is not None
    if not usable and not clouds:
        raise _nothing(report)
    mapping = house({HERE: report} if usable else {}, clouds)
    document = Document("what was found here", mapping)
    text = render(mapping, _about(report, usable, clouds), schema=None)
    return Found(validated(document, env), text)


def ollama_here(env: Mapping[str, str]) -> str:
    """Where Ollama of this machine listens: OLLAMA_HOST as Ollama itself reads it, else its usual port."""
    try:
        address = ollama_address(env["OLLAMA_HOST"])
    except (KeyError, ValueError):
        return OLLAMA_ADDRESS
    name = urlsplit(address).hostname or ""
    if name in _ANY:
        return f"http://{'[::1]' if name == '::' else _ANY[name]}:{urlsplit(address).port or OLLAMA_PORT}"
    return address


def _nothing(report: HostReport) -> ConfigurationError:
    variables = ", ".join(cloud.variable for cloud in CLOUDS)
    if report.version is not None:
        problem = f"Ollama at {report.address} has no chat model, and none of {variables} is set"
        return ConfigurationError("serve", "(no file)", problem, "ollama pull qwen3:8b, or export OPENAI_API_KEY=...")
    problem = f"no Ollama at {report.address} ({report.problem}), and none of {variables} is set"
    fix = "start Ollama and ollama pull qwen3:8b, or export OPENAI_API_KEY=..., or name a file: serve -c FILE"
    return ConfigurationError("serve", "(no file)", problem, f"{fix}; autotier demo needs none of these")


def _about(report: HostReport, usable: bool, clouds: tuple[Cloud, ...]) -> list[str]:
    """What stands at the head of the text."""
    lines = [
        "Found here by `autotier serve`, which was given no file. Write it into a file and start with serve -c FILE."
    ]
    if usable:
        lines.append(f"Ollama {report.version} at {report.address}: {', '.join(m.name for m in report.models)}.")
    else:
        lines.append(f"No local model: {report.problem or 'ollama pull qwen3:8b gives the lightweight tier one'}.")
    if clouds:
        lines.append(
            f"Keys: {', '.join(cloud.variable for cloud in clouds)}. Compare the prices with the clouds' pages."
        )
    else:
        lines.append("No cloud key, so the reasoning tier is empty: export OPENAI_API_KEY=... fills it.")
    lines += [
        "To add another machine: there, set OLLAMA_HOST=0.0.0.0 and restart Ollama; here, run",
        "autotier init --mini ADDRESS --macbook ADDRESS, or write it under hosts and its models into the tiers.",
    ]
    return lines
