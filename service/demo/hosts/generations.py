"""The frames and bodies of Ollama's native generations, made of answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from service.demo.hosts.answers import Answer
from service.demo.hosts.exchange import Outgoing
from service.demo.hosts.memory import Lease

NS = 1_000_000_000
"""Nanoseconds per second: the unit of Ollama's durations."""

NDJSON = "application/x-ndjson"
RUNNER_FAILED = "an error was encountered while running the model: unexpected EOF"
PROMPT_EVAL_SHARE = 0.1
"""Part of the time that is said to have gone into the prompt."""


def created_at() -> str:
    """Give the present time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass(slots=True)
class Generation:
    """One generation on the wire.

    Attributes:
        model: Name in the answer.
        kind: ``message`` (chat) or ``response`` (generate): where the text is.
        answer: What is said.
        prompt_tokens: Tokens of the prompt after truncation.
        lease: What the request waited for.
        start: When the request came (monotonic seconds).
    """

    model: str
    kind: str
    answer: Answer
    prompt_tokens: int
    lease: Lease
    start: float

    def outgoing(self) -> Outgoing:
        """Give the form that `service.demo.hosts.exchange.send` sends."""
        error = orjson.dumps({"error": RUNNER_FAILED})
        return Outgoing(
            content_type=NDJSON,
            headers={},
            head=b"",
            frames=self._frames(),
            tail=lambda: orjson.dumps(self._last("", with_calls=False)) + b"\n",
            whole=self._whole,
            tokens=self.answer.tokens,
            hidden=0,
            broken=b'{"model":' + orjson.dumps(self.model) + b',"created_at":"2025-01-01T00:00:00Z","message":{"ro\n',
            error=error + b"\n",
            whole_error=(500, error),
        )

    def _frames(self) -> Iterator[bytes]:
        """Make one line per token; the thinking comes first, then the text or the calls."""
        for piece in self.answer.thinking:
            yield self._line(
                {"role": "assistant", "content": "", "thinking": piece}, {"response": "", "thinking": piece}
            )
        start = b'{"model":' + orjson.dumps(self.model) + b',"created_at":"'
        if self.kind == "message":
            middle, end = b'","message":{"role":"assistant","content":', b'},"done":false}\n'
        else:
            middle, end = b'","response":', b',"done":false}\n'
        for piece in self.answer.pieces:
            yield start + created_at().encode() + middle + orjson.dumps(piece) + end
        if self.answer.tool_calls:
            yield self._line({"role": "assistant", "content": "", "tool_calls": self._calls()}, {"response": ""})

    def _line(self, message: dict[str, object], response: dict[str, object]) -> bytes:
        """Make one line that is not the last."""
        inner = {"message": message} if self.kind == "message" else response
        return orjson.dumps({"model": self.model, "created_at": created_at(), **inner, "done": False}) + b"\n"

    def _whole(self) -> bytes:
        """Make the body without a stream."""
        return orjson.dumps(self._last("".join(self.answer.pieces), with_calls=True))

    def _last(self, text: str, *, with_calls: bool) -> dict[str, object]:
        """Make the last line, or the only one, with the statistics."""
        inner: dict[str, object]
        if self.kind == "message":
            message: dict[str, object] = {"role": "assistant", "content": text}
            if with_calls and self.answer.thinking:
                message["thinking"] = "".join(self.answer.thinking)
            if with_calls and self.answer.tool_calls:
                message["tool_calls"] = self._calls()
            inner = {"message": message}
        else:
            inner = {"response": text}
            if with_calls and self.answer.thinking:
                inner["thinking"] = "".join(self.answer.thinking)
        total = time.monotonic() - self.start
        generating = max(total - self.lease.load_s - self.lease.queued_s, 0.0)
        return {
            "model": self.model,
            "created_at": created_at(),
            **inner,
            "done_reason": "length" if self.answer.finish == "length" else "stop",
            "done": True,
            "total_duration": int(total * NS),
            "load_duration": int(self.lease.load_s * NS),
            "prompt_eval_count": self.prompt_tokens,
            "prompt_eval_duration": int(generating * PROMPT_EVAL_SHARE * NS),
            "eval_count": self.answer.tokens,
            "eval_duration": int(generating * (1 - PROMPT_EVAL_SHARE) * NS),
        }

    def _calls(self) -> list[dict[str, object]]:
        """Write the tool calls as Ollama does: arguments as an object."""
        return [
            {
                "id": f"call_{index:08d}",
                "function": {"index": index, "name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(self.answer.tool_calls)
        ]
