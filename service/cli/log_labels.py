"""``autotier log labels``: what the log offers to training, and what of it cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from service.cli.log import Since, opened, places, table


@click.command("labels")
@places
@click.option("--since", type=Since(), help="Only what was said since: a span such as 7d, or a date and time.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def labels(
    outer: tuple[Path | None, str | None], config: Path | None, store: str | None, since: float | None, as_json: bool
) -> None:
    """Count the labels by source, caller and tier; conflicts; what the cap touches; what cannot be used."""
    from service.cli.learning import labels_of

    config = config or outer[0]
    with opened(config, store or outer[1]) as records:
        found = labels_of(records, config).summary(since)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(_shown(found)))


def _shown(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['labels']} labels for training"
    rows = [(name, str(one["labels"]), f"{one['weight']:.2f}") for name, one in found["by_source"].items()]
    if rows:
        lines = table(("source", "labels", "weight"), rows, frozenset({"labels", "weight"}))
        yield from (f"  {line}" for line in lines)
    yield "  by tier    " + ", ".join(f"{tier} {number}" for tier, number in found["by_tier"].items())
    if found["by_caller"]:
        yield "  by caller  " + ", ".join(f"{_plain(name)} {number}" for name, number in found["by_caller"].items())
    if found["conflicts"]:
        yield f"{found['conflicts']} decisions with contradicting words; the latest counts:"
        yield from (f"  {decision_id}" for decision_id in found["conflicting"])
    if found["overruled"]:
        yield f"{found['overruled']} conclusions overruled by what somebody said"
    yield from _agreement(found["agreement"])
    if found["off"]:
        yield f"{found['off']} conclusions of sources that are off"
    if found["capped_days"]:
        yield f"scaled down to {found['most_weight_per_caller_day']:g} a day (learning.most_weight_per_caller_day):"
        yield from (f"  {one['day']}  {_plain(one['caller'])}: {one['weight']:g}" for one in found["capped"])
    if found["left_out_by_cap"]:
        yield f"{found['left_out_by_cap']} conclusions left out, what was said on that day took the whole cap"
    for how, number in found["older"].items():
        yield f"{number} tune calibration and join: {how}"
    for why, number in found["unusable"].items():
        yield f"{number} cannot be used: {why}"
    if found["no_tier"]:
        yield f"{found['no_tier']} statements name no tier (comments, three stars, not solved by the highest tier)"
    if found["lost"]:
        yield f"{found['lost']} statements about decisions that are not there"


def _agreement(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """How right conclusions were where somebody named a tier too."""
    if not found:
        return
    yield "conclusions beside a named tier (evidence for learning.implicit.<source>.weight):"
    rows = [
        (
            name, str(one["decisions"]), str(one["agree"]), f"{one['share']:.0%}",
            "{:.0%} to {:.0%}".format(*one["interval"]),
        )
        for name, one in found.items()
    ]  # fmt: skip
    names = ("source", "decisions", "same tier", "share", "95 %")
    yield from (f"  {line}" for line in table(names, rows, frozenset(names[1:4])))


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
