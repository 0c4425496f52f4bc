"""Ollama's own chat protocol for the lean way: an OpenAI body into one for ``/api/chat``.

The native protocol, because Ollama's OpenAI endpoint ignores ``num_ctx`` and cuts long prompts in silence. Sources:
Ollama, docs/api.md ("Generate a chat completion"), api/types.go and openai/openai.go (its own translation).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

import orjson

from service.config import Deployment
from service.upstream.interface import Call, Outcome, UpstreamFailure

PATH = "/api/chat"

_SAME_OPTIONS = ("temperature", "top_p", "seed")
_PENALTIES = ("frequency_penalty", "presence_penalty")
_TRANSLATED = frozenset(
    {
        *_SAME_OPTIONS, *_PENALTIES, "logprobs", "max_completion_tokens", "max_tokens", "messages", "reasoning_effort",
        "response_format", "stop", "tools", "top_logprobs",
    }
)  # fmt: skip
# They do not change the answer, or come with a value that does not: routing has seen to it (DESIGN, "Fields").
_NOT_SENT = frozenset(
    {
        "logit_bias", "metadata", "modalities", "n", "parallel_tool_calls", "prompt_cache_key",
        "prompt_cache_retention", "safety_identifier", "service_tier", "store", "tool_choice", "user", "verbosity",
    }
)  # fmt: skip
_OPTIONS = frozenset(
    {
        "main_gpu", "min_p", "mirostat", "mirostat_eta", "mirostat_tau", "num_batch", "num_gpu", "num_keep",
        "num_predict", "num_thread", "repeat_last_n", "repeat_penalty", "tfs_z", "top_k", "typical_p", "use_mmap",
    }
)  # fmt: skip
"""Options by which Ollama differs from OpenAI (api/types.go, ``Options`` and ``Runner``); ``num_ctx`` is ours alone."""

_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_EFFORTS = frozenset(["low", "medium", "high"])


def body_of(call: Call, left_out: Container[str] = ()) -> dict[str, Any]:
    """The body for ``/api/chat``.

    Args:
        call: The request; not changed.
        left_out: Fields that the host has refused; only ``reasoning_effort`` counts.

    Raises:
        UpstreamFailure: ``BAD_REQUEST``, a part of the request that the protocol cannot express.
    """
    deployment = call.deployment
    fields = {**deployment.add, **call.body}
    body: dict[str, Any] = {
        "model": deployment.model,
        "messages": messages_of(fields.get("messages") or ()),
        "stream": True,
        "truncate": False,  # an error rather than a prompt that is cut in silence
        "options": _options(fields, deployment),
    }
    if fields.get("tools"):
        body["tools"] = fields["tools"]
    wanted = _format(fields.get("response_format"))
    if wanted is not None:
        body["format"] = wanted
    think: bool | str | None = deployment.think
    if think is None and "reasoning_effort" not in left_out:
        think = think_of(fields.get("reasoning_effort"), deployment)
    if think is not None:
        body["think"] = think
    if deployment.keep_alive is not None:
        body["keep_alive"] = duration(deployment.keep_alive)
    if fields.get("logprobs"):
        body["logprobs"] = True
        if fields.get("top_logprobs"):
            body["top_logprobs"] = fields["top_logprobs"]
    body.update(_others(fields, deployment))
    return body


def think_of(effort: object, deployment: Deployment) -> bool | str | None:
    """Ollama's ``think`` for OpenAI's ``reasoning_effort``; None leaves the model's own.

    Only gpt-oss takes levels; to other models any effort is just "on" (Ollama, docs/capabilities/thinking).
    """
    if not isinstance(effort, str):
        return None
    if effort in ("none", "minimal"):
        return False
    if "gpt-oss" in deployment.model:
        return effort if effort in _EFFORTS else "high"
    return True


def messages_of(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """OpenAI's messages as Ollama's.

    Raises:
        UpstreamFailure: ``BAD_REQUEST``, content that Ollama cannot take, or images by address: we fetch none.
    """
    made: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for number, message in enumerate(messages):
        role = message.get("role")
        if role == "developer":
            role = "system"
        elif role == "function":
            role = "tool"
        text, images = _content(message.get("content"), number)
        new: dict[str, Any] = {"role": role, "content": text}
        if images:
            new["images"] = images
        if role == "assistant":
            _add_calls(new, message, names, number)
        elif role == "tool":
            ident = message.get("tool_call_id")
            name = names.get(ident, "") if isinstance(ident, str) else ""
            new["tool_name"] = message.get("name") or name
            if ident:
                new["tool_call_id"] = ident
        made.append(new)
    return made


def _add_calls(new: dict[str, Any], message: Mapping[str, Any], names: dict[str, str], number: int) -> None:
    """Tool calls with arguments as objects, and thinking. ``names`` learns which id is which tool."""
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thinking, str):
        new["thinking"] = thinking
    calls = message.get("tool_calls") or ()
    if message.get("function_call"):
        calls = [{"function": message["function_call"]}]
    made = []
    for call in calls:
        function = call.get("function") or {}
        name, ident = function.get("name") or "", call.get("id")
        one: dict[str, Any] = {"function": {"name": name, "arguments": _arguments(function.get("arguments"), number)}}
        if ident:
            one["id"] = ident
            names[ident] = name
        made.append(one)
    if made:
        new["tool_calls"] = made


def _arguments(raw: object, number: int) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        made = orjson.loads(raw) if isinstance(raw, str) else raw
    except orjson.JSONDecodeError:
        made = None
    if not isinstance(made, dict):
        raise _refused(f"messages[{number}].tool_calls: arguments that are no JSON object")
    return made


def _content(content: object, number: int) -> tuple[str, list[str]]:
    """Text and base64 images of one message."""
    if isinstance(content, str):
        return content, []
    if content is None:
        return "", []
    texts: list[str] = []
    images: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        part = part if isinstance(part, dict) else {}
        kind = part.get("type")
        if kind in ("text", "refusal"):
            texts.append(part.get(kind) or "")
        elif kind == "image_url":
            images.append(_image(part.get("image_url"), number))
        else:
            raise _refused(f"messages[{number}].content: Ollama takes text and images, not {kind!r}")
    return "\n".join(texts), images


def _image(image: object, number: int) -> str:
    url = image.get("url") if isinstance(image, dict) else image
    if isinstance(url, str):
        head = _DATA_URL.match(url)
        if head is not None:
            return url[head.end() :]
    raise _refused(f"messages[{number}].content: an image must be a data: URL in base64; addresses are not fetched")


def _options(fields: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    configured = deployment.add.get("options")
    options: dict[str, Any] = dict(configured) if isinstance(configured, dict) else {}
    options["num_ctx"] = deployment.context
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if limit is not None:
        options["num_predict"] = limit
    for name in _SAME_OPTIONS:
        if fields.get(name) is not None:
            options[name] = fields[name]
    for name in _PENALTIES:
        # OpenAI's default would take the place of the model's own.
        if fields.get(name):
            options[name] = fields[name]
    stop = fields.get("stop")
    if stop:
        options["stop"] = [stop] if isinstance(stop, str) else stop  # Ollama refuses a bare string
    for name in _OPTIONS & fields.keys():
        options[name] = fields[name]
    return options


def _format(wanted: object) -> Any:
    """Ollama's ``format``: ``"json"``, a schema, or None for text."""
    if not isinstance(wanted, dict):
        return None
    kind = wanted.get("type")
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        named = wanted.get("json_schema")
        schema = named.get("schema") if isinstance(named, dict) else None
        if not isinstance(schema, dict):
            raise _refused("response_format.json_schema.schema: no schema is given")
        return schema
    return None


def _others(fields: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    """Fields that are neither OpenAI's nor options, where the configuration names them.

    Raises:
        UpstreamFailure: One that it does not name: left out in silence, the answer would be another.
    """
    others: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _TRANSLATED or name in _OPTIONS or name == "options" or value is None:
            continue
        if name in deployment.extra_fields or name in deployment.add:
            others[name] = value
        elif name not in _NOT_SENT:
            raise _refused(f"{name}: Ollama's protocol has no such field")
    return others


def duration(text: str) -> int | str:
    """``keep_alive`` as Ollama reads it: a bare number is seconds only if it is a number."""
    try:
        return int(text)
    except ValueError:
        return text


def _refused(what: str) -> UpstreamFailure:
    return UpstreamFailure(Outcome.BAD_REQUEST, what, code="invalid_value")
