"""``autotier compare``: does routing pay? On an outcome table, on labelled requests, or on the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classifier import ArtifactError
from service.cli.log import Since, opened
from service.config import Configuration
from service.errors import AutotierError

if TYPE_CHECKING:
    from training.analysis.economics import Price
    from training.compare import Settings


class ComparisonFailed(AutotierError):
    """The comparison stopped: its input cannot be used."""


@click.command("compare")
@click.option("--outcomes", type=click.Path(path_type=Path), help="Outcome table, JSON lines: what each tier gave.")
@click.option("--labelled", type=click.Path(path_type=Path), help="Labelled requests, JSON lines.")
@click.option("--log", "from_log", is_flag=True, help="The log of decisions with its feedback.")
@click.option("--since", type=Since(), help="With --log: a span such as 7d, or a date and time.")
@click.option("--experiment", help="With --log: only this experiment's assignments.")
@click.option("--store", metavar="URL", help="With --log: store instead of the configuration's.")
@click.option(
    "-c", "--config", envvar="AUTOTIER_CONFIG", type=click.Path(path_type=Path),
    help="Configuration, for prices, speeds and store; default: the shipped two-macs.yaml.",
)  # fmt: skip
@click.option("--artifact", type=click.Path(path_type=Path), help="Artifact under test; default: the configuration's.")
@click.option("--against", type=click.Path(path_type=Path), help="A second artifact, as an arm of its own.")
@click.option("--stages", type=click.IntRange(1, 2), help="Stages to use; default: the configuration's.")
@click.option("--litellm/--no-litellm", default=True, help="Ask litellm's complexity router too (some ten seconds).")
@click.option("--times", type=click.IntRange(min=100), default=1_000, show_default=True, help="Bootstrap draws.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path, allow_dash=True), help="Write JSON; - is stdout.")
@click.option("--report", "report", type=click.Path(path_type=Path), help="Folder for Markdown, JSON, HTML and plots.")
def command(
    outcomes: Path | None, labelled: Path | None, from_log: bool, json_file: Path | None, report: Path | None,
    **options: Any,
) -> None:  # fmt: skip
    """Compare routing with every fixed tier, its own mix shuffled, an oracle and litellm's router; give a verdict."""
    from training.compare_report import markdown, to_json, write

    if (outcomes is not None) + (labelled is not None) + from_log != 1:
        raise click.UsageError("name one of --outcomes FILE, --labelled FILE, --log")
    result = _from_log(options) if from_log else _from_file(outcomes, labelled, options)
    if report is not None:
        for line in write(result, report):
            click.echo(line, err=True)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(to_json(result), encoding="utf-8")
    click.echo(to_json(result) if str(json_file) == "-" else markdown(result), nl=False)


def configuration(config: Path | None) -> Configuration:
    """The named configuration with stand-ins for its keys, which a comparison never uses, or the shipped one."""
    from service.config.load import load
    from service.config.references import StandIns
    from service.config.seed import seed_configuration

    return load(config, StandIns()).configuration if config is not None else seed_configuration()


def _from_file(outcomes: Path | None, labelled: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    from training.compare import run
    from training.compare_input import CompareError, read_labelled, read_outcomes

    settings = _settings(options)
    try:
        if outcomes is not None:
            compared = read_outcomes(outcomes, settings.chain)
        else:
            assert labelled is not None
            compared = read_labelled(labelled, settings.chain)
        return run(compared, settings, say=lambda line: click.echo(line, err=True))
    except (CompareError, ArtifactError) as error:
        raise ComparisonFailed(str(error)) from error


def _settings(options: dict[str, Any]) -> Settings:
    """With a configuration: its artifact, its stages, its chain's prices, speeds and cost matrix."""
    from service.routing.look import artifact_in_use
    from service.routing.matrix import chain_of, matrices_of
    from training.compare import Settings

    own = configuration(options["config"])
    named = artifact_in_use(own)
    return Settings(
        artifact=options["artifact"] or named,
        against=options["against"],
        stages=options["stages"] or own.classifier.stages,
        matrix=matrices_of(own)["default"] if options["config"] is not None else None,
        chain=chain_of(own),
        times=options["times"],
        seed=options["seed"],
        litellm=options["litellm"],
    )


def _from_log(options: dict[str, Any]) -> dict[str, Any]:
    from training.compare_log import run_log

    own = configuration(options["config"])
    with opened(options["config"], options["store"]) as store:
        rows = [row for row in store.export() if options["since"] is None or row["created_s"] >= options["since"]]
    return run_log(rows, _price(own), experiment=options["experiment"], times=options["times"], seed=options["seed"])


def _price(own: Configuration) -> Price:
    """What the reasoning tier's first deployment asks for; a tier without any: nothing is claimed to be saved."""
    from training.analysis.economics import Price

    deployments = own.tiers.reasoning.deployments
    if not deployments:
        click.echo("the reasoning tier has no deployment: what it would have cost counts as nothing", err=True)
        return Price(0.0, 0.0)
    prices = deployments[0].prices
    return Price(prices.input_per_mtok, prices.output_per_mtok)
