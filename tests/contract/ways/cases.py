"""What both ways upstream must do alike: features and faults of the simulated hosts, and recorded wire forms.

Plain data, read by the tests and by the process that plays it (`tests.contract.ways.play`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Place = Literal["ollama", "openai", "wire-openai", "wire-ollama"]

ASK = [{"role": "user", "content": "What is a tier?"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "hot": {"type": "boolean"}},
    "required": ["city"],
}
CALLED = [
    {"role": "user", "content": "How is the weather in Ulm?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Ulm"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
]
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is in it?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        ],
    }
]


@dataclass(frozen=True, slots=True)
class Case:
    """One request to one deployment.

    Attributes:
        place: Which host answers.
        body: As `service.upstream.interface.Call` has it; ``messages`` are `ASK` unless given.
        fault: Of the simulated host.
        model: At the host; None takes the place's own.
        deployment: Further keys of the deployment's configuration.
        key: Sent to the host.
        wire: Name of the recorded answer in ``tests/contract/wire``.
        refuses: A field; a body that has it is answered with the recorded ``refused_FIELD`` instead.
        outcome: ``answered``, ``silent`` (nothing more came within the limit of the test), or the failure's outcome.
        shows: Parts of what the client sees that are expected, by key of `tests.contract.ways.play.Seen`.
        sends: Parts of the body that the host receives.
    """

    place: Place
    body: Mapping[str, Any] = field(default_factory=dict)
    fault: str = "none"
    model: str | None = None
    deployment: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    wire: str | None = None
    refuses: str | None = None
    outcome: str = "answered"
    shows: Mapping[str, Any] = field(default_factory=dict)
    sends: Mapping[str, Any] = field(default_factory=dict)


OLLAMA_FEATURES: dict[str, Case] = {
    "text": Case("ollama", shows={"finish_reason": "stop", "model": "qwen3-coder:30b"}, sends={"stream": True}),
    "context": Case("ollama", deployment={"context": 6144}, sends={"options": {"num_ctx": 6144}, "truncate": False}),
    "options": Case(
        "ollama",
        {"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": "filler", "max_tokens": 30},
        sends={
            "options": {
                "num_ctx": 8192,
                "temperature": 0.5,
                "top_p": 0.9,
                "seed": 7,
                "stop": ["filler"],
                "num_predict": 30,
            }
        },
    ),
    "length": Case("ollama", {"max_completion_tokens": 3}, shows={"finish_reason": "length", "completion_tokens": 3}),
    "stop": Case("ollama", {"stop": ["You asked"]}, shows={"content": "[simulated host qwen3-coder:30b] "}),
    "keep alive": Case("ollama", deployment={"keep_alive": "30m"}, sends={"keep_alive": "30m"}),
    "keep alive for ever": Case("ollama", deployment={"keep_alive": "-1"}, sends={"keep_alive": -1}),
    "thinking on": Case(
        "ollama", deployment={"think": True}, model="qwen3:8b", shows={"thinks": True}, sends={"think": True}
    ),
    "thinking off": Case(
        "ollama", deployment={"think": False}, model="qwen3:8b", shows={"thinks": False}, sends={"think": False}
    ),
    "thinking as the model has it": Case("ollama", model="qwen3:8b", shows={"thinks": True}),
    "effort none": Case(
        "ollama", {"reasoning_effort": "none"}, model="qwen3:8b", shows={"thinks": False}, sends={"think": False}
    ),
    "effort high": Case(
        "ollama", {"reasoning_effort": "high"}, model="qwen3:8b", shows={"thinks": True}, sends={"think": True}
    ),
    "tools": Case(
        "ollama",
        {"tools": [WEATHER], "messages": [{"role": "user", "content": "use the tool for Ulm"}]},
        shows={"finish_reason": "tool_calls", "calls": ["get_weather"]},
        sends={"tools": [WEATHER]},
    ),
    "tool result": Case(
        "ollama",
        {"tools": [WEATHER], "messages": CALLED},
        shows={"finish_reason": "stop", "calls": []},
        sends={
            "messages": [
                {"role": "user", "content": "How is the weather in Ulm?"},
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Ulm"}}}],
                },
                {"role": "tool", "content": "21 degrees", "tool_call_id": "call_1"},
            ]
        },
    ),
    "image": Case(
        "ollama",
        {"messages": IMAGE},
        model="gemma3:4b",
        sends={"messages": [{"role": "user", "content": "What is in it?", "images": [PIXEL]}]},
    ),
    "image by address": Case(
        "ollama",
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x.png"}}]}
            ]
        },
        outcome="bad_request",
    ),
    "JSON mode": Case("ollama", {"response_format": {"type": "json_object"}}, sends={"format": "json"}),
    "JSON schema": Case(
        "ollama",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}}},
        shows={"keys": ["city", "hot"]},
        sends={"format": SCHEMA},
    ),
    "usage": Case("ollama", {"max_tokens": 5}, shows={"completion_tokens": 5, "prompt_tokens": 8}),
    "extra field": Case(
        "ollama", {"top_k": 3}, deployment={"extra_fields": ["top_k"]}, sends={"options": {"num_ctx": 8192, "top_k": 3}}
    ),
    "added field": Case(
        "ollama",
        deployment={"add": {"options": {"num_batch": 64}}},
        sends={"options": {"num_ctx": 8192, "num_batch": 64}},
    ),
    "the developer's words": Case(
        "ollama",
        {"messages": [{"role": "developer", "content": "Be brief."}, *ASK]},
        sends={"messages": [{"role": "system", "content": "Be brief."}, *ASK]},
    ),
}

OPENAI_FEATURES: dict[str, Case] = {
    "text": Case(
        "openai",
        shows={"finish_reason": "stop", "model": "gpt-4.1-2025-04-14", "fingerprint": "fp_simulated"},
        sends={"stream": True, "stream_options": {"include_usage": True}, "model": "gpt-4.1"},
    ),
    "fields as they came": Case(
        "openai",
        {"temperature": 0, "top_p": 0.5, "seed": 3, "max_completion_tokens": 9, "user": "u", "frequency_penalty": 0},
        sends={
            "temperature": 0,
            "top_p": 0.5,
            "seed": 3,
            "max_completion_tokens": 9,
            "user": "u",
            "frequency_penalty": 0,
        },
    ),
    "length": Case("openai", {"max_tokens": 3}, shows={"finish_reason": "length", "completion_tokens": 3}),
    "stop": Case("openai", {"stop": ["You asked"]}, shows={"content": "[simulated host gpt-4.1] "}),
    "streamed arguments": Case(
        "openai",
        {"tools": [WEATHER], "tool_choice": "required"},
        shows={"finish_reason": "tool_calls", "calls": ["get_weather"], "in_parts": True},
    ),
    "tool result": Case(
        "openai",
        {"tools": [WEATHER], "messages": CALLED},
        shows={"finish_reason": "stop", "calls": []},
        sends={"messages": CALLED},
    ),
    "image": Case("openai", {"messages": IMAGE}, sends={"messages": IMAGE}),
    "JSON mode": Case("openai", {"response_format": {"type": "json_object"}}),
    "JSON schema": Case(
        "openai",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA, "strict": True}}},
        shows={"keys": ["city", "hot"]},
    ),
    "several choices": Case("openai", {"n": 2}, shows={"choices": 2}),
    "logprobs": Case("openai", {"logprobs": True, "top_logprobs": 2, "max_tokens": 2}, shows={"logprobs": 2}),
    "reasoning counted": Case("openai", model="o3-mini", shows={"reasoning_tokens": 6, "thinks": False}),
    "key": Case("openai", key="sk-simulated-1234", shows={"finish_reason": "stop"}),
    "extra field": Case("openai", {"top_k": 3}, deployment={"extra_fields": ["top_k"]}, sends={"top_k": 3}),
    "added field": Case("openai", deployment={"add": {"verbosity": "low"}}, sends={"verbosity": "low"}),
}

FAULTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "down": ("connect", {"content": ""}),
    "hang": ("silent", {"content": ""}),
    "headers-then-hang": ("silent", {"content": ""}),
    "slow-first-token:s=0.05": ("answered", {"finish_reason": "stop"}),
    "hang-mid-stream": ("silent", {"pieces": 3}),
    "reset-mid-stream": ("cut", {"pieces": 3}),
    "cut": ("cut", {"pieces": 3}),
    "empty-200": ("empty", {"content": ""}),
    "garbage": ("garbage", {"content": ""}),
    "broken-line": ("garbage", {"pieces": 3}),
    "in-band-error": ("error_event", {"pieces": 3}),
    "400": ("bad_request", {"status": 400}),
    "401": ("unauthorized", {"status": 401}),
    "404": ("model_missing", {"status": 404}),
    "429:retry_after=7": ("rate_limited", {"status": 429, "retry_after_s": 7.0}),
    "500": ("server_error", {"status": 500}),
    "503": ("server_error", {"status": 503}),
    "context": ("context", {"status": 400}),
    "wrong-model:model=other": ("answered", {"model": "other"}),
}
"""The simulated hosts' faults, what comes of each, and what the client sees of it."""

THOUGHT = {"role": "assistant", "content": "4", "reasoning_content": "two and two"}

WIRE: dict[str, Case] = {
    name: Case(
        "wire-ollama" if name.startswith("ollama") else "wire-openai",
        wire=name,
        outcome=outcome,
        shows=shows,
    )
    for name, outcome, shows in (
        ("openai_text", "answered", {"content": "Hello!", "finish_reason": "stop", "prompt_tokens": 19}),
        ("openai_tools", "answered", {"calls": ["get_weather"], "finish_reason": "tool_calls", "in_parts": True}),
        ("openai_refusal", "answered", {"refusal": "I can't help with that."}),
        ("openai_cached", "answered", {"cached_tokens": 1024, "reasoning_tokens": 64}),
        ("openai_context_400", "context", {"status": 400}),
        ("openai_quota_429", "rate_limited", {"status": 429}),
        ("openai_no_model_404", "model_missing", {"status": 404}),
        ("vllm_text", "answered", {"content": "Tiers.", "finish_reason": "stop", "completion_tokens": 3}),
        ("vllm_reasoning", "answered", {"thinks": True, "content": "4"}),
        ("vllm_context_400", "context", {"status": 400}),
        ("vllm_no_model_404", "model_missing", {"status": 404}),
        ("vllm_error_in_stream", "error_event", {"content": "Ti"}),
        ("lmstudio_text", "answered", {"content": "Hi there", "finish_reason": "stop"}),
        ("lmstudio_context_event", "context", {"content": ""}),
        ("llamacpp_text", "answered", {"content": "Hi there", "finish_reason": "stop"}),
        ("llamacpp_reasoning", "answered", {"thinks": True, "content": "4"}),
        ("llamacpp_context_400", "context", {"status": 400}),
        ("llamacpp_loading_503", "server_error", {"status": 503}),
        ("openrouter_text", "answered", {"content": "Hi", "finish_reason": "stop", "prompt_tokens": 8}),
        ("openrouter_reasoning", "answered", {"thinks": True, "content": "4"}),
        ("openrouter_error_in_stream", "error_event", {"content": "Hi"}),
        ("openrouter_credit_402", "unauthorized", {"status": 402}),
        ("mistral_no_role", "answered", {"content": "Hi there", "finish_reason": "stop"}),
        ("mistral_thinking", "answered", {"message": THOUGHT}),
        ("lmstudio_think_tags", "answered", {"content": "<think>\ntwo and two</think>\n\n4 <think> is a tag"}),
        ("vllm_nan", "answered", {"content": "Hi", "logprobs": 1}),
        ("whole_answer", "answered", {"content": "Hi there", "finish_reason": "stop", "completion_tokens": 2}),
        ("whole_answer_indented", "answered", {"content": "Hi there", "finish_reason": "stop", "completion_tokens": 2}),
        ("error_event_bare", "error_event", {"content": "Hi", "detail": "boom"}),
        ("not_http", "garbage", {"status": None}),
        ("no_done", "answered", {"content": "Hi", "finish_reason": "stop"}),
        ("no_done_no_finish", "cut", {"content": "Hi"}),
        ("crlf_events", "answered", {"content": "Hi", "finish_reason": "stop"}),
        ("nginx_502", "server_error", {"status": 502}),
        ("portal_302", "garbage", {"status": 302}),
        ("wrong_path_404", "garbage", {"status": 404}),
        ("ollama_text", "answered", {"content": "The sky", "finish_reason": "stop", "prompt_tokens": 26}),
        ("ollama_old_no_reason", "answered", {"content": "Hi", "finish_reason": "stop"}),
        ("ollama_thinking", "answered", {"thinks": True, "content": "4"}),
        ("ollama_tools", "answered", {"calls": ["get_current_weather"], "finish_reason": "tool_calls"}),
        ("ollama_tools_length", "answered", {"calls": ["get_current_weather"], "finish_reason": "length"}),
        (
            "ollama_think_tags",
            "answered",
            {"message": {**THOUGHT, "content": "4.", "reasoning_content": "\ntwo and two\n"}},
        ),
        ("ollama_mentions_tags", "answered", {"content": "Put it in <think>x</think>"}),
        ("ollama_logprobs", "answered", {"content": "Hi", "logprobs": 1}),
        ("ollama_no_name", "answered", {"content": "Hi", "model": None}),
        ("ollama_no_model_404", "model_missing", {"status": 404}),
        ("ollama_context_400", "context", {"status": 400}),
        ("ollama_context_500", "context", {"status": 500}),
        ("ollama_busy_503", "server_error", {"status": 503}),
        ("ollama_error_in_stream", "error_event", {"content": "Hi"}),
        ("ollama_cut", "cut", {"content": "Hi"}),
    )
}

WIRE_WITH_MORE: dict[str, Case] = {
    "stream_options is refused": Case(
        "wire-openai", wire="openai_text", refuses="stream_options", shows={"content": "Hello!"}
    ),
    "thinking is refused": Case(
        "wire-ollama", {"reasoning_effort": "high"}, wire="ollama_text", refuses="think", shows={"content": "The sky"}
    ),
    "thinking is refused that the operator wants": Case(
        "wire-ollama",
        deployment={"think": True},
        wire="ollama_text",
        refuses="think",
        outcome="bad_request",
        shows={"status": 400, "detail": '"any" does not support thinking'},
    ),
    "tags of a host in the house": Case(
        "wire-openai",
        deployment={"local": True},
        wire="lmstudio_think_tags",
        shows={"message": {**THOUGHT, "content": "4 <think> is a tag", "reasoning_content": "\ntwo and two"}},
    ),
    "by the environment's proxy": Case(
        "wire-openai",
        deployment={"address": "http://far.example:8000/openai_text"},
        wire="openai_text",
        shows={"content": "Hello!"},
    ),
}
"""Recorded answers where it depends on more than the answer."""


def all_cases() -> dict[str, Case]:
    """Every case by its name, ``place: name``."""
    cases = {f"ollama: {name}": case for name, case in OLLAMA_FEATURES.items()}
    cases.update({f"openai: {name}": case for name, case in OPENAI_FEATURES.items()})
    for fault, (outcome, shows) in FAULTS.items():
        for place in ("ollama", "openai"):
            cases[f"{place}: fault {fault}"] = Case(place, fault=fault, outcome=outcome, shows=shows)
    cases.update({f"wire: {name}": case for name, case in (WIRE | WIRE_WITH_MORE).items()})
    return cases
