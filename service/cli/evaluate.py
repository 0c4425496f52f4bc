"""``autotier evaluate``: measures a classifier and writes the report."""

from __future__ import annotations

from pathlib import Path

import click

from classifier import ArtifactError
from service.cli.train import TrainingFailed


@click.command("evaluate")
@click.option("--artifact", type=click.Path(path_type=Path), help="Artifact folder; default: the shipped champion.")
@click.option("--corpora", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder of corpora.")
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Base data; default: ours.")
@click.option("--report", "out", type=click.Path(path_type=Path), help="Folder for report.md, report.json and plots.")
@click.option("--stages", type=click.IntRange(1, 2), help="Stages to use; default: all that are installed.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--judge",
    "judged",
    type=click.IntRange(min=3),
    metavar="N",
    help="Ask classifier.judge of -c about N frozen rows instead: what is it worth?",
)
@click.option(
    "-c",
    "--config",
    "file",
    envvar="AUTOTIER_CONFIG",
    type=click.Path(path_type=Path),
    help="With --judge: configuration that names the judge, and the classifier before it.",
)
def command(
    artifact: Path | None, corpora: Path | None, data: Path | None, out: Path | None, stages: int | None, seed: int,
    judged: int | None, file: Path | None,
) -> None:  # fmt: skip
    """Measure a classifier on the frozen set and, with corpora, with whole sources held out."""
    from training.dataset import DatasetError
    from training.evaluate import run

    if judged is not None:
        if file is None or artifact or corpora or out or stages:
            raise click.UsageError("--judge takes -c FILE, --data and --seed, and nothing else")
        from service.cli.evaluate_judge import measured

        try:
            click.echo(measured(file, judged, data, seed))
        except DatasetError as error:
            raise TrainingFailed(str(error)) from error
        return
    try:
        report = run(
            artifact=artifact, corpora=corpora, data=data, out=out, stages=stages, seed=seed,
            say=lambda line: click.echo(line, err=True),
        )  # fmt: skip
    except (DatasetError, ArtifactError) as error:
        raise TrainingFailed(str(error)) from error
    click.echo(report.markdown)
