"""``autotier route``: a dry run without a running service."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

from service.config import Configuration
from service.config.load import load
from service.config.seed import seed_configuration
from service.routing.request import MODEL_NAMES, CallerIdentity, chat_request


@click.command("route")
@click.argument("text", required=False)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File("r", encoding="utf-8"),
    help="Read the text, or a JSON chat body, from a file; - is stdin.",
)
@click.option(
    "-c",
    "--config",
    "config",
    envvar="AUTOTIER_CONFIG",
    type=click.Path(path_type=Path),
    help="Configuration; default: the shipped two-macs.yaml.",
)
@click.option("--model", type=click.Choice(MODEL_NAMES), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the body of POST /v1/route.")
def command(text: str | None, source: Any, config: Path | None, model: str, as_json: bool) -> None:
    """Say which tier TEXT would get, what spoke for it, and which deployments would be tried.

    Nothing is sent anywhere: `classifier.judge` is asked by a running service alone (POST /v1/route).
    """
    if (text is None) == (source is None):
        raise click.UsageError('write autotier route "text", or -f FILE')
    try:
        given = text if text is not None else source.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{source.name} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    decided = decide(body_of(given, model), configuration(config))
    click.echo(json.dumps(decided, indent=2, ensure_ascii=False) if as_json else shown(decided))


def configuration(config: Path | None) -> Configuration:
    """The named configuration, or the shipped seed with stand-ins for the keys, which a dry run never uses."""
    return load(config).configuration if config is not None else seed_configuration()


def body_of(text: str, model: str) -> dict[str, Any]:
    """A chat body: ``text`` itself if it is a JSON object with messages, else one user message of it."""
    if text.lstrip().startswith("{"):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict) and "messages" in parsed:
            return {"model": model, **parsed}
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def decide(body: dict[str, Any], settings: Configuration) -> dict[str, Any]:
    """The dry run's answer, as ``POST /v1/route`` gives it."""
    from service.api.body import check_messages
    from service.routing.conversation import ConversationKeys
    from service.routing.flow import Flow
    from service.routing.look import Looker, load_classifier
    from service.routing.matrix import matrices_of

    check_messages(body, settings.server)
    looker = Looker(load_classifier(settings, "route"), matrices_of(settings), settings, ConversationKeys(bytes(16)))
    flow = Flow(settings, looker, NoConversations(), time.time)
    request = chat_request(body, {}, CallerIdentity())
    return asyncio.run(flow.decide(request, dry_run=True)).public()


class NoConversations:
    """Holds of a dry run: there are none."""

    async def hold(self, key: str) -> None:
        """Never a hold."""

    def keep(self, key: str, caller: str, tier: str, decision_id: str) -> None:
        """Keeps nothing."""


def shown(decided: dict[str, Any]) -> str:
    """The answer for people."""
    lines = [f"{decided['tier']}  ({decided['reason']}" + (f": {decided['detail']})" if decided["detail"] else ")")]
    if decided["displaced"]:
        lines.append(f"  instead of  {decided['displaced']}")
    if decided["probabilities"]:
        lines.append("  probability " + "  ".join(f"{t} {p:.2f}" for t, p in decided["probabilities"].items()))
    lines.extend(f"  {f['contribution']:+.2f}  {f['name']}" for f in decided["features"])
    lines.append(f"  would try   {', '.join(decided['deployments'])}")
    lines.extend(f"  removed     {r['deployment']}: {r['constraint']}, {r['detail']}" for r in decided["removed"])
    return "\n".join(lines)
