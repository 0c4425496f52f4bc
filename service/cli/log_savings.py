"""``autotier log savings``: spent and saved against everything on the reasoning tier."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from service.cli.log import Since, opened, places, table


@click.command("savings")
@places
@click.option("--since", type=Since(), help="A span such as 30d, or a date and time; default: 30d.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def savings(
    outer: tuple[Path | None, str | None], config: Path | None, store: str | None, since: float | None, as_json: bool
) -> None:
    """Say what was spent and saved, by day, caller and tier, and what asking again took of it.

    A running service says the same to admins at GET /v1/admin/savings.
    """
    from service.cli.compare import configuration
    from service.learning.savings import MONTH_S, price_of, shown
    from service.learning.savings import savings as accounts

    config = config or outer[0]
    since = time.time() - MONTH_S if since is None else since
    price = price_of(configuration(config))
    with opened(config, store or outer[1]) as records:
        found = accounts(records, price, since)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(shown(found, table)))
