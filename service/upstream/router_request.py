"""What goes into litellm: the model list, and the arguments of one call.

For the protocols that we know, the request's fields travel in ``extra_body``, which litellm merges into what it sends
without looking at it. So nothing in a body can steer litellm (``api_base``, ``mock_response``, ``fallbacks``), and it
drops and rewrites nothing.
"""

from __future__ import annotations

import copy
from typing import Any

from service.config import Configuration, Deployment
from service.upstream.interface import Call

LONGEST_S = 3600.0
"""litellm's own limits lie above ours, which are the chain's."""

_OPENAI_FIELDS = frozenset(
    (
        *("max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop", "seed", "user", "store"),
        *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format"),
        *("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "reasoning_effort"),
        *("modalities", "audio", "prediction", "service_tier", "verbosity", "web_search_options"),
    )
)
"""OpenAI's chat fields that litellm takes as arguments, for providers whose protocol only it knows."""

_OLLAMA_FIELDS = frozenset(
    (
        *("max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed"),
        *("tools", "response_format", "reasoning_effort"),
    )
)
"""What litellm turns into Ollama's options. ``frequency_penalty`` is not among them: it becomes ``repeat_penalty``,
which is another scale (OpenAI's default 0 would be the worst value of it)."""

_PROVIDERS = {"ollama": "ollama_chat"}
"""litellm's ``ollama`` is the older completion endpoint."""


def provider_of(deployment: Deployment) -> str:
    """litellm's name of the provider."""
    return _PROVIDERS.get(deployment.provider, deployment.provider)


def is_ollama(deployment: Deployment) -> bool:
    """Whether the host speaks Ollama's own protocol."""
    return provider_of(deployment) == "ollama_chat"


def model_list(configuration: Configuration) -> list[dict[str, Any]]:
    """litellm's ``model_list``: every deployment alone in a group of its own, called by its id."""
    entries = []
    for _, deployment in configuration.deployments():
        parameters: dict[str, Any] = {
            "model": f"{provider_of(deployment)}/{deployment.model}",
            "api_base": configuration.address_of(deployment),
            "max_retries": 0,
            "timeout": LONGEST_S,
            "stream_timeout": LONGEST_S,
        }
        key = configuration.key_of(deployment)
        if key is not None or deployment.provider == "openai":
            parameters["api_key"] = key or "none"  # the OpenAI client refuses to start without any
        if is_ollama(deployment):
            parameters["num_ctx"] = deployment.context
        info = {
            "id": deployment.id,
            # Without it, building the Router asks localhost:11434/api/show, whatever api_base says.
            "max_input_tokens": deployment.context,
            # Without it, o3-mini gets the system message as a user message.
            "supports_system_messages": True,
        }
        entries.append({"model_name": deployment.id, "litellm_params": parameters, "model_info": info})
    return entries


def call_arguments(call: Call, client: object) -> dict[str, Any]:
    """Arguments of ``router.acompletion`` for one call.

    Args:
        call: The request; not changed.
        client: Our HTTP handler, which litellm takes as an argument for Ollama only.
    """
    deployment = call.deployment
    body = {**deployment.add, **call.body}
    arguments: dict[str, Any] = {
        "model": deployment.id,
        "messages": copy.deepcopy(list(body["messages"])),  # litellm changes messages in place
        "stream": True,
    }
    if is_ollama(deployment):
        arguments["client"] = client
        arguments.update({name: value for name, value in body.items() if name in _OLLAMA_FIELDS and value is not None})
        arguments["extra_body"] = _ollama_extra(deployment, body)
        return arguments
    arguments["stream_options"] = {"include_usage": True}
    if deployment.provider == "openai":
        arguments["extra_body"] = _without(body, "messages", "model", "stream", "stream_options")
        return arguments
    arguments.update({name: value for name, value in body.items() if name in _OPENAI_FIELDS})
    allowed = {*deployment.extra_fields, *deployment.add} - _OPENAI_FIELDS
    extra = {name: value for name, value in body.items() if name in allowed}
    if extra:
        arguments["extra_body"] = extra
    return arguments


def _ollama_extra(deployment: Deployment, body: dict[str, Any]) -> dict[str, Any]:
    """Ollama's fields beside the options, and what the configuration adds or lets through."""
    named = {*deployment.extra_fields, *deployment.add} - _OPENAI_FIELDS
    extra: dict[str, Any] = {name: value for name, value in body.items() if name in named}
    extra["truncate"] = False  # an error rather than a prompt that is cut in silence
    if deployment.think is not None:
        extra["think"] = deployment.think
    if deployment.keep_alive is not None:
        extra["keep_alive"] = deployment.keep_alive
    return extra


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}
