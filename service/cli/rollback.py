"""``autotier rollback``: the version before serves again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from classifier import ArtifactError
from service.cli.log import table
from service.cli.versions import VersionRefused, versions_of


@click.command("rollback")
@click.option(
    "-c", "--config", envvar="AUTOTIER_CONFIG", type=click.Path(path_type=Path),
    help="Configuration with the versions; default: those in this folder.",
)  # fmt: skip
@click.option("--to", metavar="ID", help="This version; default: the one that the present one replaced.")
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--list", "show", is_flag=True, help="Only show what was trained, promoted, refused and rolled back.")
def command(config: Path | None, to: str | None, reason: str, show: bool) -> None:
    """Let the version before serve again, byte for byte. A running service follows within two seconds."""
    from training.promotion import PromotionError

    _, versions = versions_of(config)
    if show:
        rows = [
            (event["time"], event["event"] + (" by force" if event.get("forced") else ""), event["artifact"],
             _plain(str(event.get("reason", "")))[:100])
            for event in versions.history()
        ]  # fmt: skip
        click.echo("\n".join(table(("time", "event", "version", "reason"), rows, frozenset())))
        return
    try:
        folder = versions.roll_back(reason=reason, now=datetime.now(UTC), to=to)
    except (PromotionError, ArtifactError) as error:
        raise VersionRefused(str(error)) from error
    click.echo(f"{folder.name} serves again")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
