"""``autotier schema``: the JSON schema of the configuration."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("schema")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write instead of stdout."
)
def command(output: Path | None) -> None:
    """Print the JSON schema of the configuration, for editors (yaml-language-server) and checks."""
    from service.config.schema import schema_text

    if output is None:
        click.echo(schema_text(), nl=False)
    else:
        output.write_text(schema_text(), encoding="utf-8")
