"""What a request may use, told before it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.config import Deployment
from service.limits.limits import Estimate


def estimate_of(body: Mapping[str, Any], tokens: int, chain: Iterable[Deployment], reserve_tokens: int) -> Estimate:
    """Tokens of the prompt and the reserve for each answer, at the dearest deployment's prices.

    Args:
        body: The request's; ``n`` answers are as many reserves.
        tokens: Of the prompt.
        chain: Deployments that may serve it.
        reserve_tokens: Of an answer whose length the client did not limit.
    """
    given = body.get("max_completion_tokens") or body.get("max_tokens")
    answers = body.get("n")
    reserve = given if isinstance(given, int) else reserve_tokens
    reserve *= answers if isinstance(answers, int) and answers > 1 else 1
    usd = max((tokens * d.prices.input_per_mtok + reserve * d.prices.output_per_mtok for d in chain), default=0.0)
    return Estimate(tokens + reserve, usd / 1e6)
