"""Asks a deployment one question after the other, through the chain, for commands that measure a judge."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from classifier import Tier
from service.config import Configuration, Deployment


@dataclass(frozen=True, slots=True)
class Said:
    """One answer.

    Attributes:
        text: None where there was none, such as thinking alone.
        ms: How long it took.
    """

    text: str | None
    ms: float


async def ask_each(
    configuration: Configuration,
    judge: tuple[Tier, Deployment],
    bodies: Sequence[dict[str, Any]],
    *,
    is_timed: bool = False,
) -> list[Said]:
    """Its answers, in order.

    Args:
        configuration: Hosts and limits.
        judge: The deployment and its tier.
        bodies: Questions (`service.questions`).
        is_timed: The first one is put once before, unseen, because its model may have to load for it.

    Raises:
        ClickException: It does not answer.
    """
    from service.api.asking import plan_of
    from service.errors import RequestError
    from service.upstream.assemble import assemble
    from service.upstream.interface import Attempt, Outcome

    chain = assemble(configuration)
    said: list[Said] = []
    try:
        await chain.prepare(judge[1])
        for body in (*bodies[: int(is_timed)], *bodies):
            attempts: list[Attempt] = []
            began = time.perf_counter()
            text = None
            try:
                answer = await chain.complete(plan_of(configuration, judge, body, attempts))
                text = answer.choices[0]["message"].get("content")
            except RequestError as error:
                if not attempts or attempts[-1].outcome is not Outcome.EMPTY:
                    raise click.ClickException(f"{judge[1].id} does not answer: {error}") from None
            said.append(Said(text, (time.perf_counter() - began) * 1000))
    finally:
        await chain.close()
    return said[int(is_timed) :]
