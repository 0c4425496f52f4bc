"""From an HTTP request to the answer of the protocol, through the fault that is set.

Plain dictionaries on aiohttp's low-level server: a router with middlewares costs as much CPU as the rest of a
simulated answer, and benches run against these hosts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from service.demo.hosts import ollama_api, ollama_listing, openai_api, openai_errors
from service.demo.hosts.exchange import CAPTIVE_PORTAL, Exchange, Host
from service.demo.hosts.faults import FaultName
from service.demo.hosts.ollama_api import Failed
from service.demo.hosts.openai_errors import Refused

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

_OPENAI: dict[tuple[str, str], Handler] = {
    ("POST", "/v1/chat/completions"): openai_api.chat,
    ("POST", "/v1/embeddings"): openai_api.embeddings,
    ("GET", "/v1/models"): openai_api.models,
}
_OLLAMA: dict[tuple[str, str], Handler] = _OPENAI | {
    ("POST", "/api/chat"): ollama_api.chat,
    ("POST", "/api/generate"): ollama_api.generate,
    ("POST", "/api/embed"): ollama_api.embed,
    ("POST", "/api/embeddings"): ollama_api.embed,
    ("POST", "/api/show"): ollama_listing.show,
    ("GET", "/api/tags"): ollama_listing.tags,
    ("GET", "/api/ps"): ollama_listing.ps,
    ("GET", "/api/version"): ollama_listing.version,
    ("GET", "/"): ollama_listing.root,
    ("HEAD", "/"): ollama_listing.root,
}
_ANSWERS = frozenset(
    {"/v1/chat/completions", "/v1/embeddings", "/api/chat", "/api/generate", "/api/embed", "/api/embeddings"}
)
_STATUS_FAULTS = frozenset(
    {
        FaultName.BAD_REQUEST,
        FaultName.UNAUTHORIZED,
        FaultName.NOT_FOUND,
        FaultName.RATE_LIMITED,
        FaultName.SERVER_ERROR,
        FaultName.UNAVAILABLE,
    }
)


def handler_of(host: Host) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Make the function that answers every request to a host."""
    table = _OLLAMA if host.spec.kind == "ollama" else _OPENAI

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        headers = [(name, value) for name, value in request.headers.items()]
        entry = host.log.open(request.method, path, headers)
        fault = host.faults.take(is_answer=path in _ANSWERS)
        entry.fault = fault.name.value
        exchange = Exchange(host, request, entry, fault)
        try:
            response = await _answer(exchange, table)
            entry.status = response.status
            return response
        except asyncio.CancelledError:
            entry.disconnected = not exchange.dropped
            raise
        except ConnectionError:
            entry.disconnected = True
            raise asyncio.CancelledError from None  # the server's word for a client that left: no traceback
        finally:
            entry.finished_at = time.time()

    return handle


async def _answer(exchange: Exchange, table: dict[tuple[str, str], Handler]) -> web.StreamResponse:
    """Read the body, then answer as the fault or the protocol says."""
    request = exchange.request
    raw = await request.read()
    exchange.host.log.body(exchange.entry, raw)
    if exchange.host.faults.frozen:
        await exchange.hang()
    is_openai = request.path.startswith("/v1/") or exchange.spec.kind == "openai"
    try:
        if exchange.spec.kind == "openai":
            openai_errors.check_key(exchange)
        if raw:
            exchange.body = _parsed(raw, is_openai=is_openai)
        early = await _early_fault(exchange, is_openai=is_openai)
        if early is not None:
            return early
        handler = table.get((request.method, request.path)) or _by_prefix(exchange)
        if handler is None:
            return _no_route(exchange)
        return await handler(exchange)
    except Refused as error:
        return openai_errors.refusal(exchange, error)
    except Failed as error:
        return ollama_api.failure(error)


async def _early_fault(exchange: Exchange, *, is_openai: bool) -> web.StreamResponse | None:
    """Answer for the faults that come before the protocol; None: go on."""
    name = exchange.fault.name
    if name is FaultName.NONE:
        return None
    if name is FaultName.HANG:
        await exchange.hang()
    if name in _STATUS_FAULTS:
        return openai_errors.fault_response(exchange) if is_openai else ollama_api.fault_response(exchange)
    if name is FaultName.GARBAGE:
        return web.Response(body=CAPTIVE_PORTAL, headers={"Content-Type": "text/html; charset=utf-8"})
    if name in (FaultName.EMPTY_200, FaultName.HEADERS_THEN_HANG):
        streams = exchange.body.get("stream", not is_openai) is True
        kind = ("text/event-stream" if is_openai else "application/x-ndjson") if streams else "application/json"
        if name is FaultName.EMPTY_200:
            return web.Response(body=b"", headers={"Content-Type": kind})
        response = web.StreamResponse(headers={"Content-Type": kind})
        exchange.entry.status = 200
        await response.prepare(exchange.request)
        await exchange.hang()
    return None


def _by_prefix(exchange: Exchange) -> Handler | None:
    """Find the handler of a path with a name in it, and of Ollama's paths that are not simulated."""
    path = exchange.request.path
    if exchange.request.method == "GET" and path.startswith("/v1/models/"):
        return openai_api.models
    if exchange.spec.kind == "ollama" and path.startswith("/api/"):
        return ollama_listing.not_there
    return None


def _no_route(exchange: Exchange) -> web.Response:
    """Answer a path that the protocol does not have, in the words of its server."""
    request = exchange.request
    if exchange.spec.kind == "ollama":
        return web.Response(text="404 page not found", status=404)
    error = Refused(404, f"Invalid URL ({request.method} {request.path})")
    return openai_errors.refusal(exchange, error)


def _parsed(raw: bytes, *, is_openai: bool) -> dict[str, object]:
    """Parse a body.

    Raises:
        Refused, Failed: It is not a JSON object.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if is_openai:
            raise Refused(400, f"We could not parse the JSON body of your request: {error}") from None
        raise Failed(400, f"invalid character in request body: {error}") from None
    if isinstance(body, dict):
        return body
    if is_openai:
        raise Refused(400, "The JSON body of your request is not an object.")
    raise Failed(400, "json: cannot unmarshal into Go value of an object")
