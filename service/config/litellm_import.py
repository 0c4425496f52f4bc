"""An ordinary LiteLLM file in our shape, with a note for everything that it changed or left out.

The reasons are measurements of litellm 1.109.1 on loopback: retries multiply along a chain, deployments that only
time out never cool down, options inside ``extra_body`` wipe those of the request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from classifier import TIERS, Tier
from service.config import providers
from service.config.litellm_deployment import Entry, entry_of
from service.config.litellm_notes import NOTHING, Note, Notes, Section, wrong
from service.config.litellm_settings import settings_of
from service.config.references import PREFIX
from service.config.yaml_source import Document

__all__ = ["GROUPS", "Note", "convert"]

GROUPS = {f"{tier.value}-tier": tier for tier in TIERS}
"""LiteLLM's group names that are our tiers."""
DEFAULT_LIMITS_S = {Tier.LIGHTWEIGHT: 30, Tier.CODING: 120, Tier.REASONING: 180}


def convert(document: Document, env: Mapping[str, str] = os.environ) -> tuple[dict[str, Any], list[Note]]:
    """Converts a LiteLLM file.

    Args:
        document: With a ``model_list`` at the top.
        env: Looked up only for addresses by reference, to tell whether they are local.

    Returns:
        A mapping in our shape, references unresolved, not yet validated; and the notes in the file's order.

    Raises:
        ConfigurationError: A value that cannot be used, a group that is missing, or a local deployment in reasoning.
    """
    notes = Notes(document)
    top = Section(notes, (), document.value)
    entries = _entries(top, env)
    for group, tier in GROUPS.items():
        if not any(entry.tier is tier for entry in entries):
            raise wrong(
                document,
                ("model_list",),
                f"no entry has model_name: {group}",
                f"add one; only our own form can leave a tier empty (tiers.{tier}.deployments: [])",
            )
    settings = settings_of(top, GROUPS)
    top.rest({"environment_variables": "set them where the service starts"}, "not a section of ours")
    hosts, names = _hosts(entries, notes)
    tiers = {tier.value: _tier(tier, entries, names, hosts, notes, settings.fallbacks.get(tier, [])) for tier in TIERS}
    mapping: dict[str, Any] = {}
    if settings.master_key:
        mapping["callers"] = [{"name": "master", "key": settings.master_key, "admin": True}]
    mapping |= {"hosts": hosts, "tiers": tiers}
    if settings.limits:
        mapping["limits"] = settings.limits
    if settings.cache:
        mapping["cache"] = settings.cache
    return mapping, notes.in_order()


def _entries(top: Section, env: Mapping[str, str]) -> list[Entry]:
    """The deployments of the three groups; others are noted."""
    models = top.take("model_list")
    document = top.notes.document
    if not isinstance(models, list):
        raise wrong(document, ("model_list",), "is not a list", "write one `- model_name: ...` entry per deployment")
    entries = []
    for number, value in enumerate(models):
        model = Section(top.notes, ("model_list", number), value)
        name = model.text("model_name")
        if not name:
            raise wrong(document, (*model.path, "model_name"), "is missing", f"write one of {', '.join(GROUPS)}")
        if name not in GROUPS:
            model.note("model_name", NOTHING, f"only {', '.join(GROUPS)} are tiers; a client cannot name another model")
            continue
        entries.append(entry_of(model, GROUPS[name], env))
    return entries


def _hosts(entries: Iterable[Entry], notes: Notes) -> tuple[dict[str, Any], dict[str, str]]:
    """Hosts by name, and the name of each address."""
    hosts: dict[str, Any] = {}
    names: dict[str, str] = {}
    for entry in entries:
        if entry.address in names:
            continue
        name = unique(_host_name(entry), hosts)
        names[entry.address] = name
        hosts[name] = {"address": entry.address, "local": entry.local}
        if entry.key:
            hosts[name]["key"] = entry.key
        if entry.local:
            notes.items.append(
                Note(
                    None,
                    f"hosts.{name}.memory_gb",
                    "not known",
                    NOTHING,
                    "write the machine's memory: it tells which models fit beside each other",
                )
            )
    return hosts, names


def _host_name(entry: Entry) -> str:
    """A name for an entry's host: the cloud's, the machine's, or that of the variable."""
    provider = entry.deployment["provider"]
    if entry.address == providers.DEFAULT_ADDRESSES.get(provider):
        return str(provider)
    if entry.address.startswith(PREFIX):
        return re.sub(r"[^a-z0-9]+", "-", entry.address.removeprefix(PREFIX).lower()).strip("-") or "host"
    return providers.host_name(entry.address)


def unique(name: str, taken: Iterable[str]) -> str:
    """``name``, or with -2, -3, ... behind it where it is taken."""
    taken = set(taken)
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def _tier(
    tier: Tier,
    entries: Iterable[Entry],
    names: Mapping[str, str],
    hosts: Mapping[str, Any],
    notes: Notes,
    fallbacks: list[str],
) -> dict[str, Any]:
    """One tier: its entries in LiteLLM's order, its limit, its fallbacks."""
    group = [entry for entry in entries if entry.tier is tier]
    if len(group) > 1 and any(entry.order is None for entry in group):
        notes.add(
            ("model_list",),
            f"{tier}-tier without order",
            "the order of the file",
            "litellm would shuffle them; a chain has an order",
        )
    group.sort(key=lambda entry: float("inf") if entry.order is None else entry.order)
    deployments = []
    for entry in group:
        host = names[entry.address]
        made = {"id": entry.id or f"{tier}-{host}", "host": host, **entry.deployment}
        if entry.local != hosts[host]["local"]:
            made["local"] = entry.local
        if entry.key and entry.key != hosts[host].get("key"):
            made["key"] = entry.key
        _prices(entry, made, notes)
        deployments.append(made)
    _unique_ids(deployments)
    return {"first_token_s": _limit(tier, group, notes), "fallbacks": fallbacks, "deployments": deployments}


def _unique_ids(deployments: list[dict[str, Any]]) -> None:
    """Numbers ids that were made from the host's name; doubles that the file wrote stay for the validation."""
    seen: set[str] = set()
    for made in deployments:
        if made["id"] in seen and made["id"].endswith(made["host"]):
            made["id"] = unique(made["id"], seen)
        seen.add(made["id"])


def _prices(entry: Entry, made: Mapping[str, Any], notes: Notes) -> None:
    if not entry.local and "prices" not in made:
        notes.add(
            (*entry.path, "model_info", "input_cost_per_token"),
            "not given",
            "prices: 0",
            f"no price of {made['model']} is known here; write it, the cost matrices rest on it",
        )


def _limit(tier: Tier, group: list[Entry], notes: Notes) -> float:
    """The tier's limit: the largest timeout of its group, else ours."""
    given = [entry for entry in group if entry.timeout_s is not None]
    if not given:
        return DEFAULT_LIMITS_S[tier]
    largest = max(entry.timeout_s or 0 for entry in given)
    for entry in given:
        notes.add(
            (*entry.path, "litellm_params", "timeout"),
            f"{entry.timeout_s:g}",
            f"tiers.{tier}.first_token_s: {largest:g}",
            "the largest of the group is the limit to the first token over the whole chain; a long answer is not cut",
        )
    return int(largest) if largest == int(largest) else largest
