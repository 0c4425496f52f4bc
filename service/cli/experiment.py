"""``autotier experiment``: starts, stops and reports online experiments."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli.compare import configuration
from service.cli.log import opened, store_url
from service.errors import AutotierError

if TYPE_CHECKING:
    from service.config.experiments import ExperimentSettings
    from service.decisions.store import DecisionStore


class ExperimentRefused(AutotierError):
    """An experiment that cannot be started or stopped as asked."""


@click.group("experiment")
@click.option(
    "-c", "--config", envvar="AUTOTIER_CONFIG", type=click.Path(path_type=Path),
    help="Configuration with the experiments and the store.",
)  # fmt: skip
@click.option("--store", metavar="URL", help="Store instead of the configuration's.")
@click.pass_context
def command(ctx: click.Context, config: Path | None, store: str | None) -> None:
    """Run an online experiment: conversations are dealt to arms by a stable hash.

    The experiment `explore` is always there: 30 % of the conversations get a random tier.
    """
    ctx.obj = {"config": config, "store": store}


@command.command("start")
@click.argument("name")
@click.pass_obj
def start(places: dict[str, Any], name: str) -> None:
    """Start the experiment NAME; a running service follows within seconds."""
    from service.experiments.state import Running

    experiment = _named(places, name)
    with _writable(places) as store:
        running = Running.read(store)
        if running is not None and running.until_s is None:
            raise ExperimentRefused(f"experiment {running.name!r} runs already: autotier experiment stop")
        Running(name, time.time()).write(store)
    shares = ", ".join(f"{arm.name} {arm.share:.0%}" for arm in experiment.arms)
    click.echo(f"{name} started, by {experiment.unit}: {shares}")


@command.command("stop")
@click.pass_obj
def stop(places: dict[str, Any]) -> None:
    """Stop the running experiment; what it has logged stays."""
    from service.experiments.state import Running

    with _writable(places) as store:
        running = Running.read(store)
        if running is None or running.until_s is not None:
            raise ExperimentRefused("no experiment runs")
        replace(running, until_s=time.time()).write(store)
    click.echo(f"{running.name} stopped")


@command.command("report")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def report(places: dict[str, Any], name: str | None, as_json: bool) -> None:
    """Say what the experiment NAME (default: the last one started) has shown. Looking often does no harm."""
    from service.experiments.report import report as made
    from service.experiments.report import shown
    from service.experiments.state import Running

    with opened(places["config"], places["store"]) as store:
        running = Running.read(store)
        if name is None and running is None:
            raise ExperimentRefused("no experiment was ever started: autotier experiment start explore")
        experiment = _named(places, name or (running.name if running is not None else ""))
        found = made(experiment, running, store.export())
    click.echo(json.dumps(found, indent=1, allow_nan=False) if as_json else "\n".join(shown(found)))


def _named(places: dict[str, Any], name: str) -> ExperimentSettings:
    from service.experiments.arms import known_experiments

    known = known_experiments(configuration(places["config"]).experiments)
    if name not in known:
        raise ExperimentRefused(f"no experiment is named {name!r}; known: {', '.join(known)} (section experiments)")
    return known[name]


@contextmanager
def _writable(places: dict[str, Any]) -> Iterator[DecisionStore]:
    from service.decisions.store import DecisionStore

    store = DecisionStore.open(places["store"] or store_url(places["config"]), create=False)
    try:
        yield store
    finally:
        store.close()
