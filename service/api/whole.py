"""A whole answer as one JSON body."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

AT_ONCE = "autotier.at_once"
"""The extension in a request's scope: its ``answer`` is ``TimedProtocol.answer_at_once``."""


class WholeAnswer(Response):
    """An answer of status 200, written at once where the server offers that (``TimedProtocol.answer_at_once``).

    Starlette's two messages, and uvicorn's check and copy of each header in them, cost more than the answer's JSON.

    Args:
        body: JSON.
        headers: Ours, names in lower case, neither length nor type.
    """

    media_type = "application/json"

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self._shown = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        offered = scope.get("extensions", {}).get(AT_ONCE)
        if offered is not None and offered["answer"](scope, self._shown, self.body):
            return
        self.init_headers(self._shown)
        await super().__call__(scope, receive, send)
