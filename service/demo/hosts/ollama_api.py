"""Ollama's native API: chat, generate, embed, tags, show, ps, version.

Wire forms: ollama/ollama docs/api.md, api/types.go and server/routes.go (0.12).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from service.demo.hosts.answers import Wanted, compose
from service.demo.hosts.catalog import card_for, full_name
from service.demo.hosts.exchange import Exchange, json_response, send
from service.demo.hosts.faults import FaultName
from service.demo.hosts.generations import NS, Generation, created_at
from service.demo.hosts.memory import FOREVER, HostFull, Lease
from service.demo.hosts.openai_errors import Refused
from service.demo.hosts.openai_fields import read_tools
from service.demo.hosts.prompts import BadMessages, Message, Prompt, estimate_tokens, read_messages, truncated
from service.demo.hosts.vectors import vector as vector_of

TOO_LONG = "the input length exceeds the context length"
"""What the runner says with ``truncate: false`` (ollama/ollama runner/ollamarunner/runner.go)."""

_DURATION = re.compile(r"(?:-?\d+(?:\.\d+)?(?:ms|s|m|h))+|-?\d+")
_DURATION_PART = re.compile(r"(-?\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Failed(Exception):
    """A request that Ollama answers with a status and ``{"error": text}``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def failure(error: Failed) -> web.Response:
    """Make the HTTP answer of a failed request."""
    return json_response(orjson.dumps({"error": error.text}), error.status)


def fault_response(exchange: Exchange) -> web.Response:
    """Answer with the status that the fault names, in Ollama's words."""
    fault = exchange.fault
    texts = {
        FaultName.BAD_REQUEST: (400, "invalid request (simulated)"),
        FaultName.UNAUTHORIZED: (401, "unauthorized"),
        FaultName.NOT_FOUND: (404, f"model '{exchange.body.get('model', 'unknown')}' not found"),
        FaultName.RATE_LIMITED: (429, "too many requests"),
        FaultName.CONTEXT: (400, TOO_LONG),
        FaultName.UNAVAILABLE: (503, "server busy, please try again.  maximum pending requests exceeded"),
    }
    status, text = texts.get(fault.name, (500, "llama runner process has terminated: signal: killed"))
    response = failure(Failed(status, text))
    if status == 429:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


async def chat(exchange: Exchange) -> web.StreamResponse:
    """Answer ``POST /api/chat``; without messages it loads or unloads the model."""
    body = exchange.body
    model = known_model(exchange)
    raw = body.get("messages")
    try:
        prompt = read_messages([] if raw is None else raw)
        tools = read_tools(body.get("tools"))
    except (BadMessages, Refused) as error:
        raise Failed(400, f"json: cannot unmarshal into Go struct field ChatRequest: {error}") from None
    if not prompt.messages:
        empty: dict[str, object] = {"message": {"role": "assistant", "content": ""}}
        return await _load_only(exchange, model, empty)
    capabilities = card_for(model).capabilities
    if tools and "tools" not in capabilities:
        raise Failed(400, f"registry.ollama.ai/library/{full_name(model)} does not support tools")
    thinks = body.get("think", "thinking" in capabilities)
    if thinks and "thinking" not in capabilities:
        raise Failed(400, f'"{model}" does not support thinking')
    return await _answer(exchange, model, prompt, _wanted(exchange, tools, bool(thinks)), "message")


async def generate(exchange: Exchange) -> web.StreamResponse:
    """Answer ``POST /api/generate``; without a prompt it loads or unloads the model."""
    body = exchange.body
    model = known_model(exchange)
    text = body.get("prompt")
    if not isinstance(text, str) or not text:
        return await _load_only(exchange, model, {"response": ""})
    messages = [Message("user", text, 0, estimate_tokens(text))]
    system = body.get("system")
    if isinstance(system, str) and system:
        messages.insert(0, Message("system", system, 0, estimate_tokens(system)))
    prompt = Prompt(tuple(messages), sum(message.tokens for message in messages))
    thinks = bool(body.get("think", "thinking" in card_for(model).capabilities))
    return await _answer(exchange, model, prompt, _wanted(exchange, {}, thinks), "response")


async def embed(exchange: Exchange) -> web.StreamResponse:
    """Answer ``POST /api/embed`` and the older ``POST /api/embeddings``."""
    start = time.monotonic()
    body = exchange.body
    model = known_model(exchange)
    is_old = exchange.request.path == "/api/embeddings"
    raw = body.get("prompt") if is_old else body.get("input")
    texts = [raw] if isinstance(raw, str) else raw if isinstance(raw, list) else None
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise Failed(400, "invalid input type")
    context = min(_context(exchange), card_for(model).context_length)
    tokens = [estimate_tokens(text) for text in texts]
    if body.get("truncate") is False and max(tokens, default=0) > context:
        raise Failed(400, TOO_LONG)
    asked = body.get("dimensions")
    size = card_for(model).embedding_length
    dimensions = asked if isinstance(asked, int) and 0 < asked < size else size
    async with _lease(exchange, model, context) as lease:
        vectors = [vector_of(model, text, dimensions) for text in texts]
    if is_old:
        return json_response(orjson.dumps({"embedding": vectors[0] if vectors else []}))
    answer = {
        "model": model,
        "embeddings": vectors,
        "total_duration": int((time.monotonic() - start) * NS),
        "load_duration": int(lease.load_s * NS),
        "prompt_eval_count": sum(min(count, context) for count in tokens),
    }
    return json_response(orjson.dumps(answer))


async def _answer(exchange: Exchange, model: str, prompt: Prompt, wanted: Wanted, field: str) -> web.StreamResponse:
    """Load, wait for a slot, generate."""
    context = _context(exchange)
    fault = exchange.fault
    if fault.name is FaultName.CONTEXT and prompt.tokens > fault.tokens:
        raise Failed(400, TOO_LONG)
    if fault.name is FaultName.TRUNCATE:
        prompt = truncated(prompt, fault.tokens)
    elif prompt.tokens > context and exchange.body.get("truncate") is False:
        raise Failed(400, TOO_LONG)
    prompt = truncated(prompt, context)
    start = time.monotonic()
    async with _lease(exchange, model, context) as lease:
        answer = compose(exchange.spec.name, model, prompt, wanted)
        served = model
        if fault.name is FaultName.WRONG_MODEL:
            served = fault.model or "llama3.2:1b"
        out = Generation(served, field, answer, prompt.tokens, lease, start).outgoing()
        return await send(exchange, out, stream=exchange.body.get("stream") is not False)


async def _load_only(exchange: Exchange, model: str, empty: dict[str, object]) -> web.StreamResponse:
    """Load a model, or unload it with ``keep_alive: 0``, without generating."""
    keep = keep_alive_s(exchange.body.get("keep_alive"))
    reason = "unload" if keep == 0 else "load"
    if keep == 0:
        exchange.host.memory.unload(model)
    else:
        async with _lease(exchange, model, _context(exchange)):
            pass
    answer = {"model": model, "created_at": created_at(), **empty, "done_reason": reason, "done": True}
    return json_response(orjson.dumps(answer))


@asynccontextmanager
async def _lease(exchange: Exchange, model: str, context: int) -> AsyncIterator[Lease]:
    """Have the model loaded and a slot; what Ollama says where it cannot.

    Raises:
        Failed: 500 where the model does not fit, 503 where too many wait.
    """
    keep = keep_alive_s(exchange.body.get("keep_alive"))
    try:
        async with exchange.host.memory.lease(model, context, keep) as lease:
            exchange.entry.load_s, exchange.entry.queued_s = lease.load_s, lease.queued_s
            yield lease
    except HostFull as error:
        raise Failed(503 if "busy" in str(error) else 500, str(error)) from None


def known_model(exchange: Exchange) -> str:
    """Give the model asked for.

    Raises:
        Failed: None named (400), or not pulled (404).
    """
    model = exchange.body.get("model") or exchange.body.get("name")
    if not isinstance(model, str) or not model:
        raise Failed(400, "model is required")
    if full_name(model) not in {full_name(name) for name in exchange.spec.model_names}:
        raise Failed(404, f"model '{model}' not found")
    return model


def keep_alive_s(raw: object) -> float | None:
    """Read ``keep_alive``: seconds, or a Go duration such as ``5m``; negative means for ever, None the default.

    Raises:
        Failed: Neither.
    """
    if raw is None:
        return None
    seconds: float
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        seconds = float(raw)
    elif isinstance(raw, str) and _DURATION.fullmatch(raw):
        parts = _DURATION_PART.findall(raw)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else float(raw)
    else:
        raise Failed(400, f"time: invalid duration {raw!r}")
    return FOREVER if seconds < 0 or math.isinf(seconds) else seconds


def _context(exchange: Exchange) -> int:
    """Give the context for a request: its ``num_ctx``, else the host's."""
    asked = _options(exchange).get("num_ctx")
    if isinstance(asked, int) and asked > 0:
        return asked
    return exchange.host.default_context


def _options(exchange: Exchange) -> dict[str, object]:
    """Give the ``options`` of a request."""
    options = exchange.body.get("options")
    return options if isinstance(options, dict) else {}


def _wanted(exchange: Exchange, tools: dict[str, dict[str, object]], thinks: bool) -> Wanted:
    """Read what shapes the answer.

    Raises:
        Failed: ``format`` is neither ``json`` nor a schema.
    """
    options = _options(exchange)
    limit, stop, seed = options.get("num_predict"), options.get("stop"), options.get("seed")
    form = exchange.body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        raise Failed(400, f'invalid format: {form!r}; expected "json" or a JSON schema')
    return Wanted(
        length=exchange.spec.answer_tokens,
        max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
        stop=(stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else (),
        seed=seed if isinstance(seed, int) else 0,
        schema=form if isinstance(form, dict) else {} if form == "json" else None,
        thinking=exchange.spec.think_tokens if thinks else 0,
        tools=tools,
    )
