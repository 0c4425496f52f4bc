"""``autotier demo``: the service in front of simulated hosts, a dozen prompts, the table of decisions."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click


@click.command("demo")
@click.option("--check", is_flag=True, help="Exit after the table; 1 if a row is not as expected.")
@click.option("--fault", "faults", multiple=True, metavar="HOST=FAULT", help="Repeatable, e.g. mini=down, cloud1=429.")
@click.option("--way", type=click.Choice(["auto", "router"]), default="auto", show_default=True, help="Way upstream.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the service; 0: any free one.")
def command(check: bool, faults: tuple[str, ...], way: str, port: int) -> None:
    """Start a Mini, a MacBook and two clouds as simulated hosts, and show where a dozen prompts go.

    Nothing leaves this machine; the answers say that they are simulated.
    """
    sys.exit(asyncio.run(_demo(check, faults, way, port)))


async def _demo(check: bool, faults: tuple[str, ...], way: str, port: int) -> int:
    from service.demo.expected import NO_FAULT, expectations
    from service.demo.run import ask_all, service_over, start_hosts, table
    from service.demo.scenario import parse_faults

    wanted = parse_faults(faults)
    with tempfile.TemporaryDirectory(prefix="autotier-demo-") as folder, ExitStack() as stack:
        addresses = start_hosts(stack, wanted)
        async with service_over(Path(folder), addresses, way, port) as (base, file):
            fault = ",".join(faults) or NO_FAULT
            rows = await ask_all(base, expectations(), fault)
            click.echo(table(rows))
            if check:
                wrong = sum(bool(row.differs) for row in rows)
                click.echo(f"{len(rows) - wrong} of {len(rows)} as expected (fault: {fault}, way: {way})")
                return 1 if wrong else 0
            ended = _end_asked()
            click.echo(
                f"\nThe service is at {base}/v1 (its configuration: {file}). Ask it:\n\n{_curl(base)}\n\nCtrl-C ends."
            )
            await ended.wait()
    return 0


def _end_asked() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM, so that what was started is ended too."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended


def _curl(base: str) -> str:
    body = '{"model": "auto", "messages": [{"role": "user", "content": "What is a mutex?"}]}'
    return f"  curl -i {base}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"
