"""``autotier import``: a LiteLLM file in our shape, and what that changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from service.errors import ConfigurationError


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default: stdout.")
def command(file: Path, output: Path | None) -> None:
    """Turn the LiteLLM configuration FILE into ours.

    Every change and the reason for it is a line on stderr; the new configuration goes to stdout or to the file of -o.
    Keys in clear are not written: the lines say which variable to export instead.
    """
    text, said = imported(file)
    for line in said:
        click.echo(f"{file}: {line}", err=True)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output}: written; start it with: autotier serve -c {output}", err=True)


def imported(file: Path) -> tuple[str, list[str]]:
    """Converts a file.

    Returns:
        The new YAML, checked, and the notes.

    Raises:
        ConfigurationError: It is no LiteLLM file, or cannot be expressed.
    """
    from service.config.load import converted, validated
    from service.config.references import StandIns
    from service.config.render import render, without_secrets
    from service.config.yaml_source import read

    document = read(file)
    if "model_list" not in document.value:
        raise ConfigurationError(
            str(file),
            "model_list",
            "is missing, so this is no LiteLLM file",
            "our own form needs no import: serve -c FILE",
        )
    document, notes = converted(document, os.environ)
    mapping, said = without_secrets(document.value)
    validated(replace(document, value=mapping), StandIns())
    about = [f"Converted from {file.name} by `autotier import`.", "Keys stand in the environment: os.environ/NAME."]
    return render(mapping, about, schema=None), [*map(str, notes), *said]
