"""``autotier log shadow``: how a challenger in the shadow would have decided."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli.log import Since, opened, places, table

if TYPE_CHECKING:
    from service.decisions.shadowing import Disagreement

WEEK_S = 604_800


@click.command("shadow")
@places
@click.option("--since", type=Since(), help="A span such as 7d, or a date and time; default: 7d.")
@click.option("-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Disagreements shown.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def shadow(
    outer: tuple[Path | None, str | None],
    config: Path | None,
    store: str | None,
    since: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Say how often the challenger (classifier.shadow) disagrees with the champion, and list where."""
    from service.decisions.shadowing import newest_disagreements, shadow_summary

    since = time.time() - WEEK_S if since is None else since
    with opened(config or outer[0], store or outer[1]) as records:
        found = records.read(partial(shadow_summary, since_s=since))
        listed = records.read(partial(newest_disagreements, since_s=since, limit=limit))
    if as_json:
        click.echo(json.dumps({"challengers": found, "disagreements": [asdict(one) for one in listed]}, indent=1))
        return
    if not found:
        click.echo("no challenger was in the shadow: name its folder under classifier.shadow", err=True)
    for line in _shown(found, listed):
        click.echo(line)


def _shown(found: Sequence[Mapping[str, Any]], listed: Sequence[Disagreement]) -> Iterator[str]:
    for one in found:
        share = one["disagreed"] / max(1, one["compared"])
        yield f"{one['artifact']} beside {one['champion']}: {one['compared']} compared, {share:.1%} disagree"
        for pair in one["pairs"]:
            if pair["tier"] != pair["shadow_tier"]:
                yield f"  {pair['tier']} -> {pair['shadow_tier']}: {pair['number']}"
    if listed:
        headings = ("time", "id", "tier", "p", "shadow", "p shadow")
        rows = [
            (
                datetime.fromtimestamp(one.created_s).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                one.decision_id,
                one.tier,
                f"{one.probability:.3f}",
                one.shadow_tier,
                f"{one.shadow_probability:.3f}",
            )
            for one in listed
        ]
        yield from table(headings, rows, frozenset({"p", "p shadow"}))
