"""``autotier serve``: the service on loopback, from a file or from what is found here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import click

from service.cli.heap import steady_heap
from service.cli.workers import Job, Workers, check_workers, listen
from service.config import Configuration
from service.config.load import load


@click.command("serve")
@click.option(
    "-c",
    "--config",
    "file",
    envvar="AUTOTIER_CONFIG",
    type=click.Path(path_type=Path),
    help="Configuration; ours or LiteLLM's.",
)
@click.option("--host", help="Address to bind instead of the configured one.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port instead of the configured one.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, help="Processes on one port; more than one share a Redis."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def command(file: Path | None, host: str | None, port: int | None, workers: int, log_level: str) -> None:
    """Run the service on 127.0.0.1:4000.

    Without a file it looks for Ollama on this machine and for cloud keys in the environment.
    """
    steady_heap()
    set_up_log(log_level)
    configuration, source = configured(file)
    host, port = host or configuration.server.host, configuration.server.port if port is None else port
    if workers == 1:
        run(configuration, source, host, port, lambda: read_again(file))
    else:
        sys.exit(run_workers(Job(configuration, source, file, host, log_level), port, workers))


def set_up_log(level: str) -> None:
    """Log lines to stderr from ``level`` on."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def configured(file: Path | None) -> tuple[Configuration, str]:
    """The configuration of ``file`` or the one found here, after saying what was changed or found.

    Raises:
        ConfigurationError: There is none that can be used.
    """
    if file is not None:
        loaded = load(file)
        for note in loaded.notes:
            click.echo(f"{file}: {note}", err=True)
        return loaded.configuration, str(file)
    from service.config.discover import discover

    found = discover()
    click.echo(found.text)
    return found.configuration, "found here"


def read_again(file: Path | None) -> Configuration:
    """The configuration as it is now, for a reload.

    Raises:
        ConfigurationError: It cannot be used.
    """
    if file is not None:
        return load(file).configuration
    from service.config.discover import discover

    return discover().configuration


def run(
    configuration: Configuration, source: str, host: str, port: int, again: Callable[[], Configuration] | None = None
) -> None:
    """Binds and serves until a signal.

    Args:
        configuration: Checked configuration.
        source: Its file, for messages.
        host: Address to bind.
        port: Port to bind.
        again: Reads the configuration for a reload; None: it stays.

    Raises:
        ConfigurationError: The binding, the port, the artifact or the store cannot be used.
    """
    from service.api.app import create_app
    from service.api.server import serve
    from service.binding import check_binding
    from service.bootstrap import opener

    check_binding(configuration, host, source)
    listen(host, port).close()  # a port that is taken is said in one line, before the service has begun
    serve(create_app(opener(configuration, source, host, again)), host, port, configuration.server.header_s)


def run_workers(job: Job, port: int, number: int) -> int:
    """Runs several workers until a signal; returns the exit status.

    Raises:
        ConfigurationError: The binding cannot be used, or the workers would share nothing.
        StoreError: The store cannot be opened.
    """
    from service.binding import check_binding
    from service.decisions.store import DecisionStore

    check_binding(job.configuration, job.host, job.source)
    check_workers(job.configuration, job.source, number)
    # Once, before the workers would all do it at the same time: migrations, and errors in one line.
    DecisionStore.open(job.configuration.store.url).close()
    with listen(job.host, port) as listening:
        return Workers(job, number, listening).run()
