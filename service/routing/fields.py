"""Which body fields may pass, and which deployment can express them (DESIGN: "Fields").

A field of OpenAI's goes on as it came where the deployment honours it. Where it does not: a field that does not change
the answer is left out and named in the record; any other is a capability and removes the deployment. A field that is
not OpenAI's passes only to deployments that list it in ``extra_fields``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from service.config import Deployment
from service.errors import UnsupportedField

# OpenAI's API reference, "Create chat completion", without model, stream and stream_options (the service's own).
DOCUMENTED = frozenset(
    {
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
        "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "n",
        "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
        "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier",
        "seed", "service_tier", "stop", "store", "temperature", "tool_choice", "tools",
        "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
    }
)  # fmt: skip
# They do not change the answer: left out where the deployment does not know them.
HARMLESS = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user"}
)
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "stop": ([],),
    "temperature": (1,),
    "tool_choice": ("auto",),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
    "verbosity": ("medium",),
}
# Addresses, keys and litellm's own controls: a configuration may not open them to clients (EVIDENCE: "What a client can
# do to you").
NEVER = frozenset(
    {
        "api_base", "api_key", "api_version", "aws_access_key_id", "aws_secret_access_key", "base_url", "caching",
        "context_window_fallback_dict", "custom_llm_provider", "deployment_id", "drop_params", "extra_body",
        "extra_headers", "fallbacks", "headers", "litellm_metadata", "max_retries", "messages", "mock_response",
        "mock_timeout", "model", "model_info", "model_list", "num_ctx", "num_retries", "options", "organization",
        "proxy_server_request", "stream", "stream_options", "timeout", "truncate", "vertex_credentials",
    }
)  # fmt: skip

# What each provider honours. Ollama: docs/api.md and openai/openai.go of ollama; its penalties are not OpenAI's.
_OLLAMA = frozenset(
    {
        "max_completion_tokens", "max_tokens", "messages", "reasoning_effort", "response_format", "seed", "stop",
        "temperature", "tools", "top_p",
    }
)  # fmt: skip
# What litellm translates for every large provider; more by capabilities.fields.
_TRANSLATED = frozenset(
    {
        "max_completion_tokens", "max_tokens", "messages", "parallel_tool_calls", "reasoning_effort", "response_format",
        "stop", "temperature", "tool_choice", "tools", "top_p", "user",
    }
)  # fmt: skip
_BY_PROVIDER = {"openai": DOCUMENTED - {"audio", "web_search_options"}, "ollama": _OLLAMA}


# Two names of one limit; a deployment may know either (OpenAI's o-series refuses the older one).
ANSWER_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class _Known:
    """What a deployment does with fields.

    Attributes:
        sent: Fields that go to it.
        able: Fields that it can express: either name of the answer's limit where it knows one.
        limits: Which of `ANSWER_LIMITS` go to it.
    """

    sent: frozenset[str]
    able: frozenset[str]
    limits: tuple[str, ...]


def _known(deployment: Deployment) -> _Known:
    return _known_by(deployment.provider, deployment.capabilities.fields, deployment.extra_fields)


@lru_cache(maxsize=64)  # kinds of deployments of a configuration; each request asks for those of its chain
def _known_by(provider: str, fields: tuple[str, ...] | None, extra_fields: tuple[str, ...]) -> _Known:
    """By what the configuration says of it, else by what is known of its provider."""
    honoured = _BY_PROVIDER.get(provider, _TRANSLATED) if fields is None else frozenset((*fields, "messages"))
    able = honoured.union(ANSWER_LIMITS) if any(name in honoured for name in ANSWER_LIMITS) else honoured
    sent = honoured.union(extra_fields)
    limits = tuple(name for name in ANSWER_LIMITS if name in sent)
    return _Known(sent, (able & DOCUMENTED).union(set(extra_fields) - DOCUMENTED), limits)


def changes_answer(name: str, value: Any) -> bool:
    """Whether leaving the field out would change the answer."""
    if name in HARMLESS or value is None:
        return False
    return not any(
        type(value) is not bool and value == d if type(d) is not bool else value is d for d in DEFAULTS.get(name, ())
    )


def check_names(body: Mapping[str, Any], configured: frozenset[str]) -> None:
    """Refuses fields that are neither OpenAI's nor listed by any deployment.

    Args:
        body: The request's fields.
        configured: All ``extra_fields`` of the configuration.

    Raises:
        UnsupportedField: With the field as ``param``.
    """
    for name in body:
        if name not in DOCUMENTED and (name in NEVER or name not in configured):
            raise UnsupportedField(
                f"{name[:80]}: not a field of OpenAI's chat API"
                + ("" if name in NEVER else "; a deployment can allow it with extra_fields"),
                param=name[:80],
            )


def unexpressed(body: Mapping[str, Any], deployment: Deployment) -> tuple[str, ...]:
    """Fields of ``body`` that ``deployment`` cannot express and that change the answer; empty if it can serve."""
    able = _known(deployment).able
    if able.issuperset(body):
        return ()
    return tuple(
        name
        for name, value in body.items()
        if name not in able and (name not in DOCUMENTED or changes_answer(name, value))
    )


def expressed(body: Mapping[str, Any], deployment: Deployment) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields that go to ``deployment`` and the names of those left out (harmless or default ones only).

    A null is the same as no field, and is left out without a word.
    """
    known = _known(deployment)
    sent = {name: value for name, value in body.items() if name in known.sent and value is not None}
    dropped: tuple[str, ...] = ()
    if len(sent) < len(body):
        left_out = (name for name in body if name not in known.sent and body[name] is not None)
        dropped = tuple(name for name in left_out if name not in ANSWER_LIMITS)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None and known.limits:
        for name in ANSWER_LIMITS:
            sent.pop(name, None)
        sent[next((name for name in known.limits if name in body), known.limits[-1])] = limit
    sent.update(deployment.add)
    return sent, dropped
