"""``autotier keys``: callers of a running service. A key is printed once and stored as its hash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from classifier import TIERS, Tier
from service.config.callers_file import check_names, hashed, held, new_key, read_callers, write_callers
from service.config.model import Caller, CallerLimits
from service.config.yaml_source import read
from service.errors import ConfigurationError


class Places:
    """Where callers are kept.

    Args:
        file: The file of keys.
        source: The configuration that names it, or None.
        configured: Names of callers in the configuration itself.
    """

    def __init__(self, file: Path, source: Path | None = None, configured: tuple[str, ...] = ()) -> None:
        self.file, self.source, self.configured = file, source, configured

    @classmethod
    def of(cls, config: Path | None, file: Path | None) -> Places:
        """The places that the options name. The configuration's own secrets are not asked for.

        Raises:
            ConfigurationError: No option, or a configuration that names no file.
        """
        if file is not None:
            return cls(file)
        if config is None:
            raise ConfigurationError(
                "keys",
                "-c",
                "no configuration is named",
                "add -c FILE, set AUTOTIER_CONFIG, or name the --file of keys",
            )
        document = read(config).value
        named = document.get("callers_file")
        if not isinstance(named, str):
            raise ConfigurationError(
                str(config), "callers_file", "is not set", "add the line `callers_file: keys.yaml` and restart once"
            )
        callers = document.get("callers") or ()
        names = tuple(str(caller.get("name")) for caller in callers if isinstance(caller, dict))
        return cls(config.resolve().parent / named, config, names)

    def changed(self, change: Callable[[tuple[Caller, ...]], tuple[Caller, ...]]) -> None:
        """Reads, changes and writes as one step.

        Raises:
            ConfigurationError: The file cannot be read or written, or the change cannot be made.
        """
        with held(self.file):
            after = change(read_callers(self.file))
            check_names(after, str(self.file))
            write_callers(self.file, after)

    def find(self, callers: tuple[Caller, ...], name: str) -> Caller:
        """The caller of that name.

        Raises:
            ConfigurationError: The file has none; says where it is otherwise.
        """
        for caller in callers:
            if caller.name == name:
                return caller
        if name in self.configured:
            problem, fix = f"{name!r} stands in {self.source}", "change it there and reload"
        else:
            problem, fix = f"no caller {name!r}", f"there are: {', '.join(c.name for c in callers) or 'none'}"
        raise ConfigurationError(str(self.file), "callers", problem, fix)


def _tiers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Tier, ...]:
    if value is None:
        return TIERS
    try:
        return tuple(Tier(one.strip()) for one in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r}; write some of {','.join(TIERS)}, with commas") from None


@click.group("keys")
@click.option(
    "-c", "--config", envvar="AUTOTIER_CONFIG", type=click.Path(path_type=Path),
    help="Configuration; its callers_file is changed.",
)  # fmt: skip
@click.option("--file", type=click.Path(path_type=Path), help="The file of keys itself.")
@click.pass_context
def command(context: click.Context, config: Path | None, file: Path | None) -> None:
    """Give, show and take back keys of callers.

    A running service knows the change with its next request.
    """
    context.obj = lambda: Places.of(config, file)


@command.command("add")
@click.argument("name")
@click.option("--tiers", callback=_tiers, help="Tiers that it may reach, with commas; all if left out.")
@click.option("--no-override", is_flag=True, help="It may not name a tier.")
@click.option("--admin", is_flag=True, help="It may see everybody's decisions and metrics, and reload.")
@click.option("--rotate", is_flag=True, help="A new key for a caller that is there; the old one ends, rights stay.")
@click.option("--requests-per-minute", type=click.IntRange(min=1))
@click.option("--tokens-per-minute", type=click.IntRange(min=1))
@click.option("--parallel", type=click.IntRange(min=1), help="Requests at work at once.")
@click.option("--usd-per-day", type=click.FloatRange(min=0, min_open=True))
@click.pass_obj
def add(
    places: Callable[[], Places], /, name: str, tiers: tuple[Tier, ...], no_override: bool, admin: bool, rotate: bool,
    **limits: float | None,
) -> None:  # fmt: skip
    """Give NAME a key. It is printed once and stored as a hash."""
    found = places()
    key = new_key()
    given = CallerLimits.model_validate({limit: most for limit, most in limits.items() if most is not None})

    def added(callers: tuple[Caller, ...]) -> tuple[Caller, ...]:
        if rotate:
            before = found.find(callers, name)
            after = before.model_copy(update={"key": hashed(key)})
            return tuple(after if caller is before else caller for caller in callers)
        if name in (*found.configured, *(caller.name for caller in callers)):
            fix = "take another name, give it a new key with --rotate, or revoke it first"
            raise ConfigurationError(str(found.file), "callers", f"{name!r} is there already", fix)
        return (*callers, _caller(name, hashed(key), tiers, not no_override, admin, given))

    found.changed(added)
    click.echo(f"The key of {name}; it is not shown again. Send it as Authorization: Bearer KEY.", err=True)
    click.echo(key)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def show(places: Callable[[], Places], as_json: bool) -> None:
    """Show callers and their rights; keys are not known here."""
    found = places()
    rows = [_row(caller) for caller in read_callers(found.file)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        limits = ", ".join(f"{name} {most:,}" for name, most in row["limits"].items())
        rights = [*row["tiers"], *(["override"] if row["override"] else []), *(["admin"] if row["admin"] else [])]
        click.echo(f"{row['name']:<24} {', '.join(rights)}{'; ' + limits if limits else ''}")
    if not rows:
        click.echo(f"{found.file}: no caller has a key; autotier keys add NAME gives one")
    for name in found.configured:
        click.echo(f"{name:<24} in {found.source}")


@command.command("revoke")
@click.argument("name")
@click.pass_obj
def revoke(places: Callable[[], Places], name: str) -> None:
    """Take back the key of NAME."""
    found = places()

    def revoked(callers: tuple[Caller, ...]) -> tuple[Caller, ...]:
        gone = found.find(callers, name)
        return tuple(caller for caller in callers if caller is not gone)

    found.changed(revoked)
    click.echo(f"{name} has no key any more")


def _caller(name: str, key: Any, tiers: tuple[Tier, ...], override: bool, admin: bool, limits: CallerLimits) -> Caller:
    try:
        return Caller(name=name, key=key, tiers=tiers, override=override, admin=admin, limits=limits)
    except ValidationError:
        raise click.BadParameter(
            f"{name[:40]!r}; use letters, digits and . _ : - only, 64 at most", param_hint="NAME"
        ) from None


def _row(caller: Caller) -> dict[str, Any]:
    return {
        "name": caller.name,
        "tiers": [str(tier) for tier in caller.tiers],
        "override": caller.override,
        "admin": caller.admin,
        "limits": caller.limits.model_dump(exclude_none=True),
    }
