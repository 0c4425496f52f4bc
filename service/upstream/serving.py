"""One attempt under way: its limits between tokens, what it has shown, and how it ends.

An attempt begins as ``ABORTED`` and gets its outcome where it ends, so that none is lost when the client goes away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NoReturn, Protocol, Self

from service.config import Deployment, Limits
from service.upstream.alarm import Alarm
from service.upstream.collect import Tally, has_token
from service.upstream.health import Clock, Health
from service.upstream.interface import Attempt, Chunk, Outcome, UpstreamFailure
from service.upstream.served_as import is_same_model


class Stream(Protocol):
    """What the chain gives for a client that asked for a stream; the words of `Serving` hold."""

    @property
    def deployment(self) -> Deployment: ...

    @property
    def attempt(self) -> Attempt: ...

    @property
    def tally(self) -> Tally: ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> list[Chunk]: ...

    async def aclose(self) -> None: ...


class Serving:
    """The stream of one attempt. Iterate it for batches of chunks; close it in every case.

    Made by the chain, which also waits for the first token. Ends by itself with the host's proper end, raises
    `UpstreamFailure` after the first token, and counts as aborted when it is closed before either.

    Attributes:
        deployment: What serves.
        attempt: Its record, complete once the stream has ended.
        tally: Usage, finish reason and served model, collected on the way.
        alarm: For the limit to the first token, which is the chain's; then for those between tokens.
    """

    def __init__(
        self,
        deployment: Deployment,
        attempt: Attempt,
        batches: AsyncIterator[list[Chunk]],
        *,
        limits: Limits,
        health: Health,
        clock: Clock,
        started_s: float,
        cap_s: float,
        is_local: bool,
        prompt_tokens: int | None,
        release: Callable[[], None],
        usd_per_s: float = 0.0,
    ) -> None:
        self.deployment = deployment
        self.attempt = attempt
        self.tally = Tally()
        self.alarm = Alarm()
        self._batches = batches
        self._limits = limits
        self._health = health
        self._clock = clock
        self._started_s = started_s
        self._cap_s = cap_s
        self._is_local = is_local
        self._prompt_tokens = prompt_tokens
        self._release = release
        self._usd_per_s = usd_per_s
        self._held: list[Chunk] = []
        self._ended = False

    async def until_first_token(self) -> None:
        """Reads until there is text, thinking, a tool call or a refusal; what came before is kept for the reader.

        Raises:
            UpstreamFailure: Anything but a first token. The attempt is recorded.
        """
        try:
            while True:
                batch = await anext(self._batches)
                began = False
                for chunk in batch:
                    self._take(chunk)
                    began = began or has_token(chunk)
                self._held.extend(batch)
                if began:
                    self.attempt.first_token_ms = self._since_ms()
                    return
        except StopAsyncIteration:
            await self._fail(UpstreamFailure(Outcome.EMPTY, self._emptiness()))
        except UpstreamFailure as failure:
            await self._fail(failure)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Chunk]:
        if self._held:
            held, self._held = self._held, []
            return held
        if self._ended:
            raise StopAsyncIteration
        left_s = self._cap_s - self._clock()
        pause_s = self._limits.between_tokens_s
        try:
            with self.alarm.after(min(pause_s, max(left_s, 0.0))):
                batch = await anext(self._batches)
            for chunk in batch:
                self._take(chunk)
        except TimeoutError:
            if left_s < pause_s:
                failure = UpstreamFailure(Outcome.CAP, f"the answer took more than {self._limits.answer_cap_s:.0f} s")
            else:
                failure = UpstreamFailure(Outcome.TOKEN_TIMEOUT, f"no token for {pause_s:.0f} s")
            await self._fail(failure)
        except UpstreamFailure as failure:
            await self._fail(failure)
        except StopAsyncIteration:
            await self._finish()
            raise
        return batch

    async def aclose(self) -> None:
        """Ends the attempt: the connection is closed, and the attempt is aborted unless it has ended already."""
        if not self._ended:
            await self._end(Outcome.ABORTED)

    async def fail(self, failure: UpstreamFailure, *, cools: bool = True) -> NoReturn:
        """Ends the attempt with ``failure``, for the limit that the chain itself watches, and raises it.

        Args:
            failure: What happened.
            cools: False if it says nothing about the deployment.
        """
        await self._fail(failure, cools=cools)

    def _take(self, chunk: Chunk) -> None:
        served_before = self.tally.served_model
        self.tally.add(chunk)
        if served_before is None and self.tally.served_model is not None:
            self._check_model(self.tally.served_model)

    def _check_model(self, served: str) -> None:
        self.attempt.served_model = served
        if is_same_model(self.deployment.model, served, self.deployment.served_as):
            return
        told = f"asked for {self.deployment.model!r}, the host served {served!r}"
        if self._is_local:
            raise UpstreamFailure(Outcome.WRONG_MODEL, f"{told}; if they are the same, list it in served_as")
        self.attempt.warning = told

    async def _finish(self) -> None:
        if not self.tally.answered:
            await self._fail(UpstreamFailure(Outcome.EMPTY, self._emptiness()))
        truncation = self._truncation()
        if truncation is not None:
            await self._fail(UpstreamFailure(Outcome.TRUNCATED, truncation))
        self._health.answered(self.deployment)
        began_ms = self.attempt.first_token_ms or 0.0
        self._health.generated(
            self.deployment.id, self.tally.completion_tokens or 0, (self._since_ms() - began_ms) / 1000
        )
        await self._end(Outcome.ANSWERED)

    def _emptiness(self) -> str:
        kind = "thinking only" if self.tally.thought else "no text, tool call or refusal"
        return f"{kind} (finish_reason {self.tally.finish_reason})" if self.tally.finish_reason else kind

    def _truncation(self) -> str | None:
        """What shows that the host dropped a part of the prompt, or None. Clear mismatches only: tokenizers differ."""
        usage, ours = self.tally.usage, self._prompt_tokens
        if not self._is_local or usage is None or not ours or usage.prompt_tokens <= 0:
            return None
        theirs = usage.prompt_tokens
        if theirs < 0.5 * ours or (theirs == self.deployment.context < ours):
            return f"the host counted {theirs} prompt tokens, at least {ours} were sent"
        return None

    async def _fail(self, failure: UpstreamFailure, *, cools: bool = True) -> NoReturn:
        self.attempt.status = failure.status
        self.attempt.detail = failure.detail
        await self._end(failure.outcome)
        # An empty end after thinking is the request's doing (max_tokens), not the deployment's.
        used_up = self.tally.thought or self.tally.finish_reason == "length"
        cools = cools and not (failure.outcome is Outcome.EMPTY and used_up)
        self._health.failed(self.deployment, failure, cools=cools)
        raise failure

    async def _end(self, outcome: Outcome) -> None:
        if self._ended:
            return
        self._ended = True
        attempt, tally = self.attempt, self.tally
        attempt.outcome = outcome
        attempt.total_ms = self._since_ms()
        if tally.usage is not None:
            attempt.prompt_tokens = tally.usage.prompt_tokens
        attempt.completion_tokens = tally.completion_tokens
        attempt.cost_usd = self._cost_usd() + self._usd_per_s * attempt.total_ms / 1000
        self._health.count(attempt.deployment_id, outcome)
        self._release()
        close = getattr(self._batches, "aclose", None)
        try:
            if close is not None:
                await close()
        finally:
            self.alarm.close()

    def _cost_usd(self) -> float:
        """By the host's counts, ours where it gives none; nothing came: nothing is charged."""
        prices, attempt = self.deployment.prices, self.attempt
        if attempt.completion_tokens is None and attempt.prompt_tokens is None:
            return 0.0
        prompt = attempt.prompt_tokens if attempt.prompt_tokens is not None else attempt.prompt_tokens_counted or 0
        completion = attempt.completion_tokens or 0
        return (prompt * prices.input_per_mtok + completion * prices.output_per_mtok) / 1e6

    def _since_ms(self) -> float:
        return (self._clock() - self._started_s) * 1000
