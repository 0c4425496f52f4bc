"""The frames and bodies of OpenAI's chat completions, made of answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from service.demo.hosts.answers import Answer
from service.demo.hosts.exchange import Exchange, Outgoing
from service.demo.hosts.openai_errors import error_body

EVENT_STREAM = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
ARGUMENT_CHARACTERS = 8
"""Characters of a tool's arguments in one delta."""

_FAILED = "The server had an error while processing your request. Sorry about that!"
_LOGPROB = -0.105


@dataclass(frozen=True, slots=True)
class Completion:
    """What all frames of one completion share.

    Attributes:
        ident: The ``id``.
        model: Name of the model that answers.
        created: Unix time in seconds.
        fingerprint: ``system_fingerprint``.
        wants_usage: Whether a usage chunk is asked for.
        logprobs: None, or the number of alternatives per token.
        is_ollama: Ollama shows its thinking, a cloud only counts it.
        usage: Tokens.
        answers: One per choice.
    """

    ident: str
    model: str
    created: int
    fingerprint: str
    wants_usage: bool
    logprobs: int | None
    is_ollama: bool
    usage: dict[str, object]
    answers: list[Answer]

    def frame(self, choices: list[dict[str, object]], usage: dict[str, object] | None = None) -> bytes:
        """Make one SSE event."""
        chunk: dict[str, object] = {
            "id": self.ident,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }
        if self.wants_usage:
            chunk["usage"] = usage
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def delta(self, index: int, delta: dict[str, object], finish: str | None = None, token: str = "") -> bytes:
        """Make the event of one choice's delta."""
        choice: dict[str, object] = {"index": index, "delta": delta}
        choice["logprobs"] = self.logprob([token]) if token and self.logprobs is not None else None
        choice["finish_reason"] = finish
        return self.frame([choice])

    def head(self) -> bytes:
        """Make the role chunk of each choice."""
        first: dict[str, object] = {"role": "assistant", "content": ""}
        if not self.is_ollama:
            first["refusal"] = None
        return b"".join(self.delta(index, first) for index in range(len(self.answers)))

    def frames(self) -> Iterator[bytes]:
        """Make one event per token, the choices in turn."""
        if len(self.answers) == 1:
            # Everything but the token is the same in each event: it is serialised once.
            answer = self.answers[0]
            if self.logprobs is None and not answer.thinking and not answer.tool_calls:
                before, _, after = self.delta(0, {"content": "\x00"}).partition(b'"\\u0000"')
                for piece in answer.pieces:
                    yield before + orjson.dumps(piece) + after
                return
        streams = [self._deltas(index, answer) for index, answer in enumerate(self.answers)]
        while streams:
            for stream in list(streams):
                frame = next(stream, None)
                if frame is None:
                    streams.remove(stream)
                else:
                    yield frame

    def _deltas(self, index: int, answer: Answer) -> Iterator[bytes]:
        """Make the events of one choice between the role and the finish."""
        if self.is_ollama:
            for piece in answer.thinking:
                yield self.delta(index, {"content": "", "reasoning": piece})
        for piece in answer.pieces:
            yield self.delta(index, {"content": piece}, token=piece)
        for at, call in enumerate(answer.tool_calls):
            text = orjson.dumps(call.arguments).decode()
            function: dict[str, object] = {"name": call.name, "arguments": ""}
            head = {"index": at, "id": self._call_id(index, at), "type": "function", "function": function}
            yield self.delta(index, {"tool_calls": [head]})
            for start in range(0, len(text), ARGUMENT_CHARACTERS):
                part = {"index": at, "function": {"arguments": text[start : start + ARGUMENT_CHARACTERS]}}
                yield self.delta(index, {"tool_calls": [part]})

    def tail(self) -> bytes:
        """Make the finish of each choice, the usage chunk where asked for, and the end."""
        ends = b"".join(self.delta(index, {}, answer.finish) for index, answer in enumerate(self.answers))
        return ends + (self.frame([], self.usage) if self.wants_usage else b"") + DONE

    def whole(self) -> bytes:
        """Make the body without a stream."""
        return orjson.dumps(
            {
                "id": self.ident,
                "object": "chat.completion",
                "created": self.created,
                "model": self.model,
                "choices": [self._choice(index, answer) for index, answer in enumerate(self.answers)],
                "usage": self.usage,
                "service_tier": "default",
                "system_fingerprint": self.fingerprint,
            }
        )

    def logprob(self, tokens: list[str]) -> dict[str, object]:
        """Make the log probabilities of tokens; the alternatives are the token itself, ever less probable."""
        content = []
        for token in tokens:
            raw = list(token.encode())
            tops = [{"token": token, "logprob": _LOGPROB - rank, "bytes": raw} for rank in range(self.logprobs or 0)]
            content.append({"token": token, "logprob": _LOGPROB, "bytes": raw, "top_logprobs": tops})
        return {"content": content, "refusal": None}

    def _choice(self, index: int, answer: Answer) -> dict[str, object]:
        """Make one choice of the body without a stream."""
        calls = answer.tool_calls
        message: dict[str, object] = {"role": "assistant", "content": None if calls else "".join(answer.pieces)}
        if self.is_ollama:
            message["content"] = message["content"] or ""
            if answer.thinking:
                message["reasoning"] = "".join(answer.thinking)
        else:
            message |= {"refusal": None, "annotations": []}
        if calls:
            message["tool_calls"] = [
                {
                    "id": self._call_id(index, at),
                    "type": "function",
                    "function": {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()},
                }
                for at, call in enumerate(calls)
            ]
        logprobs = self.logprob(answer.pieces) if self.logprobs is not None else None
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}

    def _call_id(self, index: int, at: int) -> str:
        """Name one tool call."""
        return f"call_{self.ident.removeprefix('chatcmpl-')}{index}{at}"


def completion(exchange: Exchange, model: str, prompt_tokens: int, answers: list[Answer], number: int) -> Outgoing:
    """Make the outgoing form of a completion; `number` makes its id."""
    body = exchange.body
    is_ollama = exchange.spec.kind == "ollama"
    options = body.get("stream_options")
    tops = body.get("top_logprobs")
    made = Completion(
        ident=f"chatcmpl-{number}" if is_ollama else f"chatcmpl-sim{number:024x}",
        model=model,
        created=int(time.time()),
        fingerprint="fp_ollama" if is_ollama else "fp_simulated",
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        logprobs=(tops if isinstance(tops, int) else 0) if body.get("logprobs") is True and not is_ollama else None,
        is_ollama=is_ollama,
        usage=_usage(prompt_tokens, answers, is_ollama=is_ollama),
        answers=answers,
    )
    thought = sum(len(answer.thinking) for answer in answers)
    failure = error_body(_FAILED, "server_error")
    return Outgoing(
        content_type="text/event-stream" if is_ollama else EVENT_STREAM,
        headers={},
        head=made.head(),
        frames=made.frames(),
        tail=made.tail,
        whole=made.whole,
        tokens=max(answer.tokens for answer in answers) if answers else 0,
        hidden=0 if is_ollama else thought,
        broken=b'data: {"id":"' + made.ident.encode() + b'","choices":[{"index":0,"del\n\n',
        error=b"data: " + failure + b"\n\n",
        whole_error=(200, failure),
    )


def _usage(prompt_tokens: int, answers: list[Answer], *, is_ollama: bool) -> dict[str, object]:
    """Count the tokens of a completion; hidden reasoning counts as completion."""
    generated = sum(answer.tokens for answer in answers)
    usage: dict[str, object] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": generated,
        "total_tokens": prompt_tokens + generated,
    }
    if not is_ollama:
        thought = sum(len(answer.thinking) for answer in answers)
        usage["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0}
        usage["completion_tokens_details"] = {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return usage
