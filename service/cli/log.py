"""``autotier log``: the newest decisions as a table, and one with all its attempts and feedback.

What else can be asked of the log stands in modules of its own, imported when it is asked for.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from service.decisions.records import DecisionFilter, DecisionRecord, FeedbackRecord
    from service.decisions.store import DecisionStore

SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
HEADINGS = ("time", "id", "tier", "reason", "deployment", "attempts", "first ms", "total ms", "cost $", "outcome")
NUMBERS = frozenset({"attempts", "first ms", "total ms", "cost $"})

MORE = {
    "labels": "service.cli.log_labels",
    "delete": "service.cli.log_delete",
    "shadow": "service.cli.log_shadow",
    "drift": "service.cli.log_drift",
    "savings": "service.cli.log_savings",
}
"""Command -> module."""


def store_url(config: Path | None) -> str:
    """The store of a configuration, without asking for the keys that only a running service needs.

    Args:
        config: The file; None is ``AUTOTIER_CONFIG``, and without that the default store in this folder.

    Raises:
        ConfigurationError: The file cannot be read, or its ``store`` is wrong.
    """
    from pydantic import ValidationError

    from service.config.model import Store
    from service.config.problems import one_line
    from service.config.references import resolved
    from service.config.yaml_source import read

    named = os.environ.get("AUTOTIER_CONFIG")
    file = config or (Path(named) if named else None)
    if file is None:
        return Store().url
    document = read(file)
    section = document.value.get("store") if "model_list" not in document.value else None
    value, _ = resolved({"store": section or {}}, os.environ, document.file)
    try:
        return Store.model_validate(value["store"]).url
    except ValidationError as error:
        raise one_line(error, document) from None


class Since(click.ParamType[float]):
    """A span back from now (``30m``, ``2h``, ``7d``) or a date and time; converts to Unix seconds."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        span = SPAN.match(value)
        if span:
            return time.time() - float(span[1]) * SECONDS[span[2]]
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            self.fail(f"{value!r} is neither a span such as 30m, 2h, 7d nor a date such as 2027-01-31", param, ctx)


def places(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which store; both the listing and ``show`` take them."""
    url = click.option("--store", "store", metavar="URL", help="Store instead of a configuration's.")
    config = click.option(
        "-c",
        "--config",
        envvar="AUTOTIER_CONFIG",
        type=click.Path(path_type=Path),
        help="Configuration that names the store.",
    )
    return config(url(function))


class Log(click.Group):
    """Loads what is asked of the log when it is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *MORE]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in MORE:
            return super().get_command(ctx, name)
        command = getattr(importlib.import_module(MORE[name]), name)
        assert isinstance(command, click.Command)
        return command


@click.group("log", cls=Log, invoke_without_command=True)
@places
@click.option("--since", type=Since(), help="A span such as 30m, 2h, 7d, or a date and time.")
@click.option("--caller", help="Only this caller's.")
@click.option("--tier", type=click.Choice(["lightweight", "coding", "reasoning"]))
@click.option("--reason", help="Only decisions for this reason, e.g. override.")
@click.option("--outcome", type=click.Choice(["answered", "refused", "failed", "aborted", "cut"]))
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(
    ctx: click.Context, /, config: Path | None, store: str | None, as_json: bool, since: float | None, **filters: Any
) -> None:
    """Show the newest decisions first.

    `autotier log show ID` shows one with its attempts and what was said about it. `labels`, `shadow`, `drift` and
    `savings` sum the log up; `delete` deletes from it.
    """
    ctx.obj = (config, store)
    if ctx.invoked_subcommand is not None:
        return
    from service.decisions.records import DecisionFilter

    listing(config, store, DecisionFilter(since_s=since, **filters), as_json)


@command.command("show")
@click.argument("decision_id", metavar="ID")
@places
@click.option("--json", "as_json", is_flag=True, help="The whole record as one JSON object, stored prompts too.")
@click.pass_obj
def show(
    outer: tuple[Path | None, str | None], decision_id: str, config: Path | None, store: str | None, as_json: bool
) -> None:
    """Show one decision with its attempts and feedback."""
    with opened(config or outer[0], store or outer[1]) as records:
        record = records.get(decision_id)
        said = records.feedback_of(decision_id)
    if record is None:
        raise click.ClickException(f"no decision {decision_id!r} in this store")
    if as_json:
        click.echo(_line({**asdict(record), "feedback": [asdict(one) for one in said]}))
    else:
        click.echo("\n".join(_shown(record, said)))


@contextmanager
def opened(config: Path | None, url: str | None) -> Iterator[DecisionStore]:
    """The store, to read from.

    Raises:
        ConfigurationError: The configuration cannot be read.
        StoreError: The store cannot be read.
    """
    from service.decisions.store import DecisionStore

    store = DecisionStore.open(url or store_url(config), read_only=True)
    try:
        yield store
    finally:
        store.close()


def listing(config: Path | None, url: str | None, wanted: DecisionFilter, as_json: bool) -> None:
    """Prints the newest decisions."""
    with opened(config, url) as store:
        records = store.recent(wanted)
    if as_json:
        for record in records:
            shown = asdict(record)
            # Not read for a listing: null would say that nothing is kept.
            del shown["messages"], shown["features"]
            click.echo(_line(shown))
        return
    if not records:
        click.echo("no decisions match", err=True)
        return
    for line in table(HEADINGS, [_cells(record) for record in records], NUMBERS):
        click.echo(line)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> list[str]:
    """Lines of a table; columns in ``right`` hold numbers."""
    cells = [list(headings), *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    return [
        "  ".join(
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        ).rstrip()
        for row in cells
    ]


def _cells(record: DecisionRecord) -> tuple[str, ...]:
    return (
        _time(record.created_s),
        record.id,
        record.tier or "-",
        record.reason or "-",
        record.deployment_id or "-",
        str(len(record.attempts)),
        _ms(record.first_token_ms),
        _ms(record.total_ms),
        f"{record.cost_usd:.5f}",
        record.outcome if record.outcome == "answered" else f"{record.outcome} {record.status}",
    )


def _shown(record: DecisionRecord, said: Sequence[FeedbackRecord]) -> Iterator[str]:
    confidence = "" if record.confidence is None else f", confidence {record.confidence:.3f}"
    yield f"{record.id}  {_time(record.created_s)}  caller {_plain(record.caller)}"
    yield f"  asked       {_plain(record.model_asked) or '-'}{' (stream)' if record.stream else ''}"
    yield f"  tier        {record.tier or '-'} ({record.reason or 'no decision'}{confidence})"
    if record.displaced:
        yield f"  instead of  {record.displaced}"
    yield f"  deployment  {record.deployment_id or '-'}"
    yield f"  outcome     {record.outcome}, status {record.status}, {record.finish_reason or 'no finish reason'}"
    yield f"  times       first token {_ms(record.first_token_ms)} ms, total {_ms(record.total_ms)} ms"
    yield f"  tokens      {_count(record.prompt_tokens)} in, {_count(record.completion_tokens)} out"
    yield f"  cost        {record.cost_usd:.6f} $"
    for deployment, names in record.dropped_fields.items():
        yield f"  left out    for {_plain(deployment)}: {_plain(', '.join(names))}"
    if record.error:
        yield f"  error       {_plain(str(record.error.get('message', record.error)))}"
    if record.attempts:
        yield "  attempts"
        headings = ("order", "deployment", "outcome", "way", "first ms", "total ms", "detail")
        rows = [
            (str(a.order), a.deployment_id, a.outcome, a.way or "-", _ms(a.first_token_ms), _ms(a.total_ms), a.detail)
            for a in record.attempts
        ]
        yield from (f"    {line}" for line in table(headings, rows, NUMBERS))
    for one in said:
        words = {name: getattr(one, name) for name in ("correct_tier", "solved", "rating", "comment")}
        listed = ", ".join(f"{name} {value}" for name, value in words.items() if value is not None)
        yield f"  feedback    {_plain(one.caller)} ({_plain(one.source)}): {_plain(listed)}"


def _line(value: dict[str, Any]) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _plain(text: str) -> str:
    """Text of clients and hosts without control characters: it must not steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
