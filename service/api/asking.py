"""Asks one deployment a question of our own, through the chain like any request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from classifier import Tier
from service.config import Configuration, Deployment
from service.routing.fields import expressed
from service.upstream.interface import Attempt, Call
from service.upstream.plan import Plan


def call_of(configuration: Configuration, deployment: Deployment, body: Mapping[str, Any]) -> Call:
    """What is sent to ``deployment``."""
    sent, dropped = expressed(body, deployment)
    return Call(deployment, configuration.address_of(deployment), configuration.key_of(deployment), sent, dropped)


def plan_of(
    configuration: Configuration,
    judge: tuple[Tier, Deployment],
    body: Mapping[str, Any],
    attempts: list[Attempt],
    *,
    may_load: bool = True,
) -> Plan:
    """One attempt at exactly this deployment: no fallback, no stand-in, no hedge.

    Args:
        configuration: The running configuration.
        judge: The deployment, and the tier that it stands in.
        body: A question (`service.questions`).
        attempts: Filled by the chain.
        may_load: False where it is passed over unless its model is in memory.
    """
    tier, deployment = judge
    return Plan(
        tier=tier,
        deployments=(deployment,),
        call=lambda found: call_of(configuration, found, body),
        first_token_s=configuration.tiers[tier].first_token_s,
        local_allowed=tier is not Tier.REASONING,
        hedge_allowed=False,
        may_load=may_load,
        attempts=attempts,
    )


def deployment_of(configuration: Configuration, deployment_id: str) -> tuple[Tier, Deployment]:
    """A configured deployment and the tier that it stands in."""
    return next(found for found in configuration.deployments() if found[1].id == deployment_id)
