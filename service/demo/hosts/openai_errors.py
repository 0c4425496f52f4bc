"""OpenAI's errors, as a cloud words them and as Ollama imitates them, and the headers that go along."""

from __future__ import annotations

import time

import orjson
from aiohttp import web

from service.demo.hosts.catalog import DEFAULT_OLLAMA_CONTEXT
from service.demo.hosts.exchange import Exchange, json_response
from service.demo.hosts.faults import FaultName


class Refused(Exception):
    """A request that the protocol answers with an error.

    Attributes:
        status: HTTP status.
        message: For people.
        kind: OpenAI's ``type``.
        param: The field at fault, or None.
        code: OpenAI's ``code``, or None.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """Make OpenAI's error body."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def refusal(exchange: Exchange, error: Refused) -> web.Response:
    """Make the HTTP answer of a refused request."""
    return json_response(
        error_body(error.message, error.kind, error.param, error.code), error.status, headers_of(exchange)
    )


def headers_of(exchange: Exchange) -> dict[str, str]:
    """Give the headers that OpenAI sends along; Ollama sends none."""
    if exchange.spec.kind == "ollama":
        return {}
    return {
        "x-request-id": f"req_{exchange.entry.number:032x}",
        "openai-organization": "org-simulated",
        "openai-processing-ms": str(int((time.time() - exchange.entry.received_at) * 1000)),
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "30ms",
    }


def fault_response(exchange: Exchange) -> web.Response:
    """Answer with the status that the fault names, in OpenAI's words."""
    fault = exchange.fault
    model = str(exchange.body.get("model", "unknown"))
    match fault.name:
        case FaultName.BAD_REQUEST:
            error = Refused(400, "Invalid request (simulated).", code="invalid_value")
        case FaultName.UNAUTHORIZED:
            error = wrong_key("sk-simulated")
        case FaultName.NOT_FOUND:
            error = no_model(exchange, model)
        case FaultName.RATE_LIMITED:
            text = f"Rate limit reached for {model} (simulated). Please try again in {fault.retry_after}s."
            error = Refused(429, text, "requests", code="rate_limit_exceeded")
        case FaultName.CONTEXT:
            error = too_long(fault.tokens or DEFAULT_OLLAMA_CONTEXT, fault.tokens * 2 or 2 * DEFAULT_OLLAMA_CONTEXT)
        case FaultName.UNAVAILABLE:
            error = Refused(503, "The engine is currently overloaded, please try again later", "service_unavailable")
        case _:
            text = "The server had an error while processing your request. Sorry about that!"
            error = Refused(500, text, "server_error")
    response = refusal(exchange, error)
    if error.status == 429:
        response.headers["Retry-After"] = str(fault.retry_after)
        response.headers["x-ratelimit-remaining-requests"] = "0"
    return response


def wrong_key(key: str) -> Refused:
    """Make OpenAI's answer to a wrong key, or to none."""
    if not key:
        return Refused(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    shown = f"{key[:3]}{'*' * 8}{key[-4:]}" if len(key) > 8 else "*" * len(key)
    return Refused(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def no_model(exchange: Exchange, model: str) -> Refused:
    """Make the answer to a model that is not there."""
    if exchange.spec.kind == "ollama":
        return Refused(404, f"model '{model}' not found", "not_found_error")
    text = f"The model `{model}` does not exist or you do not have access to it."
    return Refused(404, text, code="model_not_found")


def too_long(limit: int, tokens: int) -> Refused:
    """Make OpenAI's answer to a prompt that does not fit."""
    text = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages."
    )
    return Refused(400, text, param="messages", code="context_length_exceeded")


def check_key(exchange: Exchange) -> None:
    """Refuse a request without one of the host's keys.

    Raises:
        Refused: 401.
    """
    keys = exchange.spec.keys
    if keys:
        given = exchange.request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if given not in keys:
            raise wrong_key(given)
