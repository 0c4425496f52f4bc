"""``autotier log delete``: by caller or by age, with everything that belongs to a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import click

from service.cli.log import Since, places, store_url
from service.errors import AutotierError


@click.command("delete")
@places
@click.option("--caller", help="Everything of this caller.")
@click.option("--before", type=Since(), help="Everything older: a span such as 90d, or a date and time.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--base", envvar="AUTOTIER_BASE", help="Address of the running service; default: the configuration's.")
@click.option("--key", envvar="AUTOTIER_KEY", help="Key of a caller with the admin right, where keys are set.")
@click.pass_obj
def delete(
    outer: tuple[Path | None, str | None],
    config: Path | None,
    store: str | None,
    caller: str | None,
    before: float | None,
    yes: bool,
    base: str | None,
    key: str | None,
) -> None:
    """Delete decisions with their attempts, features, prompts and feedback, and conversations' holds.

    Labels go with them: what was learnt from them stays in the artifacts that were trained before. A running service is
    told to forget the answers that its cache keeps for these decisions.
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
        pages = opened.cache_keys(caller=caller, before_s=before)
        forgotten = _forgotten(pages, lambda: base or _base_of(config or outer[0]), key)
        gone = opened.delete_caller(caller) if caller is not None else opened.delete_before(before or 0.0)
    finally:
        opened.close()
    click.echo(", ".join(f"{number} {name}" for name, number in gone.shown()) + " deleted")
    if forgotten:
        click.echo(forgotten)


def _forgotten(pages: Iterable[list[str]], base: Callable[[], str], key: str | None) -> str:
    """Has the running service forget the answers kept under these keys; what to say about it, "" without any keys."""
    from service.cli.running import ask

    removed, asked = 0, False
    try:
        for keys in pages:
            if keys:
                removed += ask("POST", base(), "/v1/admin/cache/forget", key, {"keys": keys})["removed"]
                asked = True
    except (click.ClickException, AutotierError) as error:
        said = error.message if isinstance(error, click.ClickException) else str(error)
        return (
            f"their answers may be in the cache of a running service still, for cache.ttl_s at most: {said}; "
            "autotier cache clear there forgets all answers"
        )
    return f"{removed} answers in the cache forgotten" if asked else ""


def _base_of(config: Path | None) -> str:
    """Address of the service that a configuration starts."""
    from service.cli.compare import configuration
    from service.cli.running import DEFAULT_BASE

    if config is None:
        return DEFAULT_BASE
    server = configuration(config).server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104  # not bound, replaced
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}"


def _shown(when_s: float) -> str:
    return datetime.fromtimestamp(when_s).astimezone().isoformat(sep=" ", timespec="minutes")
