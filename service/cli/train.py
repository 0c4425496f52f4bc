"""``autotier train``: fits a classifier and writes an artifact folder."""

from __future__ import annotations

from pathlib import Path

import click

from service.errors import AutotierError


class TrainingFailed(AutotierError):
    """Training stopped: data are missing, malformed, or hold what they must not."""


@click.command("train")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to write the artifact to.")
@click.option("--corpora", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder of corpora.")
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Base data; default: ours.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--from-scratch", is_flag=True, help="Take no weights of the shipped champion.")
@click.option("--name", default="champion", show_default=True, help="Name of the artifact.")
def command(out: Path, corpora: Path | None, data: Path | None, seed: int, from_scratch: bool, name: str) -> None:
    """Train the classifier on the base data, and on corpora where a folder of them is named."""
    from training.dataset import DatasetError
    from training.leak import LeakError
    from training.train import run

    try:
        result = run(
            out=out, corpora=corpora, data=data, seed=seed, from_scratch=from_scratch, name=name,
            say=lambda line: click.echo(line, err=True),
        )  # fmt: skip
    except (DatasetError, LeakError) as error:
        raise TrainingFailed(str(error)) from error
    click.echo(f"{result.path}: {result.rows} rows")
    if not result.shipped_recipe:
        click.echo("trained on the base data alone: not the shipped artifact, which also saw --corpora", err=True)
