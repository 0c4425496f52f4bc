"""``autotier log delete``: by caller or by age, with everything that belongs to a decision."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from service.cli.log import Since, places, store_url


@click.command("delete")
@places
@click.option("--caller", help="Everything of this caller.")
@click.option("--before", type=Since(), help="Everything older: a span such as 90d, or a date and time.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(
    outer: tuple[Path | None, str | None],
    config: Path | None,
    store: str | None,
    caller: str | None,
    before: float | None,
    yes: bool,
) -> None:
    """Delete decisions with their attempts, features, prompts and feedback, and conversations' holds.

    Labels go with them: what was learnt from them stays in the artifacts that were trained before. Answers in the cache
    are another matter: autotier cache clear.
    """
    from service.decisions.store import DecisionStore

    if (caller is None) == (before is None):
        raise click.UsageError("name one of --caller NAME, --before DATE")
    url = store or outer[1] or store_url(config or outer[0])
    opened = DecisionStore.open(url, create=False)
    try:
        what = (
            f"everything of the caller {caller!r}"
            if caller is not None
            else f"everything before {_shown(before or 0.0)}"
        )
        if not yes:
            click.confirm(f"delete {what} from {opened.location.shown}?", abort=True)
        gone = opened.delete_caller(caller) if caller is not None else opened.delete_before(before or 0.0)
    finally:
        opened.close()
    click.echo(", ".join(f"{number} {name}" for name, number in gone.shown()) + " deleted")


def _shown(when_s: float) -> str:
    return datetime.fromtimestamp(when_s).astimezone().isoformat(sep=" ", timespec="minutes")
