"""How a used-up chain is told to the client: attempts in, one error of ``service.errors`` out."""

from __future__ import annotations

from collections.abc import Sequence

from service.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    DeploymentsFailed,
    RequestError,
    UpstreamRefused,
)
from service.upstream.interface import Attempt, Outcome, UpstreamFailure

TOO_LONG = frozenset({Outcome.CONTEXT, Outcome.TRUNCATED})


def refused(failure: UpstreamFailure, attempts: Sequence[Attempt]) -> RequestError:
    """For a request that a deployment called wrong: nothing else is tried, least of all the paid cloud."""
    status = failure.status if failure.status is not None and 400 <= failure.status < 500 else 400
    said = failure.detail or "no reason given"
    return UpstreamRefused(
        f"{attempts[-1].deployment_id} refused the request: {said}",
        status=status,
        code=failure.code,
        attempts=[a.public() for a in attempts],
    )


def used_up(attempts: Sequence[Attempt], *, retry_after_s: float | None) -> RequestError:
    """For a chain in which every deployment failed.

    Args:
        attempts: All of them, failures only.
        retry_after_s: When the first one may be tried again, or None where that is not known.
    """
    public = [a.public() for a in attempts]
    if attempts and all(a.outcome in TOO_LONG for a in attempts):
        return ContextLengthExceeded(
            f"The prompt is too long for every deployment that was tried: {told(attempts)}.",
            param="messages",
            attempts=public,
        )
    return DeploymentsFailed(
        f"Every deployment failed: {told(attempts)}." if attempts else "No deployment was left to try.",
        attempts=public,
        retry_after_s=retry_after_s,
    )


def too_late(attempts: Sequence[Attempt], limit: str) -> RequestError:
    """For a deadline that ran out.

    Args:
        limit: Which one, in words.
    """
    return DeadlineExceeded(f"{limit}: {told(attempts)}.", attempts=[a.public() for a in attempts])


def told(attempts: Sequence[Attempt]) -> str:
    """Every attempt in one line: deployment, what happened, milliseconds."""
    return "; ".join(
        f"{a.deployment_id} {str(a.outcome).replace('_', ' ')} after {a.total_ms:.0f} ms"
        + (f" ({a.detail.rstrip('.')})" if a.detail else "")
        for a in attempts
    )
