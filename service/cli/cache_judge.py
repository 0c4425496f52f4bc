"""``autotier cache judge``: how often the judge of hits is wrong, on labelled pairs of answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from service.cache.judge import AnswerPair
    from service.config import Configuration, Deployment


@click.command("judge")
@click.option(
    "-c", "--config", "file", envvar="AUTOTIER_CONFIG", required=True, type=click.Path(path_type=Path),
    help="Configuration with cache.verify.judge.",
)  # fmt: skip
@click.option("--pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Other pairs (.jsonl).")
@click.option("--dry-run", is_flag=True, help="Keep nothing: only show what the judge says.")
def command(file: Path, pairs: Path | None, dry_run: bool) -> None:
    """Ask the configured judge about labelled pairs of answers, and keep its error beside the evidence.

    What it misses widens the bound of wrong hits. A running service takes it in with the next reload.
    """
    from service.cache.assemble import judge_name, judge_of, setting_of_judge
    from service.cache.judge import answer_pairs, judged
    from service.config.load import load_configuration
    from service.decisions.store import DecisionStore

    configuration = load_configuration(file)
    judge = judge_of(configuration)
    if judge is None:
        raise click.ClickException(f"{file}: no cache.verify.judge (or the cache is switched off)")
    try:
        rows = answer_pairs(pairs)
    except (OSError, ValueError, TypeError, StopIteration) as problem:
        raise click.ClickException(f"{pairs or 'the labelled pairs'}: not a file of answer pairs: {problem}") from None
    said = asyncio.run(_ask(configuration, judge, rows))
    error = judged(judge_name(judge), said)
    if not error.different:
        raise click.ClickException(f"{judge.id} gave no verdict on any of {len(rows)} pairs")
    click.echo("\n".join(_shown(judge.id, said)))
    click.echo(
        f"missed {error.missed} of {error.different} different answers (95 % bound {error.missed_bound():.1%}), "
        f"alarmed on {error.alarmed} of {error.same} equal ones, no verdict on {error.undecided}"
    )
    if not dry_run:
        store = DecisionStore.open(configuration.store.url)
        store.put_setting(setting_of_judge(judge), error.written())
        store.close()
        click.echo("kept; a running service takes it in with its next reload")


async def _ask(
    configuration: Configuration, judge: Deployment, rows: list[AnswerPair]
) -> list[tuple[AnswerPair, bool | None]]:
    """Its verdict on each pair, one after the other, through the chain as in operation."""
    from service.api.asking import deployment_of
    from service.cache.judge import question, verdict
    from service.cli.asking import ask_each

    takes = judge.capabilities.json_schema
    bodies = {row.id: question(row.question, row.a, row.b, json_schema=takes) for row in rows}
    asked = {ident: body for ident, body in bodies.items() if body is not None}
    answers = await ask_each(configuration, deployment_of(configuration, judge.id), list(asked.values()))
    verdicts = {ident: verdict(said.text) for ident, said in zip(asked, answers, strict=True)}
    return [(row, verdicts.get(row.id)) for row in rows]


def _shown(judge: str, said: list[tuple[AnswerPair, bool | None]]) -> list[str]:
    """Right verdicts per language, and each pair that was called wrongly."""
    lines = [f"judge {judge}, {len(said)} pairs"]
    right = Counter(row.lang for row, same in said if same is row.same)
    for language, number in sorted(Counter(row.lang for row, _ in said).items()):
        lines.append(f"  {language}: {right[language]} of {number} right")
    wrong = [row for row, same in said if same is not None and same is not row.same]
    lines += [f"  {row.id} ({row.kind}): {'alarmed' if row.same else 'missed'}" for row in wrong]
    return lines
