"""OpenAI's chat completions, models and embeddings, as a cloud speaks them and as Ollama imitates them.

Wire forms: platform.openai.com/docs/api-reference (chat, streaming, embeddings, errors) and, for Ollama's
imitation, ollama/ollama docs/openai.md and openai/openai.go.
"""

from __future__ import annotations

from itertools import count

import orjson
from aiohttp import web

from service.demo.hosts.answers import compose
from service.demo.hosts.catalog import (
    CLOUD_CONTEXT,
    DEFAULT_CLOUD_CONTEXT,
    EMBEDDING_LENGTHS,
    SNAPSHOTS,
    card_for,
    full_name,
)
from service.demo.hosts.completions import completion
from service.demo.hosts.exchange import Exchange, json_response, send
from service.demo.hosts.faults import FaultName
from service.demo.hosts.memory import FOREVER, HostFull
from service.demo.hosts.openai_errors import Refused, headers_of, no_model, too_long
from service.demo.hosts.openai_fields import choices, inputs, wanted
from service.demo.hosts.prompts import BadMessages, Prompt, estimate_tokens, read_messages, truncated
from service.demo.hosts.vectors import packed
from service.demo.hosts.vectors import vector as vector_of

_ids = count(1)


async def models(exchange: Exchange) -> web.StreamResponse:
    """Answer ``GET /v1/models`` and ``GET /v1/models/{id}``."""
    owner = "library" if exchange.spec.kind == "ollama" else "system"
    listed = [
        {"id": name, "object": "model", "created": 1_744_000_000, "owned_by": owner}
        for name in exchange.spec.model_names
    ]
    asked = exchange.request.path.removeprefix("/v1/models").strip("/")
    if not asked:
        return json_response(orjson.dumps({"object": "list", "data": listed}), headers=headers_of(exchange))
    for one in listed:
        if one["id"] == asked:
            return json_response(orjson.dumps(one), headers=headers_of(exchange))
    raise no_model(exchange, asked)


async def chat(exchange: Exchange) -> web.StreamResponse:
    """Answer ``POST /v1/chat/completions``."""
    body = exchange.body
    model = _known_model(exchange)
    if "messages" not in body:
        raise Refused(
            400, "Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter"
        )
    try:
        prompt = read_messages(body["messages"])
    except BadMessages as error:
        raise Refused(400, f"Invalid type for 'messages': {error}.", param="messages", code="invalid_type") from None
    if not prompt.messages:
        text = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise Refused(400, text, param="messages", code="empty_array")
    context, prompt = _fitted(exchange, model, prompt)
    shape = wanted(exchange, model)
    number = choices(exchange)
    keep = FOREVER if exchange.spec.kind == "openai" else None
    try:
        async with exchange.host.memory.lease(model, context, keep) as lease:
            exchange.entry.load_s, exchange.entry.queued_s = lease.load_s, lease.queued_s
            answers = [compose(exchange.spec.name, model, prompt, shape, index) for index in range(number)]
            out = completion(exchange, served_name(exchange, model), prompt.tokens, answers, next(_ids))
            out.headers = headers_of(exchange)
            return await send(exchange, out, stream=body.get("stream") is True)
    except HostFull as error:
        status = 503 if "busy" in str(error) else 500
        raise Refused(status, str(error), "api_error") from None


async def embeddings(exchange: Exchange) -> web.StreamResponse:
    """Answer ``POST /v1/embeddings``: strings or token lists, floats or base64."""
    body = exchange.body
    model = _known_model(exchange)
    texts = inputs(body.get("input"))
    default = EMBEDDING_LENGTHS.get(model) or card_for(model).embedding_length
    asked = body.get("dimensions")
    dimensions = asked if isinstance(asked, int) and 0 < asked <= default else default
    limit = _context(exchange, model)
    tokens = [estimate_tokens(text) for text in texts]
    if exchange.spec.kind == "openai" and max(tokens) > limit:
        raise too_long(limit, max(tokens))
    async with exchange.host.memory.lease(model, limit, FOREVER if exchange.spec.kind == "openai" else None):
        vectors = [vector_of(model, text, dimensions) for text in texts]
    base64 = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": packed(vector) if base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
    answer = {"object": "list", "data": data, "model": served_name(exchange, model), "usage": usage}
    return json_response(orjson.dumps(answer), headers=headers_of(exchange))


def served_name(exchange: Exchange, model: str) -> str:
    """Give the model's name in the answer: the dated snapshot at a cloud, as asked at Ollama."""
    if exchange.fault.name is FaultName.WRONG_MODEL:
        return exchange.fault.model or ("llama3.2:1b" if exchange.spec.kind == "ollama" else "gpt-3.5-turbo-0125")
    return SNAPSHOTS.get(model, model) if exchange.spec.kind == "openai" else model


def _known_model(exchange: Exchange) -> str:
    """Give the model asked for.

    Raises:
        Refused: None named (400), or not one of this host (404).
    """
    model = exchange.body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "you must provide a model parameter")
    names = exchange.spec.model_names
    if exchange.spec.kind == "ollama":
        if full_name(model) not in {full_name(name) for name in names}:
            raise no_model(exchange, model)
    elif model not in names and model not in {SNAPSHOTS.get(name) for name in names}:
        raise no_model(exchange, model)
    return model


def _context(exchange: Exchange, model: str) -> int:
    """Give the context that the host serves a model with, in tokens."""
    if exchange.spec.kind == "ollama":
        return exchange.host.default_context
    return exchange.spec.context or CLOUD_CONTEXT.get(model, DEFAULT_CLOUD_CONTEXT)


def _fitted(exchange: Exchange, model: str, prompt: Prompt) -> tuple[int, Prompt]:
    """Give the context and the prompt inside it: a cloud refuses what is too long, Ollama cuts it in silence.

    Raises:
        Refused: 400 context_length_exceeded.
    """
    context = _context(exchange, model)
    fault = exchange.fault
    if fault.name is FaultName.CONTEXT and prompt.tokens > fault.tokens:
        raise too_long(fault.tokens or context, max(prompt.tokens, context + 1))
    if fault.name is FaultName.TRUNCATE:
        return context, truncated(prompt, fault.tokens)
    if exchange.spec.kind == "openai":
        if prompt.tokens > context:
            raise too_long(context, prompt.tokens)
        return context, prompt
    return context, truncated(prompt, context)
