"""What a caller may still use: requests and tokens in a minute, requests at once, dollars in a day."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.errors import TooManyRequests
from service.limits.state import REQUESTS, SPEND, TOKENS, Claim, LimitState, Standing, Window
from service.routing.request import CallerIdentity

log = logging.getLogger("autotier.limits")

PARALLEL_GRACE_S = 0.1
"""A client that asks again the moment its answer has ended must not meet its own request on the way out."""
PARALLEL_RETRY_S = 1.0
SOMETHING_USD = 1e-9
"""Refuses once everything is spent, before a request's own cost is known."""

_UNITS = {REQUESTS: "requests a minute", TOKENS: "tokens a minute", SPEND: "US dollars a day"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request may use, before it is sent.

    Attributes:
        tokens: Prompt tokens and the reserve for the answer.
        usd: What they cost at the most expensive deployment of its chain.
    """

    tokens: int
    usd: float


@dataclass(frozen=True, slots=True)
class Used:
    """What a request has used: all attempts together, failed ones included."""

    tokens: int = 0
    usd: float = 0.0


class Allowances:
    """Hands out admissions over one state.

    Args:
        state: Where used amounts are kept.
    """

    def __init__(self, state: LimitState) -> None:
        self.state = state
        self._behind: set[asyncio.Task[None]] = set()

    def admission(self, caller: CallerIdentity, ticket: str) -> Admission:
        """The admission of one request, nothing counted yet. ``ticket`` is unique to it."""
        return Admission(self, caller, ticket)

    def behind(self, work: Coroutine[Any, Any, None]) -> None:
        """Does ``work`` behind the answer; what fails is logged."""
        task = asyncio.create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Waits for what is done behind answers."""
        await asyncio.gather(*self._behind, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._behind.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a caller's use could not be corrected", exc_info=task.exception())


@dataclass(slots=True)
class Admission:
    """One request's way through its caller's limits: `enter`, `claim`, in the end `settle`.

    Attributes:
        headers: ``x-ratelimit-*`` as of the last step, for windows that are limited.
    """

    allowances: Allowances
    caller: CallerIdentity
    ticket: str
    headers: dict[str, str] = field(default_factory=dict)
    _inside: bool = False
    _taken: dict[Window, float] = field(default_factory=dict)

    async def enter(self) -> None:
        """Counts the request, and refuses before any work where nothing is left.

        Raises:
            TooManyRequests: Too many requests at once or in this minute; all tokens or dollars used up.
        """
        limits = self.caller.limits
        if limits.parallel is not None and not await self._inside_of(limits.parallel):
            raise TooManyRequests(
                f"caller {self.caller.name!r} may have {limits.parallel} requests at work at once",
                limit="parallel",
                retry_after_s=PARALLEL_RETRY_S,
            )
        await self._take(
            (REQUESTS, limits.requests_per_minute, 1),
            (TOKENS, limits.tokens_per_minute, 1),
            (SPEND, limits.usd_per_day, SOMETHING_USD),
        )

    @property
    def needs_estimate(self) -> bool:
        """Whether `claim` has anything to take: the caller's tokens or dollars are limited."""
        limits = self.caller.limits
        return limits.tokens_per_minute is not None or limits.usd_per_day is not None

    async def claim(self, estimate: Estimate) -> None:
        """Takes what the request may use; `settle` corrects it.

        Raises:
            TooManyRequests: It does not fit now, or (then without Retry-After) never.
        """
        limits = self.caller.limits
        tokens = max(estimate.tokens - self._taken.get(TOKENS, 0.0), 0.0)
        await self._take((TOKENS, limits.tokens_per_minute, tokens), (SPEND, limits.usd_per_day, estimate.usd))

    def settle(self, used: Used) -> None:
        """Ends the admission, once: real use takes the place of the estimate, behind the answer."""
        if not self._taken and not self._inside:
            return
        corrections = {
            window: actual - self._taken[window]
            for window, actual in ((TOKENS, used.tokens), (SPEND, used.usd))
            if window in self._taken and actual != self._taken[window]
        }
        self._taken = {}
        inside, self._inside = self._inside, False
        if corrections or inside:
            self.allowances.behind(self._settled(corrections, inside))

    async def _settled(self, corrections: dict[Window, float], inside: bool) -> None:
        state = self.allowances.state
        if inside:
            await state.leave(self.caller.name, self.ticket)
        for window, amount in corrections.items():
            await state.add(self.caller.name, window, amount)

    async def _inside_of(self, most: int) -> bool:
        state = self.allowances.state
        self._inside = True  # before the call: cancelled in the middle of it, the ticket may be there
        if await state.enter(self.caller.name, self.ticket, most):
            return True
        await asyncio.sleep(PARALLEL_GRACE_S)
        self._inside = await state.enter(self.caller.name, self.ticket, most)
        return self._inside

    async def _take(self, *wanted: tuple[Window, float | None, float]) -> None:
        claims = [Claim(window, most, amount) for window, most, amount in wanted if most is not None]
        if not claims:
            return
        standings = await self.allowances.state.take(self.caller.name, claims)
        self._show(claims, standings)
        refused = [pair for pair in zip(claims, standings, strict=True) if pair[1].wait_s != 0]
        if refused:
            raise self._refusal(*max(refused, key=lambda pair: math.inf if pair[1].wait_s is None else pair[1].wait_s))
        for claim in claims:
            self._taken[claim.window] = self._taken.get(claim.window, 0.0) + claim.amount

    def _refusal(self, claim: Claim, standing: Standing) -> TooManyRequests:
        limit = f"caller {self.caller.name!r} may use {claim.most:,g} {_UNITS[claim.window]}"
        if standing.wait_s is None:
            problem = f"this request alone may take {claim.amount:,.6g}; shorten it or lower its max_tokens"
        else:
            problem = f"{standing.used:,.6g} are used"
            if claim.amount > SOMETHING_USD:
                problem += f", this request may take {claim.amount:,.6g}"
        return TooManyRequests(f"{limit}: {problem}", limit=claim.window.name, retry_after_s=standing.wait_s)

    def _show(self, claims: Sequence[Claim], standings: Sequence[Standing]) -> None:
        for claim, standing in zip(claims, standings, strict=True):
            if claim.window is SPEND:
                continue  # OpenAI has no such header
            name = claim.window.name
            self.headers[f"x-ratelimit-limit-{name}"] = f"{claim.most:.0f}"
            self.headers[f"x-ratelimit-remaining-{name}"] = f"{max(math.floor(claim.most - standing.used), 0)}"
            self.headers[f"x-ratelimit-reset-{name}"] = f"{math.ceil(standing.reset_s)}s"
