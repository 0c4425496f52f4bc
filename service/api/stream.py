"""An answer as server-sent events, pumped from the attempt under way to the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.drain import ClientGone, Watch, unless
from service.api.exchange import Ending, Exchange
from service.api.wire import DONE, Envelope, EventWriter, error_event, usage_event
from service.errors import DeadlineExceeded, DeploymentsFailed, RequestError, ShuttingDown
from service.in_time import in_time
from service.upstream.collect import Collector
from service.upstream.interface import Outcome, UpstreamFailure
from service.upstream.serving import Stream

LAST_WORD_S = 2.0
"""A stream that is cut may tell why for so long."""


class Ends(Protocol):
    """Where the end of a stream is reported."""

    def remember(self, exchange: Exchange, message: Mapping[str, Any]) -> None:
        """The stream ended well with ``message``."""
        ...

    def finish(self, exchange: Exchange, ending: Ending, error: RequestError | None = None) -> None:
        """The exchange is over; called once."""
        ...


class EventStream(Response):
    """A streamed answer whose first token is there already.

    A stream that dies ends with an ``error`` event and without ``[DONE]``; a client that leaves closes the upstream
    connection. Both are recorded.

    Args:
        serving: The attempt under way.
        exchange: Its headers go out with the first byte.
        envelope: What all chunks share.
        watch: Ended when the client has left, and when the service cuts the stream.
        ends: Where the end is reported.
        slow_client_s: A client that takes nothing for this long is gone: it may not hold an upstream connection.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        serving: Stream,
        exchange: Exchange,
        envelope: Envelope,
        watch: Watch,
        ends: Ends,
        *,
        slow_client_s: float,
    ) -> None:
        super().__init__(headers={**exchange.headers(), "cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._serving = serving
        self._exchange = exchange
        self._envelope = envelope
        self._watch = watch
        self._ends = ends
        self._send_limit_s = slow_client_s
        self._writer = EventWriter(envelope)
        self._collector = Collector()
        self._began = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream; ends the attempt in every case."""
        ending: Ending = "aborted"
        error: RequestError | None = None
        try:
            ending, error = await unless(self._watch, self._pump(send))
        except ShuttingDown as cut:
            ending, error = "cut", cut
            await self._cut(cut, send)
        except (ClientGone, OSError, TimeoutError):
            pass  # the client has left, or its connection broke or stood still: aborted
        finally:
            self._watch.over()
            await self._serving.aclose()
            self._ends.finish(self._exchange, ending, error)

    async def _cut(self, error: ShuttingDown, send: Send) -> None:
        """The service ends before the answer: the client gets what there is and the reason."""
        await self._serving.aclose()
        self._take_tally()
        self._send_limit_s = LAST_WORD_S
        try:
            await self._begin(send)
            await self._send(send, error_event(error), last=True)
        except (OSError, TimeoutError):
            pass  # it does not listen; the record has the reason

    async def _begin(self, send: Send) -> None:
        if not self._began:
            self._began = True
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    def _take_tally(self) -> None:
        self._exchange.deployment_id = self._serving.deployment.id  # another one where the answer was continued
        self._exchange.usage = self._serving.tally.usage
        self._exchange.finish_reason = self._serving.tally.finish_reason

    async def _pump(self, send: Send) -> tuple[Ending, RequestError | None]:
        await self._begin(send)
        error: RequestError | None = None
        try:
            async for batch in self._serving:
                for chunk in batch:
                    self._collector.add(chunk)
                await self._send(send, self._writer.events(batch))
        except UpstreamFailure as failure:
            error = self._died(failure)
        self._take_tally()
        if error is not None:
            await self._send(send, error_event(error), last=True)
            return "cut", error
        await self._send(send, self._closing(), last=True)
        self._ends.remember(self._exchange, self._collector.choices()[0]["message"])
        return "answered", None

    def _closing(self) -> bytes:
        """The usage chunk where the client asked for it, and ``[DONE]``."""
        if not self._envelope.include_usage:
            return DONE
        return usage_event(self._exchange.counted_usage(), self._envelope, self._exchange.summary()) + DONE

    def _died(self, failure: UpstreamFailure) -> RequestError:
        kind = DeadlineExceeded if failure.outcome is Outcome.CAP else DeploymentsFailed
        return kind(
            f"the answer of {self._serving.deployment.id} ended before its end: {failure}",
            attempts=[attempt.public() for attempt in self._exchange.attempts],
        )

    async def _send(self, send: Send, data: bytes, *, last: bool = False) -> None:
        if data or last:
            event = {"type": "http.response.body", "body": data, "more_body": not last}
            await in_time(self._send_limit_s, send(event))
