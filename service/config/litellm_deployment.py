"""One entry of LiteLLM's ``model_list`` as a deployment of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier import Tier
from service.config import catalog, providers
from service.config.litellm_address import address_of, key_of, local_of, native_ollama, provider_of
from service.config.litellm_notes import NOTHING, Section, wrong
from service.config.references import PREFIX

RETRIES = (
    "retries multiply along a chain (a Mini that swallows connections cost 92.9 s with num_retries 2); "
    "here the next deployment of the chain is the retry"
)
TIMES = (
    "limits are per tier (first_token_s) and per attempt (limits.loaded_attempt_s, cold_attempt_s, between_tokens_s)"
)
NEVER_SILENT = (
    "a field that a deployment cannot express is never dropped in silence: harmless ones are recorded, others skip it"
)
_NOT_COUNTED = "not counted per minute; a 429 passes on to the next deployment, `parallel` limits how many run at once"
_PARAMS = {
    "stream_timeout": TIMES,
    "max_retries": RETRIES,
    "num_retries": RETRIES,
    "rpm": _NOT_COUNTED,
    "tpm": _NOT_COUNTED,
    "weight": "a chain is tried in its order, not by weights",
    "drop_params": NEVER_SILENT,
    "additional_drop_params": NEVER_SILENT,
    "max_tokens": "it would cap every answer whatever the client asks; clients send their own max_tokens",
    "max_completion_tokens": "it would cap every answer whatever the client asks; clients send their own",
    "num_predict": "it would cap every answer whatever the client asks; clients send their own max_tokens",
    "stream": "upstream is always streamed, and collected for clients that did not ask for a stream",
    "cooldown_time": "the rest after a failure is one value for all, limits.cooldown_s",
    "mock_response": "a fake answer",
}
_INFO = {
    "mode": "only chat is routed",
    "base_model": "the model's own name counts; other names that the host may answer with belong into served_as",
    "supports_system_messages": "system messages are sent as they are",
    "max_output_tokens": "the client's max_tokens or limits.answer_reserve_tokens is the reserve for the answer",
}
_ADDED = frozenset(
    {
        "api_version", "aws_region_name", "frequency_penalty", "min_p", "mirostat", "parallel_tool_calls",
        "presence_penalty", "reasoning_effort", "repeat_penalty", "seed", "service_tier", "stop", "temperature",
        "top_k", "top_p", "verbosity", "vertex_location", "vertex_project",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One deployment on its way into our configuration.

    Attributes:
        tier: Its group's tier.
        path: Key in the file, for messages.
        deployment: Our keys but ``id``, ``host``, ``key`` and ``local``.
        id: ``model_info.id``, or None.
        order: LiteLLM's order, or None.
        timeout_s: LiteLLM's timeout, or None.
        address: Base URL or a reference to one.
        local: Whether it stands in the house.
        key: Key or reference, or None.
    """

    tier: Tier
    path: tuple[str | int, ...]
    deployment: dict[str, Any]
    id: str | None
    order: float | None
    timeout_s: float | None
    address: str
    local: bool
    key: str | None


def entry_of(model: Section, tier: Tier, env: Mapping[str, str]) -> Entry:
    """Reads one entry.

    Args:
        model: The entry; its ``model_name`` has been read.
        tier: The tier that the name stands for.
        env: For addresses by reference: whether one is local decides where requests may go.

    Raises:
        ConfigurationError: A value that cannot be used, or a local deployment in the reasoning tier.
    """
    params, info = model.section("litellm_params"), model.section("model_info")
    provider, name = provider_of(params)
    address = address_of(params, provider)
    provider, address = native_ollama(params, provider, address)
    real = env.get(address.removeprefix(PREFIX), "") if address.startswith(PREFIX) else address
    local = local_of(info, params, provider, name, real)
    if tier is Tier.REASONING and local:
        raise wrong(
            model.notes.document,
            (*model.path, "litellm_params", "model"),
            f"a local deployment ({provider}/{name} at {address}) in the reasoning tier",
            "move it to coding-tier; if a cloud answers at that address, write model_info.local: false",
        )
    deployment: dict[str, Any] = {"provider": provider, "model": name}
    if provider == "ollama":
        _ollama(params, info, deployment)
        _thinking(params, tier, deployment)
    else:
        _other(params, info, deployment, local)
    _shared(params, info, deployment)
    entry = Entry(
        tier=tier,
        path=model.path,
        deployment=deployment,
        id=_id(info),
        order=params.number("order"),
        timeout_s=params.number("timeout", least=0.001),
        address=address,
        local=local,
        key=key_of(params, provider, address),
    )
    params.rest(_PARAMS, "not a setting of ours; if the host needs it in each request, write it under add")
    info.rest(_INFO, "for reading only, decides nothing here")
    model.rest({}, "not a setting of ours")
    return entry


def _ollama(params: Section, info: Section, deployment: dict[str, Any]) -> None:
    """Context, thinking and options of an Ollama deployment."""
    body = params.section("extra_body")
    options = body.section("options")
    found = [(s, s.number("num_ctx", least=1, whole=True)) for s in (params, options, body)]
    contexts = [(section, int(value)) for section, value in found if value is not None]
    if contexts:
        section, context = contexts[0]
        why = "sent as num_ctx with truncate: false, so that nothing is cut in silence"
        if section is options:
            why = f"extra_body.options wipes temperature, max_tokens, stop and seed of every request; {why}"
        section.note("num_ctx", f"context: {context}", why)
    else:
        context = providers.OLLAMA_CONTEXT
        params.notes.add(
            (*params.path, "num_ctx"),
            "not given",
            f"context: {context}",
            "Ollama's default; longer prompts would be cut in silence. Raise it if the memory allows",
        )
    deployment["context"] = context
    info.note("max_input_tokens", NOTHING, f"Ollama serves num_ctx, here {context}")
    for name in ("think", "keep_alive"):
        for section in (params, body):
            value = section.take(name)
            if value is not None:
                deployment[name] = str(value) if name == "keep_alive" else value
    if "api_key" in params.value:
        params.note("api_key", NOTHING, "Ollama asks for no key")
    added = {name: options.take(name) for name in options.value if name in _ADDED}
    for name in added:
        options.note(name, f"add.{name}", "added to every request")
    options.rest(_PARAMS, "not sent; write it under add if the model needs it")
    body.take("truncate")
    rest = {
        name: body.take(name)
        for name in body.value
        if name not in ("options", "num_ctx", "think", "keep_alive", "truncate")
    }
    if added or rest:
        deployment["add"] = {**added, **rest}


def _thinking(params: Section, tier: Tier, deployment: dict[str, Any]) -> None:
    """Switches qwen3's thinking off on the lightweight tier, where the file says nothing of it."""
    if tier is Tier.LIGHTWEIGHT and "think" not in deployment and deployment["model"].startswith("qwen3:"):
        why = "qwen3 would think for seconds before every short answer"
        params.notes.add((*params.path, "think"), "not given", "think: false", why)
        deployment["think"] = False


def _other(params: Section, info: Section, deployment: dict[str, Any], local: bool) -> None:
    """Context and capabilities of a deployment that is not Ollama's."""
    name = deployment["model"]
    told = info.number("max_input_tokens", least=1, whole=True)
    window = catalog.window_of(name)
    if told is not None:
        deployment["context"] = int(told)
    elif window is not None:
        deployment["context"] = window
        params.notes.add(
            (*info.path, "max_input_tokens"), "not given", f"context: {window}", f"the published window of {name}"
        )
    else:
        assumed = providers.OLLAMA_CONTEXT if local else providers.CLOUD_CONTEXT
        deployment["context"] = assumed
        params.notes.add(
            (*info.path, "max_input_tokens"),
            "not given",
            f"context: {assumed}",
            "assumed; write what the host really serves",
        )
    capabilities: dict[str, Any] = {}
    if providers.sees_images(name):
        capabilities["images"] = True
    if deployment["provider"] == "openai" and providers.fixes_sampling(name):
        capabilities["fields"] = list(providers.FIXED_SAMPLING_FIELDS)
    if capabilities:
        deployment["capabilities"] = capabilities
    body = params.section("extra_body")
    if body.value:
        deployment["add"] = {name: body.take(name) for name in body.value}
        params.note("extra_body", f"add: {{{', '.join(body.value)}}}", "added to every request")


def _shared(params: Section, info: Section, deployment: dict[str, Any]) -> None:
    """Prices, capabilities that the file states, slots and default fields."""
    info.note(
        "max_tokens",
        NOTHING,
        "it is no reserve for the answer (8192 of 8192 would leave no room for a prompt): "
        "the client's max_tokens or limits.answer_reserve_tokens is",
    )
    prices = {}
    for ours, theirs in (("input_per_mtok", "input_cost_per_token"), ("output_per_mtok", "output_cost_per_token")):
        for section in (info, params):
            value = section.number(theirs)
            if value is not None:
                prices[ours] = round(value * 1e6, 6)
    _known_costs(params, info, deployment, prices)
    stated = {
        "tools": "supports_function_calling",
        "images": "supports_vision",
        "json_schema": "supports_response_schema",
    }
    for ours, theirs in stated.items():
        value = info.flag(theirs)
        if value is not None:
            deployment.setdefault("capabilities", {})[ours] = value
    parallel = params.number("max_parallel_requests", whole=True)
    if parallel:
        deployment["parallel"] = int(parallel)
    added = {name: params.take(name) for name in params.value if name in _ADDED}
    for name in added:
        params.note(name, f"add.{name}", "added to every request; with litellm a client's own value won")
    if added:
        deployment["add"] = {**added, **deployment.get("add", {})}


def _known_costs(params: Section, info: Section, deployment: dict[str, Any], prices: dict[str, float]) -> None:
    """Prices and speed: the file's, else those of the catalogue, said aloud; they decide what over-routing costs."""
    model = deployment["model"]
    facts = catalog.known(model) if deployment["provider"] != "ollama" else None
    speed = facts.tokens_per_s if facts else catalog.LOCAL_SPEEDS.get(model)
    if speed is not None:
        deployment["tokens_per_s"] = speed
    if prices:
        deployment["prices"] = prices
    elif facts:
        deployment["prices"] = {"input_per_mtok": facts.input_per_mtok, "output_per_mtok": facts.output_per_mtok}
        params.notes.add(
            (*info.path, "input_cost_per_token"),
            "not given",
            f"prices: {facts.input_per_mtok:g} and {facts.output_per_mtok:g} dollars per million tokens",
            f"a list price of 2025 for {model}; compare it with the cloud's page, the cost matrices rest on it",
        )


def _id(info: Section) -> str | None:
    """``model_info.id`` as one of our identifiers."""
    given = info.take("id")
    if given is None:
        return None
    clean = re.sub(r"[^A-Za-z0-9._:-]+", "-", str(given)).strip("-._:")[:64]
    if not clean:
        raise wrong(info.notes.document, (*info.path, "id"), "has no letter or digit", "write a short name")
    if clean != str(given):
        info.note("id", clean, "ids are letters, digits and . _ : -")
    return clean
