"""What is known of providers and addresses: default addresses, windows, and what stands in the house."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

OLLAMA_PORT = 11434
OLLAMA_ADDRESS = f"http://127.0.0.1:{OLLAMA_PORT}"
OLLAMA_CONTEXT = 4096
"""What Ollama serves where nothing sets ``num_ctx`` (its OLLAMA_CONTEXT_LENGTH)."""
CLOUD_CONTEXT = 128_000
"""Window that is assumed of a cloud model that is not known here."""

DEFAULT_ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "openrouter": "https://openrouter.ai/api/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "xai": "https://api.x.ai/v1",
    "together_ai": "https://api.together.xyz/v1",
    "gemini": "https://generativelanguage.googleapis.com",
}
"""Where a provider is reached if a configuration gives no address. A way that knows a provider's address itself may
leave one of these out."""

KEY_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "xai": "XAI_API_KEY",
    "together_ai": "TOGETHERAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
"""Environment variables that litellm reads where a deployment names no key."""

_CLOUD_MODEL = re.compile(r"(gpt-[3-9](?!\d)|chatgpt-|o[1-9](-|$)|claude-|gemini-)")
_BLIND = re.compile(r"(o3-mini|o1-mini|o1-preview|gpt-3\.5)")
_FIXED_SAMPLING = re.compile(r"(o[1-9](-|$)|gpt-5(?!.*chat))")

FIXED_SAMPLING_FIELDS = (
    "max_completion_tokens", "metadata", "prompt_cache_key", "reasoning_effort", "response_format",
    "safety_identifier", "seed", "service_tier", "store", "tool_choice", "tools", "user",
)  # fmt: skip
"""What OpenAI's thinking models take; they answer 400 to temperature, top_p, penalties and logprobs."""

_SHARED_SPACE = ipaddress.ip_network("100.64.0.0/10")
"""Carrier-grade NAT space (RFC 6598), which overlay networks between one's own machines use."""
_HOUSE_SUFFIXES = (".local", ".lan", ".home", ".home.arpa", ".internal", ".localdomain", ".fritz.box")


def bare(model: str) -> str:
    """The model's name without the organisations before it."""
    return model.rpartition("/")[2]


def is_cloud_model(model: str) -> bool:
    """Whether only a cloud serves this model, whatever address stands before it."""
    return bool(_CLOUD_MODEL.match(bare(model)))


def sees_images(model: str) -> bool:
    """Whether a known cloud model takes images."""
    return is_cloud_model(model) and not _BLIND.match(bare(model))


def fixes_sampling(model: str) -> bool:
    """Whether OpenAI refuses sampling fields for this model."""
    return bool(_FIXED_SAMPLING.match(bare(model)))


def in_house(address: str) -> bool:
    """Whether an address is this machine or one of the local network, told by its form; nothing is resolved."""
    name = (urlsplit(address).hostname or "").lower().rstrip(".")
    try:
        ip = ipaddress.ip_address(name)
    except ValueError:
        return name != "" and ("." not in name or name.endswith(_HOUSE_SUFFIXES))
    return ip.is_loopback or ip.is_private or ip.is_link_local or ip in _SHARED_SPACE


def is_this_machine(address: str) -> bool:
    """Whether an address is a loopback one or names no host (a socket's path), told by its form."""
    name = (urlsplit(address).hostname or "localhost").lower().rstrip(".")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def host_name(address: str) -> str:
    """A short name for an address: ``mini`` for http://mini.local:11434, ``host-192-168-1-20`` for an IP address."""
    name = (urlsplit(address).hostname or "host").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        parts = [part for part in name.split(".") if part not in ("api", "www")]
        return re.sub(r"[^a-z0-9-]", "-", parts[0] if parts else "host").strip("-") or "host"
    return "this-machine" if ipaddress.ip_address(name).is_loopback else "host-" + re.sub(r"[^0-9a-f]+", "-", name)
