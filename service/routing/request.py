"""A chat request as routing sees it: checked, with our own directives taken out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from classifier import TIERS, Tier
from service.config.model import CallerLimits
from service.errors import InvalidRequest, ModelNotFound, TierForbidden

CacheDirective = Literal["use", "bypass", "refresh"]
MatrixName = Literal["default", "eco", "quality"]

AUTO_MODELS: dict[str, MatrixName] = {"auto": "default", "auto:eco": "eco", "auto:quality": "quality"}
TIER_MODELS: dict[str, Tier] = {name: tier for tier in TIERS for name in (str(tier), f"{tier}-tier")}
MODEL_NAMES: tuple[str, ...] = (*AUTO_MODELS, *TIER_MODELS)

DIRECTIVES = ("tier", "conversation", "cache", "privacy")
HEADER_PREFIX = "x-autotier-"
METADATA_PREFIXES = ("x-autotier-", "autotier_", "autotier-")
MAX_CONVERSATION_ID = 200
NO_LIMITS = CallerLimits()


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """Who asks and what they may.

    Attributes:
        name: Name in records; ``local`` where the service has no keys.
        tiers: Tiers that the caller may reach.
        override: May name a tier.
        admin: May see everybody's decisions.
        limits: What the caller may use.
    """

    name: str = "local"
    tiers: tuple[Tier, ...] = TIERS
    override: bool = True
    admin: bool = True
    limits: CallerLimits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked chat request.

    Attributes:
        body: OpenAI's fields as they came, without ``model``, ``stream``, ``stream_options`` and our metadata keys.
        model: The name that the client sent.
        matrix: Which cost matrix ``auto`` means here.
        override: The tier that the client names, or None for ``auto``.
        stream: Whether the client asked for a stream.
        include_usage: ``stream_options.include_usage``.
        conversation_id: The id that the client gave, or None.
        cache: What the client wants from the cache.
        private: The client asked to stay on local deployments.
    """

    body: Mapping[str, Any]
    caller: CallerIdentity
    model: str
    matrix: MatrixName
    override: Tier | None
    stream: bool
    include_usage: bool
    conversation_id: str | None
    cache: CacheDirective
    private: bool

    @property
    def messages(self) -> list[dict[str, Any]]:
        """OpenAI's messages, as they came."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages


def chat_request(body: Mapping[str, Any], headers: Mapping[str, str], caller: CallerIdentity) -> ChatRequest:
    """Checks what routing needs of ``body`` and takes our directives out of headers and metadata.

    Args:
        body: The parsed JSON body. Its messages have been checked (``service.api.body``).
        headers: Request headers, names in lower case.
        caller: Who asks.

    Raises:
        InvalidRequest: A directive or a field of a wrong type or value.
        ModelNotFound: A model name that is none of ours.
        TierForbidden: The caller may not name a tier.
    """
    fields = dict(body)
    directives = _directives(fields, headers)
    model = fields.pop("model", None)
    if not isinstance(model, str) or not model:
        raise InvalidRequest('model: send a model name, e.g. "auto"', param="model")
    if model not in AUTO_MODELS and model not in TIER_MODELS:
        raise ModelNotFound(f"model: there is no {model[:80]!r}; write one of: {', '.join(MODEL_NAMES)}", param="model")
    override = TIER_MODELS.get(model)
    if "tier" in directives:
        override = _tier(directives["tier"])
    if override is not None and not caller.override:
        raise TierForbidden(f'caller {caller.name!r} may not name a tier ({override}); send model "auto"')
    stream = fields.pop("stream", None)
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("stream: write true or false", param="stream")
    return ChatRequest(
        body=fields,
        caller=caller,
        model=model,
        matrix=AUTO_MODELS.get(model, "default"),
        override=override,
        stream=bool(stream),
        include_usage=_include_usage(fields),
        conversation_id=_conversation(directives.get("conversation")),
        cache=_cache(directives.get("cache")),
        private=_private(directives.get("privacy")),
    )


def _directives(fields: dict[str, Any], headers: Mapping[str, str]) -> dict[str, str]:
    """Our directives: headers first, then ``metadata``; unknown ones are errors. Removes ours from ``fields``."""
    found: dict[str, str] = {}
    metadata = fields.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequest("metadata: write an object of strings", param="metadata")
    kept = {}
    for key, value in (metadata or {}).items():
        prefix = next((p for p in METADATA_PREFIXES if key.lower().startswith(p)), None)
        if prefix is None:
            kept[key] = value
            continue
        name = key[len(prefix) :].lower()
        if name not in DIRECTIVES or not isinstance(value, str):
            raise InvalidRequest(
                f"metadata.{key[:80]}: not known; ours are x-autotier-{', x-autotier-'.join(DIRECTIVES)} with a string",
                param="metadata",
            )
        found[name] = value
    if metadata is not None:
        if kept:
            fields["metadata"] = kept
        else:
            del fields["metadata"]
    for name, value in headers.items():
        if name.startswith(HEADER_PREFIX):
            directive = name[len(HEADER_PREFIX) :]
            if directive not in DIRECTIVES:
                raise InvalidRequest(
                    f"{name[:80]}: not known; ours are {', '.join(HEADER_PREFIX + d for d in DIRECTIVES)}"
                )
            found[directive] = value
    return found


def _tier(value: str) -> Tier:
    tier = TIER_MODELS.get(value.strip().lower())
    if tier is None:
        raise InvalidRequest(
            f"x-autotier-tier: there is no {value[:40]!r}; write {', '.join(TIERS)}", param="x-autotier-tier"
        )
    return tier


def _conversation(value: str | None) -> str | None:
    if value is None:
        return None
    if not value or len(value) > MAX_CONVERSATION_ID or not value.isprintable():
        raise InvalidRequest(
            f"x-autotier-conversation: write 1 to {MAX_CONVERSATION_ID} printable characters",
            param="x-autotier-conversation",
        )
    return value


def _cache(value: str | None) -> CacheDirective:
    match value:
        case None:
            return "use"
        case "bypass" | "refresh":
            return value
    raise InvalidRequest("x-autotier-cache: write bypass or refresh", param="x-autotier-cache")


def _private(value: str | None) -> bool:
    if value not in (None, "local"):
        raise InvalidRequest("x-autotier-privacy: write local", param="x-autotier-privacy")
    return value == "local"


def _include_usage(fields: dict[str, Any]) -> bool:
    options = fields.pop("stream_options", None)
    if options is None:
        return False
    if not isinstance(options, Mapping) or not set(options) <= {"include_usage", "include_obfuscation"}:
        raise InvalidRequest('stream_options: write {"include_usage": true}', param="stream_options")
    return bool(options.get("include_usage"))
