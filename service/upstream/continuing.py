"""``upstream.on_stream_death: continue``: when a stream dies, the tier's next deployment goes on from what was sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self

from service.config import Deployment
from service.errors import RequestError
from service.upstream.collect import Tally
from service.upstream.interface import Attempt, Chunk, Outcome, UpstreamFailure, Usage
from service.upstream.serving import Serving
from service.upstream.walk import Prefix

DIED = frozenset(
    {Outcome.CUT, Outcome.TOKEN_TIMEOUT, Outcome.GARBAGE, Outcome.ERROR_EVENT, Outcome.CONNECT, Outcome.SERVER_ERROR}
)
"""Ends that another deployment can mend. The cap is over for it too; truncated or wrong answers are no prefix."""

Resume = Callable[[Prefix, Deployment, UpstreamFailure], Awaitable[Serving]]


class Continued:
    """The stream of one answer by one or more deployments; the same surface as `Serving`.

    Continued is text of one choice. An answer that has called tools, refused or only thought so far ends as it would
    without this.

    Args:
        serving: The attempt under way.
        resume: The next deployment's attempt, its first token there; raises `RequestError` where none is left.
    """

    def __init__(self, serving: Serving, resume: Resume) -> None:
        self._serving = serving
        self._resume = resume
        self._before: list[Tally] = []
        self._text: list[str] = []
        self._only_text = True
        self._goes_on = False

    @property
    def deployment(self) -> Deployment:
        """What serves now."""
        return self._serving.deployment

    @property
    def attempt(self) -> Attempt:
        """Of the deployment that serves now."""
        return self._serving.attempt

    @property
    def tally(self) -> Tally:
        """Of all parts: the prompt as counted last, the tokens of all answers."""
        tally = self._serving.tally
        if not self._before or tally.usage is None:
            return tally
        more = sum(t.completion_tokens or 0 for t in self._before)
        usage = Usage(
            tally.usage.prompt_tokens,
            tally.usage.completion_tokens + more,
            tally.usage.reasoning_tokens,
            tally.usage.cached_tokens,
        )
        return replace(tally, usage=usage)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Chunk]:
        try:
            batch = await anext(self._serving)
        except UpstreamFailure as failure:
            return await self._continue(failure)
        for chunk in batch:
            self._see(chunk)
        return batch

    async def aclose(self) -> None:
        """See `Serving.aclose`."""
        await self._serving.aclose()

    async def _continue(self, failure: UpstreamFailure) -> list[Chunk]:
        text = "".join(self._text)
        if failure.outcome not in DIED or not self._only_text or not text:
            raise failure
        died, tally = self._serving.deployment, self._serving.tally
        tokens = sum(t.completion_tokens or 0 for t in [*self._before, tally])
        try:
            self._serving = await self._resume(Prefix(text, tokens), died, failure)
        except RequestError:
            raise failure from None  # what the client is told; the attempts tell the rest
        self._before.append(tally)
        self._goes_on = True
        told = Chunk(choices=[{"index": 0, "delta": {}, "finish_reason": None}])
        told.continued_by = self._serving.deployment.id
        return [told]

    def _see(self, chunk: Chunk) -> None:
        for choice in chunk.choices:
            delta = choice.get("delta") or {}
            if self._goes_on:
                delta.pop("role", None)  # the answer has begun already
            if choice.get("index", 0) != 0 or any(delta.get(name) for name in ("tool_calls", "refusal", "audio")):
                self._only_text = False
            if delta.get("content"):
                self._text.append(delta["content"])
