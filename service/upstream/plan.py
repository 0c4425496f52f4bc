"""What routing hands to the chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from classifier import Tier
from service.config import Deployment
from service.upstream.interface import Attempt, Call


class LocalNotAllowed(AssertionError):
    """A local deployment stood in a plan that forbids local ones. A defect of ours, never a client's doing."""


@dataclass(slots=True)
class Plan:
    """One request's way through the chain.

    Attributes:
        tier: Decided tier; its header stays whatever serves.
        deployments: In order, with constraints applied; those of fallback tiers stand behind the tier's own.
        call: Builds what is sent to one deployment.
        first_token_s: The tier's limit to the first token over the whole chain.
        stand_ins: Local deployments of higher local tiers that constraints allow; they may serve while loaded, where no
            other local host of the group is reachable. Empty for reasoning.
        prompt_tokens: A lower bound of the prompt's tokens, for truncation; None: not checked.
        local_allowed: False for the reasoning tier: checked before each call and on the answer.
        hedge_allowed: False where no second host may be asked for the same answer (a private request).
        may_load: False for a question of ours that is not worth a load: a local model known not to be in memory is
            passed over.
        attempts: Filled as the chain goes, aborts included; the caller keeps the reference.
        notes: Why the order differs from the configured one, one sentence each.
    """

    tier: Tier
    deployments: tuple[Deployment, ...]
    call: Callable[[Deployment], Call]
    first_token_s: float
    stand_ins: tuple[Deployment, ...] = ()
    prompt_tokens: int | None = None
    local_allowed: bool = True
    hedge_allowed: bool = True
    may_load: bool = True
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
