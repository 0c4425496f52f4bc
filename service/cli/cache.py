"""``autotier cache``: what a running service keeps, taking it back, and measuring the guard."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click

from service.cli.cache_evaluate import command as evaluate
from service.cli.cache_judge import command as judge
from service.cli.running import DEFAULT_BASE, ask


@click.group("cache")
def command() -> None:
    """Look into the answer cache of a running service, empty it, and measure what it would serve."""


command.add_command(judge)
command.add_command(evaluate)


def _service(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which service."""
    base = click.option("--base", envvar="AUTOTIER_BASE", default=DEFAULT_BASE, show_default=True, help="Its address.")
    key = click.option("--key", envvar="AUTOTIER_KEY", help="Key of a caller with the admin right, where keys are set.")
    return base(key(function))


@command.command("stats")
@_service
def stats(base: str, key: str | None) -> None:
    """Entries, bytes, hits, evictions, and where similar asks share answers."""
    shown = _ask("GET", base, "", key)
    for name, value in sorted(shown["numbers"].items()):
        shown_value = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4f}"
        click.echo(f"{name:32} {shown_value}")
    semantic = shown["semantic"]
    if semantic is None:
        click.echo("similar asks: off (cache.semantic.embedding)")
    else:
        on = ", ".join(f"{lang} from {cosine:.2f}" for lang, cosine in sorted(semantic["thresholds"].items()))
        click.echo(f"similar asks: {semantic['model']}, on in {on or 'no language'}")
    click.echo("\n".join(_verification(shown["verification"], semantic is not None)))


def _verification(found: dict[str, Any] | None, semantic: bool) -> list[str]:
    """What is known of hits, in lines."""
    if found is None:
        kept = "; similar asks keep to the conservative similarity of the measured pairs" if semantic else ""
        return [f"no judge (cache.verify): no hit is verified{kept}"]
    error = found["judge_error"]
    if error is None:
        known = "never measured, so that only its bad words count (autotier cache judge)"
    else:
        known = (
            f"missed {error['missed']} of {error['different']} different answers (at most {error['missed_bound']:.1%}),"
            f" alarmed on {error['alarmed']} of {error['same']} equal ones"
        )
    lines = [f"judge {found['judge']}: {known}", f"accepted share of wrong hits: {found['max_error']:g}"]
    for one in found["scopes"]:
        near = one["scope"].endswith("/near")
        taken = "near duplicates" if near else f"from {one['similarity']:.2f}" if one["similarity"] else "not served"
        lines.append(
            f"  {one['scope']}: {taken}; {one['wrong']} of {one['verified']} verified wrong, bound {one['bound']:.1%}"
        )
    return lines


@command.command("clear")
@_service
def clear(base: str, key: str | None) -> None:
    """Forget every kept answer."""
    click.echo(f"{_ask('DELETE', base, '', key)['removed']} answers removed")


@command.command("inspect")
@click.argument("name", metavar="KEY_OR_DECISION")
@_service
def inspect(name: str, base: str, key: str | None) -> None:
    """Show one kept answer as JSON."""
    click.echo(json.dumps(_ask("GET", base, name, key), indent=2, ensure_ascii=False))


@command.command("evict")
@click.argument("name", metavar="KEY_OR_DECISION")
@_service
def evict(name: str, base: str, key: str | None) -> None:
    """Take one answer back, with those of its nearest asks."""
    removed = _ask("DELETE", base, name, key)["removed"]
    click.echo("removed" if removed else "nothing was kept there")


def _ask(method: str, base: str, name: str, key: str | None) -> dict[str, Any]:
    return ask(method, base, "/v1/admin/cache" + (f"/{quote(name, safe='')}" if name else ""), key)
