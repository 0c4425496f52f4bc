"""``autotier log drift``: does live traffic still look like the training data?"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from classifier import ArtifactError
from service.cli.log import Since, opened, places
from service.errors import AutotierError


class NoArtifact(AutotierError):
    """The artifact cannot be read."""


@click.command("drift")
@places
@click.option("--since", type=Since(), help="A span such as 7d, or a date and time; default: 7d.")
@click.option("--artifact", type=click.Path(path_type=Path), help="Compare with this one's training data.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def drift(
    outer: tuple[Path | None, str | None],
    config: Path | None,
    store: str | None,
    since: float | None,
    artifact: Path | None,
    as_json: bool,
) -> None:
    """Compare the log with what the classifier was trained on, per group of features.

    The index is the population stability index; above its bound, traffic has drifted.
    """
    from classifier.artifact import load_artifact, shipped_path
    from service.cli.compare import configuration
    from service.learning import drift as monitor
    from training.reference import Reference

    config = config or outer[0]
    named = configuration(config).classifier.artifact
    try:
        loaded = load_artifact(artifact or (Path(named) if named else shipped_path()))
    except ArtifactError as error:
        raise NoArtifact(str(error)) from error
    since = time.time() - monitor.WEEK_S if since is None else since
    with opened(config, store or outer[1]) as records:
        report = monitor.drift(records, Reference.of(loaded.metadata), loaded.id, since)
    click.echo(json.dumps(report, indent=1) if as_json else "\n".join(monitor.shown(report)))
