"""Constraints remove deployments: privacy, capability, context, rights. They never bring one back.

All of them always apply, to overrides, experiment arms, shadow, hedging, verification and embedding calls too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from classifier import TIERS, Tier
from service.config import Configuration, Deployment
from service.routing.decision import Reason, Removed
from service.routing.fields import unexpressed
from service.routing.request import CallerIdentity

_KNOWN_PARTS = frozenset({"text", "refusal", "image_url"})


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request needs of a deployment.

    Attributes:
        tokens: Prompt tokens, counted or bounded from above.
        reserve: Tokens kept for the answer.
        image_addresses: Holds an image by its address, which whoever gets the request would fetch.
        private: Kind of the detector's hit or ``asked``; None: may leave the house.
    """

    body: Mapping[str, Any]
    caller: CallerIdentity
    tools: bool
    images: bool
    image_addresses: bool
    json_schema: bool
    other_parts: frozenset[str]
    tokens: int
    reserve: int
    private: str | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """A tier after the constraints."""

    tier: Tier
    deployments: tuple[Deployment, ...]
    removed: tuple[Removed, ...]

    def only(self, *constraints: Reason) -> bool:
        """Whether every deployment that is missing was taken by one of ``constraints``."""
        return all(r.constraint in constraints for r in self.removed)


def needs_of(
    body: Mapping[str, Any], caller: CallerIdentity, *, tokens: int, reserve: int, private: str | None
) -> Needs:
    """Reads off ``body`` what it needs. Part types that we do not know are needs too."""
    parts = [part for message in body["messages"] for part in _parts(message)]
    kinds = {str(part.get("type")) for part in parts}
    response_format = body.get("response_format")
    return Needs(
        body=body,
        caller=caller,
        tools=bool(body.get("tools") or body.get("functions"))
        or any(m.get("tool_calls") or m.get("role") in ("tool", "function") for m in body["messages"]),
        images="image_url" in kinds,
        image_addresses=any(map(_is_address, parts)),
        json_schema=isinstance(response_format, dict) and response_format.get("type") == "json_schema",
        other_parts=frozenset(kinds - _KNOWN_PARTS),
        tokens=tokens,
        reserve=reserve,
        private=private,
    )


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []


def _is_address(part: Mapping[str, Any]) -> bool:
    if part.get("type") != "image_url":
        return False
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    return not (isinstance(url, str) and url[:5].lower() == "data:")


class Constraints:
    """The constraints over one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._contexts = sorted({d.context for _, d in configuration.deployments()})
        self._deployments = {tier: configuration.tiers[tier].deployments for tier in TIERS}
        self._local = frozenset(d.id for _, d in configuration.deployments() if configuration.is_local(d))
        self._margin = configuration.limits.token_margin

    def room(self, reserve: int) -> list[int]:
        """For every deployment (one of equal context): prompt tokens by our count that fit beside ``reserve``."""
        return [int((context - reserve) / self._margin) for context in self._contexts]

    def of_tier(self, tier: Tier, needs: Needs) -> Allowed:
        """The deployments of ``tier`` that may serve ``needs``, in order, and what was removed."""
        kept: list[Deployment] = []
        removed: list[Removed] = []
        for deployment in self._deployments[tier]:
            verdict = self._verdict(tier, deployment, needs)
            if verdict is None:
                kept.append(deployment)
            else:
                removed.append(Removed(deployment.id, *verdict))
        return Allowed(tier, tuple(kept), tuple(removed))

    def local_above(self, tier: Tier, needs: Needs) -> tuple[Deployment, ...]:
        """The local deployments of the tiers above ``tier`` that may serve ``needs``, the nearest tier's first."""
        return tuple(
            deployment
            for upper in self.above(tier)
            for deployment in self._deployments[upper]
            if deployment.id in self._local and self._verdict(upper, deployment, needs) is None
        )

    def _verdict(self, tier: Tier, deployment: Deployment, needs: Needs) -> tuple[Reason, str] | None:
        if tier not in needs.caller.tiers:
            return Reason.RIGHTS, f"caller {needs.caller.name} may not reach {tier}"
        if needs.private and deployment.id not in self._local:
            return Reason.PRIVACY, f"private ({needs.private}): local deployments only"
        if missing := missing_capability(deployment, needs):
            return Reason.CAPABILITY, missing
        if needs.image_addresses and (deployment.provider != "openai" or deployment.id in self._local):
            # A host in the house would fetch it from inside the house, and litellm fetches it for other providers.
            return Reason.CAPABILITY, "messages: an image by its address (send a data: URL)"
        wanted = int(needs.tokens * self._margin) + needs.reserve
        if wanted > deployment.context:
            return Reason.CONTEXT, f"{wanted} tokens with margin and reserve, {deployment.context} served"
        return None

    def above(self, tier: Tier) -> Iterable[Tier]:
        """Tiers above ``tier``, nearest first."""
        return TIERS[TIERS.index(tier) + 1 :]

    def below(self, tier: Tier) -> Iterable[Tier]:
        """Tiers below ``tier``, highest first."""
        return reversed(TIERS[: TIERS.index(tier)])


def missing_capability(deployment: Deployment, needs: Needs) -> str:
    """The capability that ``deployment`` lacks, named by its body field; "" if it lacks none."""
    can = deployment.capabilities
    if needs.images and not can.images:
        return "messages: images"
    if needs.other_parts:
        known = set(can.fields or ())
        if unknown := sorted(needs.other_parts - known):
            return f"messages: content part {unknown[0][:40]}"
    if needs.tools and not can.tools:
        return "tools"
    if needs.json_schema and not can.json_schema:
        return "response_format"
    lacking = unexpressed(needs.body, deployment)
    return lacking[0] if lacking else ""
