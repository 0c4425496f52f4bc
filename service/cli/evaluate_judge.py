"""``autotier evaluate --judge``: what the configured judge of the third stage is worth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from classifier import TIERS, PromptView, Tier, view_of
from service.config import Configuration, Deployment

if TYPE_CHECKING:
    from service.cli.asking import Said
    from service.config.judge import JudgeSettings
    from training.judged import Worth


def measured(file: Path, number: int, data: Path | None, seed: int) -> str:
    """Asks the judge of a configuration about rows of the frozen part.

    Args:
        file: Configuration with ``classifier.judge``.
        number: Rows, about the same number of each tier.
        data: Folder of the base data; None: ours.
        seed: Chooses the rows.

    Returns:
        The report.

    Raises:
        AutotierError, DatasetError: The configuration or the data cannot be used.
        ClickException: No judge is configured, or it does not answer.
    """
    from classifier.judged import doubt
    from service.api.asking import deployment_of
    from service.config.load import load_configuration
    from service.routing.judge import named_tier
    from service.routing.look import load_classifier
    from service.routing.matrix import matrices_of
    from training.dataset import load_frozen
    from training.judged import Judged, balanced, worth

    configuration = load_configuration(file)
    settings = configuration.classifier.judge
    if settings is None:
        raise click.ClickException(f"{file}: no classifier.judge; write one, such as judge: {{deployment: ID}}")
    judge = deployment_of(configuration, settings.deployment)
    spoken, matrix = load_classifier(configuration, str(file)), matrices_of(configuration)["default"]
    frozen = load_frozen(data)
    views = {row.id: view_of(row.request) for row in frozen}
    before = {row.id: spoken.classify_view(views[row.id], matrix=matrix) for row in frozen}
    rows = balanced(frozen, number, seed)
    click.echo(f"asking {judge[1].id} ({judge[1].model}) about {len(rows)} rows", err=True)
    said = asyncio.run(_said(configuration, judge, [views[row.id] for row in rows]))
    found = worth(
        [Judged(r.tier, before[r.id], named_tier(s.text), s.ms) for r, s in zip(rows, said, strict=True)],
        trusted=settings.accuracy,
        bound=settings.bound,
        deadline_ms=settings.deadline_ms,
        matrix=matrix,
    )
    share = sum(doubt(one, matrix) > settings.bound for one in before.values()) / len(frozen)
    head = f"judge {judge[1].id} ({judge[1].model}), {len(rows)} of {len(frozen)} frozen rows, balanced by tier"
    return "\n".join([head, *shown(found, settings, share)])


async def _said(
    configuration: Configuration, judge: tuple[Tier, Deployment], views: Sequence[PromptView]
) -> list[Said]:
    """Its answers, asked as in operation."""
    from service.api.judging import unthinking
    from service.cli.asking import ask_each
    from service.routing.judge import tier_question

    tier, deployment = judge
    takes = deployment.capabilities.json_schema
    bodies = [tier_question(view, json_schema=takes) for view in views]
    return await ask_each(configuration, (tier, unthinking(deployment)), bodies, is_timed=True)


def shown(found: Worth, settings: JudgeSettings, share: float) -> list[str]:
    """The report's lines.

    Args:
        found: The figures.
        settings: Bound, deadline and accuracy that they were made with.
        share: Of all frozen rows, those that the judge would be asked about.
    """
    right = f"{found.right / found.worded:.1%}" if found.worded else "none"
    lines = [
        f"right on {right} of {found.worded}, no tier named on {found.rows - found.worded}",
        f"{'label, said:':>12} " + " ".join(f"{tier:>12}" for tier in TIERS),
        *(f"{tier:>12} " + " ".join(f"{n:>12}" for n in line) for tier, line in zip(TIERS, found.table, strict=True)),
        f"mean {found.mean_ms:.0f} ms, 95 % within {found.p95_ms:.0f} ms, {found.late} of {found.rows} after the "
        f"deadline of {settings.deadline_ms} ms",
        f"asked for {share:.1%} of the frozen rows: expected cost above {settings.bound:g} of the greatest",
        "",
        f"{'':<26} accuracy  macro-F1  cost of the tier chosen",
        *(
            f"{name:<26} {arm.accuracy:>8.3f}  {arm.macro_f1:>8.3f}  {arm.cost:.3f}"
            for name, arm in (
                ("stages before it alone", found.alone),
                ("with it, as in operation", found.unsure),
                ("with it, on every row", found.always),
            )
        ),
        "",
        f"its word weighed as right in {settings.accuracy:g}; suggested: accuracy: {found.suggested:g} "
        f"(right on {found.doubted_right} of the {found.doubted_worded} rows that it would be asked about)",
    ]
    if found.unsure.cost >= found.alone.cost:
        lines.append("here it does not pay: it makes the tiers chosen no cheaper; leave it off")
    return lines
