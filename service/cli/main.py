"""``autotier``: the commands and what all of them share. Each command is imported when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from service.errors import AutotierError

# name -> (module, what `--help` lists). Importing here would make `--help` as slow as the slowest command.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("service.cli.serve", "Run the service."),
    "demo": ("service.cli.demo", "Run the service in front of simulated hosts and show its decisions."),
    "init": ("service.cli.init", "Ask for your hosts and write a configuration."),
    "doctor": ("service.cli.doctor", "Examine hosts, keys, store and classifier; each failure with its fix."),
    "import": ("service.cli.import_", "Turn a LiteLLM configuration into ours."),
    "route": ("service.cli.route", "Say which tier a text would get, and why."),
    "keys": ("service.cli.keys", "Give, show and take back keys of callers."),
    "cache": ("service.cli.cache", "Look into the answer cache, empty it, measure it."),
    "log": ("service.cli.log", "Show the newest decisions."),
    "train": ("service.cli.train", "Train the classifier."),
    "evaluate": ("service.cli.evaluate", "Measure a classifier."),
    "promote": ("service.cli.promote", "Let a challenger serve, if it passes the gate."),
    "rollback": ("service.cli.rollback", "Let the version before serve again."),
    "compare": ("service.cli.compare", "Say whether routing pays: on outcomes, labels or the log."),
    "experiment": ("service.cli.experiment", "Start, stop and report an online experiment."),
    "schema": ("service.cli.schema", "Print the JSON schema of the configuration."),
}


class Commands(click.Group):
    """Loads a command's module when it is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[name][0]), "command")  # noqa: B009  # mypy: not typed
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="autotier")
def cli() -> None:
    """autotier sends each request to the least capable tier that gets it right."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; errors of ours, and files that the system refuses, are one line and exit 2."""
    try:
        given = list(arguments) if arguments is not None else None
        status = cli.main(args=given, prog_name="autotier", standalone_mode=False)
        if isinstance(status, int) and status:  # what a command gave to `Context.exit`
            sys.exit(status)
    except AutotierError as error:
        click.echo(f"autotier: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:  # not about a file that somebody named: a defect, with its trace
            raise
        click.echo(f"autotier: {error.filename}: {error.strerror}; check the path and its rights", err=True)
        sys.exit(2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
