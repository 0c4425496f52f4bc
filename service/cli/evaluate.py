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
def command(
    artifact: Path | None, corpora: Path | None, data: Path | None, out: Path | None, stages: int | None, seed: int
) -> None:
    """Measure a classifier on the frozen set and, with corpora, with whole sources held out."""
    from training.dataset import DatasetError
    from training.evaluate import run

    try:
        report = run(
            artifact=artifact, corpora=corpora, data=data, out=out, stages=stages, seed=seed,
            say=lambda line: click.echo(line, err=True),
        )  # fmt: skip
    except (DatasetError, ArtifactError) as error:
        raise TrainingFailed(str(error)) from error
    click.echo(report.markdown)
