"""What goes into litellm: the model list, and the arguments of one call.

For the protocols that we know, the request's fields travel in ``extra_body``, which litellm merges into what it sends
without looking at it: nothing in a body can steer litellm (``api_base``, ``mock_response``, ``fallbacks``), and it
drops and rewrites nothing. What goes to Ollama is the lean way's translation, so that both ways ask the same: litellm's
own turns ``frequency_penalty`` into ``repeat_penalty``, another scale, and loses the names of tools.
"""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import Any

from service.config import Configuration, Deployment
from service.upstream.interface import Call
from service.upstream.lean_ollama import body_of

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
        info = {
            "id": deployment.id,
            # Without it, building the Router asks localhost:11434/api/show, whatever api_base says.
            "max_input_tokens": deployment.context,
            # Without it, o3-mini gets the system message as a user message.
            "supports_system_messages": True,
        }
        entries.append({"model_name": deployment.id, "litellm_params": parameters, "model_info": info})
    return entries


def call_arguments(call: Call, client: object, left_out: Container[str] = ()) -> dict[str, Any]:
    """Arguments of ``router.acompletion`` for one call.

    Args:
        call: The request; not changed.
        left_out: Fields that the host has refused.
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
        arguments["extra_body"] = _without(body_of(call, left_out), "model", "stream")
        return arguments
    if "stream_options" not in left_out:
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


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}
