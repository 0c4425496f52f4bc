"""``autotier promote``: the gate, and behind it the swap."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from classifier import ArtifactError
from service.cli.versions import VersionRefused, versions_of


@click.command("promote")
@click.argument("challenger", type=click.Path(path_type=Path), required=False)
@click.option(
    "-c", "--config", envvar="AUTOTIER_CONFIG", type=click.Path(path_type=Path),
    help="Configuration with the champion and the versions; default: the shipped champion, versions in this folder.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Frozen part; default: ours."
)
@click.option("--stages", type=click.IntRange(1, 2), help="Stages to judge; default: the configuration's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of bootstraps and permutations.")
@click.option("--force", is_flag=True, help="Let it serve although the gate refuses; the history says so.")
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print the judgement as JSON.")
@click.pass_context
def command(
    ctx: click.Context, challenger: Path | None, config: Path | None, data: Path | None, stages: int | None, seed: int,
    force: bool, reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Judge CHALLENGER (default: what was trained last) against the champion; let it serve if it loses nowhere.

    A refusal names its reasons and exits with 1. A running service follows within two seconds.
    """
    from service.cli.embedding import vectors_of
    from training.dataset import DatasetError
    from training.gate import judge
    from training.promotion import REFUSED, PromotionError

    own, versions = versions_of(config)
    now = datetime.now(UTC)
    try:
        folder = challenger or versions.newest_trained()
        judgement = judge(
            folder, versions.champion(), data=data, stages=stages or own.classifier.stages, seed=seed,
            vectors=vectors_of(config, versions.folder / "cache"), say=lambda line: click.echo(line, err=True),
        )  # fmt: skip
        found = judgement.public()
        if judgement.ok or force:
            said = f"{reason + ': ' if reason else ''}{judgement.reason}"
            path = versions.promote(folder, reason=said, forced=not judgement.ok, now=now, figures=found)
        else:
            versions.record(
                REFUSED,
                judgement.challenger,
                now=now,
                before=judgement.champion,
                reason=judgement.reason,
                figures=found,
            )
    except ArtifactError as error:
        versions.record(REFUSED, str(challenger or ""), now=now, reason=str(error))
        raise VersionRefused(str(error)) from error
    except (DatasetError, PromotionError) as error:
        raise VersionRefused(str(error)) from error
    if as_json:
        click.echo(json.dumps(found | {"forced": force and not judgement.ok}, indent=1))
    if judgement.ok or force:
        forced = "" if judgement.ok else " by force"
        click.echo(
            f"promoted{forced}: {judgement.challenger} serves instead of {judgement.champion} ({path})", err=as_json
        )
        return
    click.echo(f"refused: {judgement.reason}", err=True)
    ctx.exit(1)
