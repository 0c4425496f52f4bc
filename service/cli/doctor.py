"""``autotier doctor``: looks at hosts, keys, store, classifier, Redis and clock, and says how to mend what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from service.errors import ConfigurationError


@click.command("doctor")
@click.option(
    "-c",
    "--config",
    "file",
    envvar="AUTOTIER_CONFIG",
    type=click.Path(path_type=Path),
    help="Configuration; ours or LiteLLM's. Without one: what `serve` would find here.",
)
@click.option("--measure", is_flag=True, help="Also generate a short text with each local model, for tokens/s.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(context: click.Context, file: Path | None, measure: bool, as_json: bool) -> None:
    """Examine everything that the service relies on. Exit status 1 if something is wrong."""
    from service.config.load import load
    from service.doctor.endpoints import ToldEnvironment
    from service.doctor.examine import examine
    from service.doctor.findings import Status, shown

    environment = ToldEnvironment(os.environ)
    if file is None:
        from service.config.discover import discover

        configuration, source = discover().configuration, "found here"
    else:
        try:
            configuration, source = load(file, environment).configuration, str(file)
        except ConfigurationError:
            load(file)  # a stand-in may have been at fault: then this names the variable that is not set
            raise
    found = examine(configuration, source, environment, measure=measure)
    failed = any(finding.status is Status.FAILED for finding in found)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "findings": [finding.public() for finding in found]}, indent=1))
    else:
        click.echo(shown(found))
    if failed:
        context.exit(1)
