"""``autotier init``: asks for the hosts, checks them, writes a configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from service.errors import ConfigurationError

NONE = "none"
SUGGESTED = {"mini": "mini.local", "macbook": "macbook.local"}


@click.command("init")
@click.option("--mini", metavar="ADDRESS", help="Ollama on the small machine, e.g. mini.local; none: there is none.")
@click.option("--macbook", metavar="ADDRESS", help="Ollama on the larger machine; none: there is none.")
@click.option("--openai-key-env", metavar="NAME", help="Variable that holds OpenAI's key; none: no such account.")
@click.option("--openrouter-key-env", metavar="NAME", help="The same for OpenRouter, a second cloud for reasoning.")
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given takes its default.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("autotier.yaml"),
    show_default=True,
    help="File to write.",
)
def command(
    mini: str | None,
    macbook: str | None,
    openai_key_env: str | None,
    openrouter_key_env: str | None,
    yes: bool,
    force: bool,
    output: Path,
) -> None:
    """Ask for your hosts, check what they serve, and write a commented configuration.

    A host that does not answer is written all the same; what is wrong with it is said.
    """
    if output.exists() and not force:
        raise ConfigurationError(str(output), "(file)", "is there already", "name another with -o, or add --force")
    given = {"mini": mini, "macbook": macbook}
    addresses = {name: _address(name, value, yes) for name, value in given.items()}
    variables = {
        "openai": _answer("Variable that holds OpenAI's key", openai_key_env, "OPENAI_API_KEY", yes),
        "openrouter": _answer("Variable that holds OpenRouter's key", openrouter_key_env, _openrouter(), yes),
    }
    text, said = written(
        {name: address for name, address in addresses.items() if address != NONE},
        {name: variable for name, variable in variables.items() if variable != NONE},
        str(output),
    )
    output.write_text(text, encoding="utf-8")
    for line in said:
        click.echo(line)
    click.echo(f"{output}: written; start it with: autotier serve -c {output}")


def written(addresses: dict[str, str], variables: dict[str, str], file: str) -> tuple[str, list[str]]:
    """Checks the hosts and makes the file's text.

    Args:
        addresses: Base URL by host name (``mini``, ``macbook``).
        variables: Variable of the key by cloud name (``openai``, ``openrouter``).
        file: Where it goes, for messages.

    Returns:
        YAML, and what was seen, one line each.

    Raises:
        ConfigurationError: Neither a host nor a cloud, or a variable that cannot be one.
    """
    from service.config.load import validated
    from service.config.probe import probe
    from service.config.references import StandIns
    from service.config.render import render
    from service.config.seed import seed_document
    from service.config.yaml_source import Document

    if not addresses and not variables:
        raise ConfigurationError(file, "hosts", "neither a machine nor a cloud is named", "give --mini ADDRESS")
    mapping = _kept(seed_document(), addresses, variables)
    said = []
    for name, address in addresses.items():
        said += _seen(name, probe(address, details=False), _models(mapping, name))
    for variable in variables.values():
        if not os.environ.get(variable):
            said.append(f"{variable} is not set: export {variable}=... before the start")
    for tier, settings in mapping["tiers"].items():
        if not settings["deployments"]:
            said.append(f"{tier}: no deployment; requests for it get a 503 until there is one")
    validated(Document(file, mapping), StandIns())
    about = ["Written by `autotier init`. More machines are more entries under hosts and in the tiers."]
    return render(mapping, [*about, "Prices are list prices: compare them with the clouds' pages."], schema=None), said


def _kept(seed: dict[str, Any], addresses: dict[str, str], variables: dict[str, str]) -> dict[str, Any]:
    """The seed with these addresses and keys, without the hosts that are not there."""
    hosts: dict[str, Any] = {}
    for name, host in seed["hosts"].items():
        if name in addresses:
            hosts[name] = {**host, "address": addresses[name]}
        elif name in variables:
            hosts[name] = {**host, "key": f"os.environ/{variables[name]}"}
    tiers = {
        tier: {**settings, "deployments": [d for d in settings["deployments"] if d["host"] in hosts]}
        for tier, settings in seed["tiers"].items()
    }
    return {**seed, "hosts": hosts, "tiers": tiers}


def _models(mapping: dict[str, Any], host: str) -> list[str]:
    """The models that the configuration expects at a host."""
    every = [d for settings in mapping["tiers"].values() for d in settings["deployments"]]
    return list(dict.fromkeys(d["model"] for d in every if d["host"] == host))


def _seen(name: str, report: Any, wanted: list[str]) -> list[str]:
    """Lines about one host."""
    if report.problem:
        return [f"{name} ({report.address}): {report.problem}"]
    has = ", ".join(model.name for model in report.models) or "no model"
    lines = [f"{name} ({report.address}): Ollama {report.version}, has {has}"]
    lines += [f"{name}: on it, run: ollama pull {model}" for model in wanted if not report.has(model)]
    return lines


def _address(name: str, given: str | None, yes: bool) -> str:
    """The base URL of a host, or ``none``.

    Raises:
        click.BadParameter: It is no address.
    """
    from service.config.probe import ollama_address

    text = _answer(f"Address of the {name}'s Ollama (none: there is none)", given, SUGGESTED[name], yes)
    if text == NONE:
        return NONE
    try:
        return ollama_address(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{name}") from error


def _answer(question: str, given: str | None, default: str, yes: bool) -> str:
    """What was given, else what is answered, else the default."""
    if given is not None:
        return given.strip() or NONE
    if yes:
        return default
    answer: str = click.prompt(question, default=default)
    return answer.strip() or NONE


def _openrouter() -> str:
    """OpenRouter only where its key is there already: a second account is not everybody's."""
    return "OPENROUTER_API_KEY" if os.environ.get("OPENROUTER_API_KEY") else NONE
