"""Kept answers, and calls that several requests share, as the stream that a client reads."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Self

from service.api.exchange import Exchange
from service.cache.entry import Entry
from service.cache.flight import Reader
from service.config import Deployment
from service.upstream.collect import Answer, Collector, Tally
from service.upstream.interface import Attempt, Chunk, Outcome, Usage
from service.upstream.serving import Stream


@dataclass(frozen=True, slots=True)
class Head:
    """What a flight opens with.

    Attributes:
        stream: The stream under way, or None where the whole answer came at once.
        deployment: What serves at its beginning.
        attempts: Of the call.
    """

    stream: Stream | None
    deployment: Deployment
    attempts: list[Attempt]


def chunks_of(choices: list[dict[str, Any]], usage: Usage | None, fingerprint: str | None) -> list[Chunk]:
    """A whole answer as the chunks of a stream: everything at once, as it is there at once."""
    deltas = []
    for choice in choices:
        message = {k: v for k, v in choice["message"].items() if v is not None}
        if "tool_calls" in message:
            message["tool_calls"] = [{"index": i, **call} for i, call in enumerate(message["tool_calls"])]
        begun: dict[str, Any] = {"index": choice["index"], "delta": message, "finish_reason": None}
        if choice.get("logprobs"):
            begun["logprobs"] = choice["logprobs"]
        deltas.append(begun)
    ends = [{"index": c["index"], "delta": {}, "finish_reason": c["finish_reason"]} for c in choices]
    return [Chunk(deltas, system_fingerprint=fingerprint), Chunk(ends), Chunk(usage=usage)]


class Kept:
    """A kept answer as a `Stream`."""

    def __init__(self, entry: Entry, deployment: Deployment) -> None:
        self.deployment = deployment
        self.attempt = Attempt(0, deployment.id, Outcome.ANSWERED)
        self.tally = Tally()
        self._entry = entry
        self._batches = iter([self.chunks()])

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Chunk]:
        batch = next(self._batches, None)
        if batch is None:
            raise StopAsyncIteration
        for chunk in batch:
            self.tally.add(chunk)
        return batch

    async def aclose(self) -> None:
        """Nothing is open."""

    def chunks(self) -> list[Chunk]:
        """All of it."""
        entry = self._entry
        return chunks_of(entry.choices, Usage(*entry.usage) if entry.usage else None, entry.fingerprint)

    def answer(self) -> Answer:
        """The whole answer."""
        entry = self._entry
        usage = Usage(*entry.usage) if entry.usage else None
        return Answer(self.deployment, self.attempt, entry.choices, usage, entry.fingerprint)


class Shared:
    """One request's view of a flight as a `Stream`. Who reads first carries the attempts, and with them the costs."""

    def __init__(self, reader: Reader[Head, list[Chunk]], exchange: Exchange) -> None:
        self.tally = Tally()
        self.head: Head | None = None
        self._reader = reader
        self._exchange = exchange

    @property
    def deployment(self) -> Deployment:
        """What serves now."""
        assert self.head is not None  # set before anybody reads
        return self.head.stream.deployment if self.head.stream is not None else self.head.deployment

    @property
    def attempt(self) -> Attempt:
        """Of the deployment that serves now."""
        assert self.head is not None
        attempts = self.head.attempts
        return attempts[-1] if attempts else Attempt(0, self.head.deployment.id, Outcome.ANSWERED)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Chunk]:
        batch = await anext(self._reader)
        for chunk in batch:
            self.tally.add(chunk)
        return batch

    async def answer(self) -> Answer:
        """The whole answer.

        Raises:
            UpstreamFailure: The stream died.
        """
        collector = Collector()
        async for batch in self:
            for chunk in batch:
                collector.add(chunk)
        tally = self.tally
        return Answer(self.deployment, self.attempt, collector.choices(), tally.usage, tally.system_fingerprint)

    async def aclose(self) -> None:
        """Leaves the flight; the last one out ends it."""
        flight, reader, exchange = self._reader.flight, self._reader, self._exchange
        carries = reader.carries and not flight.settled
        stays = len(flight.readers) > 1 and not flight.is_over
        await reader.aclose()
        if not carries:
            return
        if self.head is not None:
            exchange.attempts = self.head.attempts
        if stays:  # the next reader carries on: what comes from here is in its record
            exchange.attempts = [copy.copy(attempt) for attempt in exchange.attempts]
        else:
            flight.settled = True
