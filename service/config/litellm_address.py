"""Where an entry of LiteLLM's ``model_list`` leads: provider, address, key, and whether it stands in the house."""

from __future__ import annotations

from urllib.parse import urlsplit

from service.config import providers
from service.config.litellm_notes import NOTHING, Section, wrong
from service.config.references import PREFIX

_DUMMIES = frozenset(
    {"dummy", "empty", "fake", "lm-studio", "no-key", "none", "not-needed", "ollama", "sk-1234", "xxx"}
)
"""What people write where a local server asks for no key."""


def provider_of(params: Section) -> tuple[str, str]:
    """Provider and model of LiteLLM's model string."""
    text = params.text("model")
    if not text:
        raise wrong(
            params.notes.document, (*params.path, "model"), "is missing", "write e.g. model: ollama_chat/qwen3:8b"
        )
    provider, slash, name = str(text).partition("/")
    explicit = params.text("custom_llm_provider")
    if explicit:
        provider, name = str(explicit), str(text).removeprefix(f"{explicit}/")
    elif not slash:
        provider, name = ("anthropic" if provider.startswith("claude-") else "openai"), str(text)
    if provider in ("ollama", "ollama_chat"):
        if provider == "ollama":
            params.notes.add(
                (*params.path, "model"),
                text,
                f"provider: ollama, model: {name}",
                "Ollama's chat API is used, never /api/generate",
            )
        return "ollama", name
    if provider in ("hosted_vllm", "lm_studio", "openai_like", "custom_openai", "llamafile", "text-completion-openai"):
        params.notes.add(
            (*params.path, "model"), text, f"provider: openai, model: {name}", "the host speaks OpenAI's protocol"
        )
        return "openai", name
    return provider, name


def address_of(params: Section, provider: str) -> str:
    """The base URL, the provider's own where none is given."""
    given = params.text("api_base") or params.text("base_url")
    params.take("base_url")
    if given:
        return str(given).rstrip("/")
    known = providers.OLLAMA_ADDRESS if provider == "ollama" else providers.DEFAULT_ADDRESSES.get(provider)
    if known is None:
        raise wrong(
            params.notes.document,
            (*params.path, "api_base"),
            f"is missing, and no address of {provider} is known",
            "write api_base: https://..., or openai/MODEL where it speaks OpenAI's protocol",
        )
    if provider == "ollama":
        params.notes.add((*params.path, "api_base"), "not given", known, "Ollama on this machine, as litellm takes it")
    return known


def native_ollama(params: Section, provider: str, address: str) -> tuple[str, str]:
    """Ollama by its native API, whichever way the file names it."""
    if address.startswith(PREFIX):
        return provider, address
    try:
        port = urlsplit(address).port
    except ValueError:
        port = None
    path = urlsplit(address).path.rstrip("/")
    if provider == "openai" and port == providers.OLLAMA_PORT:
        params.note(
            "model",
            "provider: ollama",
            "Ollama's OpenAI-compatible endpoint ignores num_ctx and cuts long prompts in silence",
        )
        provider = "ollama"
    if provider == "ollama" and path in ("/v1", "/api"):
        address = address.removesuffix(path)
        params.note("api_base", address, "the native API is used")
    return provider, address


def local_of(info: Section, params: Section, provider: str, name: str, address: str) -> bool:
    """Whether a deployment stands in the house; ``address`` is empty where its variable is not set."""
    told = info.flag("local")
    if told is not None:
        return told
    if not address:
        local = provider == "ollama"
        params.note(
            "api_base",
            f"local: {str(local).lower()}",
            "the variable is not set now, so this was told by the provider; check it",
        )
        return local
    if not providers.in_house(address):
        return False
    if provider != "ollama" and providers.is_cloud_model(name):
        params.note("api_base", "local: false", f"{name} runs in clouds only, so a gateway must stand at that address")
        return False
    return True


def key_of(params: Section, provider: str, address: str) -> str | None:
    """The key or its reference; litellm's variable where a cloud's entry names none."""
    given = params.text("api_key")
    if provider == "ollama":
        return None
    if given and given.lower() in _DUMMIES and providers.in_house(address):
        params.note("api_key", NOTHING, "a word that stands for no key")
        return None
    if given:
        if not given.startswith(PREFIX):
            params.note(
                "api_key",
                "the same key",
                "a key in clear ends up in backups and commits; `autotier import` writes a reference instead",
            )
        return given
    if address != providers.DEFAULT_ADDRESSES.get(provider):
        return None
    variable = providers.KEY_VARIABLES[provider]
    params.notes.add(
        (*params.path, "api_key"), "not given", f"key: {PREFIX}{variable}", "the variable that litellm reads"
    )
    return PREFIX + variable
